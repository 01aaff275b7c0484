"""Bringing one function into its starting state, without touching its neighbours.

Ref: PCI Express Base Specification, revision 5.0 ("PCIe").  The waits it asks for (6.6.2, 5.9) are
left out: QEMU's models reset inside the write that asks for it, and the read that follows flushes.
"""

from __future__ import annotations

from collections.abc import Sequence

from redbear_host.hw.pci.capability import (
    AdvancedFeatures,
    AfControl,
    CapabilityId,
    PciExpress,
    PowerManagement,
    find_capability,
)
from redbear_host.hw.pci.header import BASE_ADDRESS, VENDOR_ID, Command, Header
from redbear_host.hw.qtest.window import Window

_MEMORY_64 = (
    4  # type bits of a 64-bit memory base address (PCI Local Bus Specification 3.0, 6.2.5.1)
)


def prepare_function(config: Window, bars: Sequence[tuple[int, int, int, str]]) -> None:
    """Wake the function and put its windows in place; no DMA, no interrupts.

    Needed after a reset, and because a predecessor may have been killed in the middle of one.
    """
    _set_power_state(config, 0)
    for number, address, _, kind in bars:
        register = BASE_ADDRESS + 4 * number
        wide = kind == "mem" and config.read32(register) & 6 == _MEMORY_64
        config.write32(register, address & 0xFFFF_FFFF)
        if wide:
            config.write32(register + 4, address >> 32)
    Header(config).COMMAND.write(Command(IO_SPACE=True, MEMORY_SPACE=True, INTERRUPT_DISABLE=True))


def reset_function(config: Window) -> None:
    """Reset by the best means the function has; afterwards it needs `prepare_function`.

    These are function level reset (PCIe 6.6.2), or the way through D3hot where that resets (PCIe
    5.3.1.4).  A function that has neither only loses bus mastering: its own reset bit, which every
    driver sets first, does the rest.
    """
    Header(config).COMMAND.write(Command(INTERRUPT_DISABLE=True))
    express = find_capability(config, CapabilityId.PCI_EXPRESS)
    advanced = find_capability(config, CapabilityId.ADVANCED_FEATURES)
    if (
        express is not None
        and PciExpress(config, express).DEVICE_CAPABILITIES.read().FUNCTION_LEVEL_RESET
    ):
        with PciExpress(config, express).DEVICE_CONTROL.edit() as control:
            control.INITIATE_FUNCTION_LEVEL_RESET = True
    elif (
        advanced is not None
        and AdvancedFeatures(config, advanced).CAPABILITIES.read().FUNCTION_LEVEL_RESET
    ):
        AdvancedFeatures(config, advanced).CONTROL.write(
            AfControl(INITIATE_FUNCTION_LEVEL_RESET=True)
        )
    else:
        _set_power_state(config, 3)
        _set_power_state(config, 0)
    config.read16(VENDOR_ID)  # flushes the writes above


def _set_power_state(config: Window, state: int) -> None:
    offset = find_capability(config, CapabilityId.POWER_MANAGEMENT)
    if offset is not None:
        with PowerManagement(config, offset).CONTROL.edit() as control:
            control.POWER_STATE = state
