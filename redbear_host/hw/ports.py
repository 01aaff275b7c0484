"""The ports between a driver and the machine under it.

A driver sees these protocols and nothing else.  Three landings implement them:
`redbear_host.hw.vfio` (real cards), `redbear_host.hw.qtest` (QEMU's device models) and
`redbear_host.models` (Python models with faults).  No driver can tell which.

The rules that keep the landings interchangeable:

* Registers are touched through `Mmio` only; a write is posted, a read flushes the writes before it.
* The landing, not the driver, owns BAR addresses and the MSI and MSI-X capabilities.
* DMA memory is coherent: nothing is needed between a store and a doorbell but program order.
* An IOVA is opaque.  A driver may do arithmetic inside one buffer and nowhere else.
* Interrupts are eventfds.  An INTx line stays masked after it fires until `unmask_intx`.
* A device that has left reads as all ones; `gone` says so and `gone_fd` becomes readable.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol

from redbear_host.bits import Clock, Mmio

__all__ = [
    "Clock",
    "Config",
    "Dma",
    "DmaBuffer",
    "InterruptFds",
    "InterruptKind",
    "Interrupts",
    "Memory",
    "Mmio",
    "PciFunction",
    "PciIds",
]


class PciIds(NamedTuple):
    """Who made a function and what it is (PCI Local Bus Specification 3.0, 6.2.1)."""

    vendor: int
    device: int
    subsystem_vendor: int
    subsystem: int
    class_code: int  # base class << 16 | subclass << 8 | programming interface
    revision: int


class InterruptKind(StrEnum):
    """The three ways a PCI function can interrupt."""

    INTX = "intx"
    MSI = "msi"
    MSIX = "msix"


class Interrupts(NamedTuple):
    """How many vectors a function offers of each kind; 0 where it has none."""

    intx: int
    msi: int
    msix: int


class InterruptFds(NamedTuple):
    """The eventfds behind a function's vectors, as its owner holds them; none is the callee's."""

    event_fds: list[int]
    unmask_fd: int = -1  # an eventfd that lets an INTx line fire again, if there is one


class Memory(Protocol):
    """A window of plain memory on a device, as of a frame buffer; it is written only.

    It arrives in order with register accesses.  `ValueError` outside of the window; what is written
    to a device that has left is lost.
    """

    @property
    def size(self) -> int:
        """Bytes in the window."""
        ...

    def write(self, offset: int, data: memoryview, /) -> None:
        """Copy bytes there."""
        ...

    def clear(self, offset: int, size: int, /) -> None:
        """Make `size` bytes zero."""
        ...


class Config(Protocol):
    """A function's configuration space; offsets in bytes, aligned to the access."""

    @property
    def size(self) -> int:
        """256 for a conventional function, 4096 for a PCI Express one."""
        ...

    def read8(self, offset: int, /) -> int: ...
    def read16(self, offset: int, /) -> int: ...
    def read32(self, offset: int, /) -> int: ...
    def write8(self, offset: int, value: int, /) -> None: ...
    def write16(self, offset: int, value: int, /) -> None: ...
    def write32(self, offset: int, value: int, /) -> None: ...


class DmaBuffer(Protocol):
    """Memory that driver and device both see, zeroed when handed out."""

    @property
    def iova(self) -> int:
        """The address the device uses for the first byte."""
        ...

    @property
    def size(self) -> int: ...

    @property
    def view(self) -> memoryview:
        """The bytes, writable; raises `ValueError` after `free`."""
        ...

    def free(self) -> None:
        """Give the memory back; a second call raises `ValueError`."""
        ...


class Dma(Protocol):
    """Hands out memory the device can reach."""

    def alloc(self, size: int, align: int = 4096, limit: int = 1 << 64) -> DmaBuffer:
        """Return `size` bytes at a multiple of `align` that end at or below IOVA `limit`.

        Raises `MemoryError` when the arena has no such room.
        """
        ...


class PciFunction(Protocol):
    """One PCI function, claimed for one driver."""

    @property
    def address(self) -> str:
        """Where it sits: `DDDD:BB:DD.F` in hexadecimal."""
        ...

    @property
    def ids(self) -> PciIds: ...

    @property
    def config(self) -> Config: ...

    @property
    def dma(self) -> Dma: ...

    @property
    def gone(self) -> bool:
        """True once the device has left; it never comes back under the same object."""
        ...

    @property
    def gone_fd(self) -> int:
        """Becomes readable when the device leaves."""
        ...

    def bar(self, index: int) -> Mmio:
        """Open base address register `index` (0 to 5); `DeviceError` if there is none."""
        ...

    def memory(self, index: int) -> Memory:
        """Open base address register `index` as memory; `DeviceError` if it is none."""
        ...

    @property
    def interrupts(self) -> Interrupts:
        """How many vectors of each kind the function offers."""
        ...

    def enable_interrupts(self, kind: InterruptKind, count: int = 1) -> list[int]:
        """Switch to `count` vectors of `kind`; return one non-blocking eventfd per vector.

        Replaces whatever was enabled before.  Raises `DeviceError` when the function has fewer.
        """
        ...

    def disable_interrupts(self) -> None: ...

    def unmask_intx(self) -> None:
        """Let the INTx line fire again; it fires at once if the device still holds it."""
        ...

    def set_bus_master(self, on: bool) -> None:
        """Allow or forbid the function to start DMA and to send message interrupts."""
        ...

    def reset(self) -> None:
        """Reset the function; its registers are back to their defaults, bus mastering is off."""
        ...

    def leave(self) -> None:
        """Let go of a function that has left: from here on it reads as all ones."""
        ...

    def close(self) -> None:
        """Stop DMA and interrupts, then let go of the device."""
        ...
