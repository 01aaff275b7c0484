"""What the firmware of a PC would do to the PCI bus: find every function, give it addresses.

Ref: PCI Local Bus Specification, revision 3.0 ("PCI"), 6.1 and 6.2.5; PCI-to-PCI Bridge
Architecture Specification, revision 1.2 ("Bridge"), 3.2.5; Intel 3 Series Express Chipset Family
data sheet ("MCH"), 5.1.17; Intel I/O Controller Hub 9 data sheet ("ICH9"), 5.8 and 10.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from redbear_host.errors import ConfigError
from redbear_host.hw.pci.bar import BAR_COUNT, Bar, BarKind, probe_bars
from redbear_host.hw.pci.header import (
    BASE_ADDRESS,
    HEADER_LAYOUT,
    HEADER_TYPE,
    INTERRUPT_PIN,
    IO_BASE_LIMIT,
    MEMORY_BASE_LIMIT,
    MULTI_FUNCTION,
    PREFETCHABLE_BASE_LIMIT,
    PRIMARY_BUS,
    SUBORDINATE_BUS,
    VENDOR_ID,
    Command,
    Header,
    read_ids,
)
from redbear_host.hw.ports import PciIds
from redbear_host.hw.qtest.window import Window
from redbear_host.hw.qtest.wire import Wire
from redbear_host.lab import doorbell

ECAM: Final = 0xB000_0000  # 256 MiB, all 256 buses

_CONFIG_ADDRESS: Final = 0xCF8  # PCI 3.2.2.3.2
_CONFIG_DATA: Final = 0xCFC
_PCIEXBAR: Final = 0x60  # of the host bridge, 00:00.0 (MCH)
_PCIEXBAR_ENABLE: Final = 1

_MEMORY_FROM: Final = 0xE000_0000
_MEMORY_END: Final = doorbell.BASE
_PORTS_FROM: Final = 0x6000  # above everything the chipset decodes by itself
_PORTS_END: Final = 0x1_0000
_PAGE: Final = 0x1000
_BRIDGE_MEMORY: Final = 0x10_0000  # granularity of a bridge's memory window (Bridge 3.2.5.8)
_BRIDGE_PORTS: Final = 0x1000  # and of its I/O window (Bridge 3.2.5.6)

_CHIPSET_DEVICE: Final = 0x1F  # ICH9's own functions on bus 0
_BRIDGE_BARS: Final = 2
_BRIDGE_LAYOUT: Final = 1


@dataclass(frozen=True)
class Found:
    """One function, with its base addresses in place."""

    bus: int
    device: int
    function: int
    ids: PciIds
    bars: tuple[Bar, ...]
    line: int | None  # which of PIRQA (0) to PIRQH (7) its interrupt pin ends at

    @property
    def bdf(self) -> int:
        """Bus, device and function in one number."""
        return self.bus << 8 | self.device << 3 | self.function


class _Space:
    """A range of addresses that is given out from the bottom up."""

    def __init__(self, name: str, start: int, end: int) -> None:
        self.name, self.next, self.end = name, start, end

    def take(self, size: int, align: int) -> int:
        address = (self.next + align - 1) & -align
        if address + size > self.end:
            raise ConfigError(
                f"the lab machine has no {size:#x} bytes of {self.name} addresses left",
                "give it fewer devices, or ones with smaller windows",
            )
        self.next = address + size
        return address

    def round_up(self, align: int) -> int:
        self.next = (self.next + align - 1) & -align
        return self.next


class Topology:
    """The PCI buses of one lab machine."""

    def __init__(self, wire: Wire) -> None:
        """Switch ECAM on, then find and place everything."""
        ports = Window(wire, 0, _PORTS_END, ports=True)
        for register, value in ((_PCIEXBAR + 4, 0), (_PCIEXBAR, ECAM | _PCIEXBAR_ENABLE)):
            ports.write32(_CONFIG_ADDRESS, 1 << 31 | register)
            ports.write32(_CONFIG_DATA, value)
        self._wire: Final = wire
        self._memory: Final = _Space("memory", _MEMORY_FROM, _MEMORY_END)
        self._ports: Final = _Space("port", _PORTS_FROM, _PORTS_END)
        self._buses = 1
        bell = self.config(0, doorbell.DEVICE, 0)
        bell.write32(BASE_ADDRESS, doorbell.BASE)
        Header(bell).COMMAND.write(Command(MEMORY_SPACE=True, INTERRUPT_DISABLE=True))
        self.functions: Final = tuple(self._scan(0, ()))

    def config(self, bus: int, device: int, function: int) -> Window:
        """Open the configuration space of any address, whether someone is there or not."""
        return Window(self._wire, ECAM + (bus << 20 | device << 15 | function << 12), 4096)

    def _scan(self, bus: int, way: tuple[int, ...]) -> Iterator[Found]:
        # `way` holds the device number on bus 0 first, then on each bus further down.
        for device in range(32):
            if bus == 0 and device in (0, doorbell.DEVICE, _CHIPSET_DEVICE):
                continue
            for function in range(8):
                config = self.config(bus, device, function)
                if config.read16(VENDOR_ID) == 0xFFFF:
                    if function == 0:
                        break
                    continue
                layout = config.read8(HEADER_TYPE)
                if layout & HEADER_LAYOUT == _BRIDGE_LAYOUT:
                    self._place(config, _BRIDGE_BARS)
                    yield from self._bridge(config, bus, (*way, device))
                else:
                    bars = self._place(config, BAR_COUNT)
                    line = _line((*way, device), config.read8(INTERRUPT_PIN))
                    ids = read_ids(config)
                    yield Found(bus, device, function, ids, tuple(bars), line)
                if function == 0 and not layout & MULTI_FUNCTION:
                    break

    def _bridge(self, config: Window, bus: int, way: tuple[int, ...]) -> Iterator[Found]:
        below = self._buses
        self._buses += 1
        # Until the bus below is scanned it may hold any number of others.
        config.write32(PRIMARY_BUS, bus | below << 8 | 0xFF << 16)
        memory = self._memory.round_up(_BRIDGE_MEMORY)
        ports = self._ports.round_up(_BRIDGE_PORTS)
        yield from self._scan(below, way)
        if self._memory.next == memory:
            # An empty bus gets a window too, so that something can be plugged in later.
            self._memory.take(_BRIDGE_MEMORY, _BRIDGE_MEMORY)
        memory_end = self._memory.round_up(_BRIDGE_MEMORY)
        ports_end = self._ports.round_up(_BRIDGE_PORTS)
        config.write8(SUBORDINATE_BUS, self._buses - 1)
        config.write32(MEMORY_BASE_LIMIT, memory >> 16 | (memory_end - 1) & 0xFFF0_0000)
        config.write32(PREFETCHABLE_BASE_LIMIT, 0x0000_FFF0)  # base above limit: closed
        config.write16(IO_BASE_LIMIT, ports >> 8 | (ports_end - 1) & 0xF000)
        # A window cannot be empty, so a bridge without ports below it decodes none.
        Header(config).COMMAND.write(
            Command(IO_SPACE=ports_end > ports, MEMORY_SPACE=True, BUS_MASTER=True)
        )

    def _place(self, config: Window, count: int) -> list[Bar]:
        placed = []
        for bar in probe_bars(config, count):
            if bar.kind is BarKind.IO:
                address = self._ports.take(bar.size, bar.size)
            else:
                address = self._memory.take(bar.size, max(bar.size, _PAGE))
            register = BASE_ADDRESS + 4 * bar.number
            config.write32(register, address)
            if bar.wide:
                config.write32(register + 4, 0)
            placed.append(bar._replace(address=address))
        return placed


def _line(way: tuple[int, ...], pin: int) -> int | None:
    """Follow an interrupt pin (1 for INTA#) up the bridges to a PIRQ."""
    if pin == 0:
        return None
    intx = pin - 1
    for device in reversed(way[1:]):
        intx = (intx + device) % 4  # what every bridge does (Bridge 9.1)
    if way[0] < 25:
        return 4 + (way[0] + intx) % 4  # QEMU's wiring of q35's slots to PIRQE to PIRQH
    return intx  # devices 25 to 31, as ICH9 comes out of reset: INTA# at PIRQA
