"""A PCI function whose every register access is told, decoded by the register language.

Tracing is slow, so it is not switched on in a running driver: the shim restarts the daemon with a
descriptor to write to, and the daemon opens its function through here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from redbear_host.bits import Bits, Mmio
from redbear_host.hw.ports import (
    Config,
    Dma,
    InterruptKind,
    Interrupts,
    Memory,
    PciFunction,
    PciIds,
)
from redbear_host.hw.widths import ByWidth

Tell: TypeAlias = Callable[[str], None]
"""Takes one line, such as `bar0 read32 0x001c Controller.CSTS <Csts 0x00000001 RDY=True>`."""


class TracedWindow(ByWidth):
    """A BAR or the configuration space; what it does not know by name it shows as numbers."""

    __slots__ = ("_known", "_name", "_tell", "_window")

    def __init__(self, window: Any, name: str, tell: Tell) -> None:
        self._window: Final = window
        self._name: Final = name
        self._tell: Final = tell
        self._known: Final[dict[int, tuple[str, type[Bits]]]] = {}

    @property
    def size(self) -> int:
        """Bytes in the window."""
        size: int = self._window.size
        return size

    def describe(self, registers: Mapping[int, tuple[str, type[Bits]]], base: int, /) -> None:
        """Learn what lies where; see `redbear_host.bits.Watched`."""
        for offset, known in registers.items():
            self._known[base + offset] = known

    def _read(self, offset: int, width: int) -> int:
        value: int = getattr(self._window, f"read{8 * width}")(offset)
        self._tell(f"{self._name} read{8 * width} {self._said(offset, value, width)}")
        return value

    def _write(self, offset: int, value: int, width: int) -> None:
        # Told first: a device may answer a write with an interrupt before we come to it.
        self._tell(f"{self._name} write{8 * width} {self._said(offset, value, width)}")
        getattr(self._window, f"write{8 * width}")(offset, value)

    def _said(self, offset: int, value: int, width: int) -> str:
        name, kind = self._known.get(offset, ("", None))
        if kind is None or kind.width != 8 * width:
            return f"{offset:#06x} {value:#0{2 + 2 * width}x}"
        return f"{offset:#06x} {name} {kind.of(value)!r}"


class TracedFunction:
    """`PciFunction`, telling."""

    def __init__(self, function: PciFunction, tell: Tell) -> None:
        self._function: Final = function
        self._tell: Final = tell
        self._config: Final = TracedWindow(function.config, "config", tell)
        self._bars: Final[dict[int, TracedWindow]] = {}

    @property
    def address(self) -> str:
        """Where it sits."""
        return self._function.address

    @property
    def ids(self) -> PciIds:
        """What it is."""
        return self._function.ids

    @property
    def config(self) -> Config:
        """Its configuration space."""
        return self._config

    @property
    def dma(self) -> Dma:
        """Its memory; what the device does there is its own business and not told."""
        return self._function.dma

    @property
    def gone(self) -> bool:
        """Whether it has left."""
        return self._function.gone

    @property
    def gone_fd(self) -> int:
        """Becomes readable when it leaves."""
        return self._function.gone_fd

    def bar(self, index: int) -> Mmio:
        """Open a base address register."""
        window = self._bars.get(index)
        if window is None:
            window = TracedWindow(self._function.bar(index), f"bar{index}", self._tell)
            self._bars[index] = window
        return window

    def memory(self, index: int) -> Memory:
        """Open a base address register as memory; what is written there is not told."""
        return self._function.memory(index)

    @property
    def interrupts(self) -> Interrupts:
        """How many vectors of each kind it offers."""
        return self._function.interrupts

    def enable_interrupts(self, kind: InterruptKind, count: int = 1) -> list[int]:
        """Switch to `count` vectors of `kind`."""
        self._tell(f"enable {count} {kind} interrupts")
        return self._function.enable_interrupts(kind, count)

    def disable_interrupts(self) -> None:
        """Let it interrupt in no way."""
        self._tell("disable interrupts")
        self._function.disable_interrupts()

    def unmask_intx(self) -> None:
        """Let the INTx line fire again."""
        self._tell("unmask INTx")
        self._function.unmask_intx()

    def set_bus_master(self, on: bool) -> None:
        """Allow or forbid DMA."""
        self._tell(f"bus master {'on' if on else 'off'}")
        self._function.set_bus_master(on)

    def reset(self) -> None:
        """Reset it."""
        self._tell("reset")
        self._function.reset()

    def leave(self) -> None:
        """Let go of it: it has left."""
        self._tell("leave")
        self._function.leave()

    def close(self) -> None:
        """Let go of it."""
        self._function.close()
