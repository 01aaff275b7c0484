"""Interrupts over qtest: messages are pointed at the lab's doorbell, which signals eventfds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from redbear_host.errors import DeviceError
from redbear_host.hw.eventfds import drain
from redbear_host.hw.pci.capability import (
    MSIX_ENTRY_SIZE,
    Address32,
    CapabilityId,
    MessageData16,
    MessageData32,
    Msi32,
    Msi64,
    Msix,
    MsixControl,
    MsixEntry,
    VectorControl,
    find_capability,
)
from redbear_host.hw.pci.header import INTERRUPT_PIN, Header
from redbear_host.hw.ports import InterruptKind, Interrupts
from redbear_host.hw.qtest.grant import Grant
from redbear_host.hw.qtest.window import Window


class InterruptSwitch:
    """Switches one function between its kinds of interrupt.

    The doorbell takes the number of a vector as its data: vector n of the function is eventfd n of
    the grant.
    """

    def __init__(
        self, grant: Grant, config: Window, system: Window, bars: Mapping[int, Window]
    ) -> None:
        self._grant: Final = grant
        self._system: Final = system  # all of the machine's memory addresses
        self._enabled: InterruptKind | None = None
        self._header: Final = Header(config)
        self._msi: Msi32 | Msi64 | None = None
        self._msix: Msix | None = None
        self._table: list[MsixEntry] = []
        lines = config.read8(INTERRUPT_PIN) != 0 and grant.intx_fd is not None
        messages = 0
        if (offset := find_capability(config, CapabilityId.MSI)) is not None:
            self._msi = Msi32(config, offset)
            control = self._msi.CONTROL.read()
            if control.ADDRESS_64:
                self._msi = Msi64(config, offset)
            messages = 1 << min(control.MULTIPLE_MESSAGE_CAPABLE, 5)
        if (offset := find_capability(config, CapabilityId.MSIX)) is not None:
            self._msix = Msix(config, offset)
            self._table = _table(self._msix, bars)
        spare = len(grant.vector_fds)
        self.offered: Final = Interrupts(
            intx=int(lines), msi=min(messages, spare), msix=min(len(self._table), spare)
        )

    def enable(self, kind: InterruptKind, count: int) -> list[int]:
        """Switch to `count` vectors of `kind`; see `PciFunction.enable_interrupts`."""
        offered = getattr(self.offered, kind)
        if count < 1:
            raise ValueError(f"{count} vectors cannot be enabled")
        if count > offered:
            raise DeviceError(f"{self._grant.address} offers {offered} {kind} vectors, not {count}")
        self.disable()
        fds = list(self._grant.vector_fds[:count])
        if kind is InterruptKind.INTX:
            fds = [self._grant.intx_fd] if self._grant.intx_fd is not None else []
        for fd in fds:
            drain(fd)
        self._enabled = kind
        if kind is InterruptKind.INTX:
            self.unmask_intx()
            with self._header.COMMAND.edit() as command:
                command.INTERRUPT_DISABLE = False
        elif kind is InterruptKind.MSI:
            self._enable_msi(count)
        else:
            self._enable_msix(count)
        return fds

    def disable(self) -> None:
        """Let the function interrupt in no way at all."""
        self._enabled = None
        with self._header.COMMAND.edit() as command:
            command.INTERRUPT_DISABLE = True
        if self._msi is not None:
            with self._msi.CONTROL.edit() as msi:
                msi.MSI_ENABLE = False
        if self._msix is not None:
            with self._msix.CONTROL.edit() as msix:
                msix.MSIX_ENABLE = msix.FUNCTION_MASK = False

    def unmask_intx(self) -> None:
        """Let the line through again; the machine's firmware does it, one message tells it to.

        `ValueError` unless INTx is enabled.
        """
        if self._enabled is not InterruptKind.INTX:
            raise ValueError(f"INTx of {self._grant.address} is not enabled")
        self._system.write32(*self._grant.intx_unmask)

    def _enable_msi(self, count: int) -> None:
        msi = self._msi
        if msi is None:
            raise DeviceError(f"{self._grant.address} has no MSI capability")
        msi.ADDRESS.write(Address32(ADDRESS=self._grant.doorbell))
        if isinstance(msi, Msi64):
            msi.UPPER_ADDRESS.write(Address32())
        # The function puts the vector's number into the low bits itself.
        msi.DATA.write(MessageData16())
        with msi.CONTROL.edit() as control:
            control.MULTIPLE_MESSAGE_ENABLE = (count - 1).bit_length()
            control.MSI_ENABLE = True

    def _enable_msix(self, count: int) -> None:
        msix = self._msix
        if msix is None:
            raise DeviceError(f"{self._grant.address} has no MSI-X capability")
        # A vector may be changed only while it is masked (PCI Local Bus Specification 3.0, 6.8.2).
        control = MsixControl.of(msix.CONTROL.read().raw)
        control.MSIX_ENABLE = control.FUNCTION_MASK = True
        msix.CONTROL.write(control)
        for number, entry in enumerate(self._table):
            if number < count:
                entry.ADDRESS.write(Address32(ADDRESS=self._grant.doorbell))
                entry.UPPER_ADDRESS.write(Address32())
                entry.DATA.write(MessageData32(DATA=number))
            entry.CONTROL.write(VectorControl(MASK=number >= count))
        control.FUNCTION_MASK = False
        msix.CONTROL.write(control)


def _table(msix: Msix, bars: Mapping[int, Window]) -> list[MsixEntry]:
    count = msix.CONTROL.read().TABLE_SIZE + 1
    where = msix.TABLE.read()
    start, bar = where.OFFSET << 3, bars.get(where.BIR)
    if bar is None or start + count * MSIX_ENTRY_SIZE > bar.size:
        raise DeviceError(f"the MSI-X table of {count} vectors is not in base address {where.BIR}")
    return [MsixEntry(bar, start + MSIX_ENTRY_SIZE * number) for number in range(count)]
