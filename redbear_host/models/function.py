"""A PCI function whose device is a Python model; see `redbear_host.hw.ports.PciFunction`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from redbear_host.errors import DeviceError, Gone
from redbear_host.hw.ports import InterruptKind, Interrupts, Memory, PciIds
from redbear_host.hw.widths import ByWidth
from redbear_host.models.bell import Bell, CountingBell, NewBell
from redbear_host.models.config import ModelConfig
from redbear_host.models.memory import LiveDma

ARENA: Final = 4 << 20  # bytes
IOVA: Final = 0x1000_0000


class Host(Protocol):
    """What a device model may do to the machine it sits in."""

    def memory(self, iova: int, size: int, doing: str, /) -> memoryview | None:
        """Reach DMA memory; None when it may not (`doing` is for the note about it)."""
        ...

    def message(self, vector: int, /) -> None:
        """Send the MSI-X message `vector`, if the driver enabled it."""
        ...

    def line(self, asserted: bool, /) -> None:
        """Raise or lower the INTx line."""
        ...


class Model(Protocol):
    """A device model behind one memory window."""

    @property
    def ids(self) -> PciIds: ...
    @property
    def vectors(self) -> int: ...
    @property
    def window_size(self) -> int: ...
    @property
    def violations(self) -> list[str]: ...
    def plug(self, host: Host, /) -> None: ...
    def read(self, offset: int, width: int, /) -> int: ...
    def write(self, offset: int, value: int, width: int, /) -> None: ...
    def reset(self) -> None: ...


class Slot:
    """A place for one model.  It outlives the drivers that open its function one after another."""

    def __init__(
        self,
        model: Model,
        new_bell: NewBell = CountingBell,
        *,
        address: str = "0000:00:04.0",
        arena: int = ARENA,
        bar: int = 0,
    ) -> None:
        """Plug `model` in; `new_bell` makes what rings for each vector, INTx and removal.

        Its window is base address register `bar`.
        """
        self.model: Final = model
        self.address: Final = address
        self.bar: Final = bar
        self.gone = False
        self.gone_bell: Final = new_bell()
        self.bells: Final = [new_bell() for _ in range(model.vectors)]
        self.intx_bell: Final = new_bell()
        more: Sequence[bytes] = getattr(model, "capabilities", ())  # beside MSI-X; most have none
        self.config: Final = ModelConfig(model.ids, model.vectors, lambda: self.gone, bar, more)
        self._arena: Final = arena
        self._memory = bytearray(arena)
        self.dma = LiveDma(self._memory, IOVA, model.violations)
        self.kind: InterruptKind | None = None
        self.enabled = 0  # vectors
        self._asserted = False
        self._masked = True
        model.plug(self)

    def open(self) -> ModelFunction:
        """Open the function as a new daemon would, whatever its predecessor left behind."""
        self.disable_interrupts()
        self.config.bus_master = False
        self._memory = bytearray(self._arena)
        self.dma = LiveDma(self._memory, IOVA, self.model.violations)
        return ModelFunction(self)

    def pull(self) -> None:
        """Take the device out of the machine without a word."""
        self.gone = True
        self.gone_bell.ring()

    # -- what the model does -----------------------------------------------------------------------

    def memory(self, iova: int, size: int, doing: str, /) -> memoryview | None:
        """Reach DMA memory, if bus mastering is on."""
        if self.gone or not self.config.bus_master:
            return None
        return self.dma.find(iova, size, doing)

    def message(self, vector: int, /) -> None:
        """Ring for a message; one that the driver did not enable is lost."""
        if self.kind is InterruptKind.MSIX and vector < self.enabled and self.config.bus_master:
            self.bells[vector].ring()

    def line(self, asserted: bool, /) -> None:
        """Follow the INTx line: the first rise rings and masks it."""
        self._asserted = asserted
        self._fire()

    def _fire(self) -> None:
        if self._asserted and not self._masked and not self.gone:
            self._masked = True
            self.intx_bell.ring()

    # -- what the driver does ----------------------------------------------------------------------

    def enable_interrupts(self, kind: InterruptKind, count: int) -> list[Bell]:
        """See `PciFunction.enable_interrupts`."""
        offered = {InterruptKind.INTX: 1, InterruptKind.MSI: 0, InterruptKind.MSIX: len(self.bells)}
        if count < 1:
            raise ValueError(f"{count} vectors cannot be enabled")
        if count > offered[kind]:
            raise DeviceError(f"{self.address} offers {offered[kind]} {kind} vectors, not {count}")
        self.disable_interrupts()
        self.kind, self.enabled = kind, count
        bells = [self.intx_bell] if kind is InterruptKind.INTX else self.bells[:count]
        for bell in bells:
            bell.hush()
        if kind is InterruptKind.INTX:
            self.unmask_intx()
        return bells

    def disable_interrupts(self) -> None:
        """No vector rings any more."""
        self.kind, self.enabled, self._masked = None, 0, True

    def unmask_intx(self) -> None:
        """Let the line ring again, at once if it is still up."""
        if self.kind is not InterruptKind.INTX:
            raise ValueError(f"INTx of {self.address} is not enabled")
        self._masked = False
        self._fire()

    def reset(self) -> None:
        """Reset the function (function level reset)."""
        if self.gone:
            raise Gone(f"{self.address} has left and cannot be reset")
        self.disable_interrupts()
        self.config.reset()
        self.model.reset()


class ModelWindow(ByWidth):
    """`Mmio` on a model's registers; `ValueError` for what is no aligned access inside it."""

    def __init__(self, slot: Slot) -> None:
        """Made by `ModelFunction`."""
        self._slot: Final = slot
        self.size: Final = slot.model.window_size
        self.closed = False

    def _read(self, offset: int, width: int) -> int:
        self._check(offset, width)
        return (1 << 8 * width) - 1 if self._slot.gone else self._slot.model.read(offset, width)

    def _write(self, offset: int, value: int, width: int) -> None:
        self._check(offset, width)
        if value >> 8 * width:
            raise ValueError(f"{value:#x} does not fit in {width} bytes")
        if not self._slot.gone:
            self._slot.model.write(offset, value, width)

    def _check(self, offset: int, width: int) -> None:
        if self.closed:
            raise ValueError("this window is closed")
        if offset & width - 1 or not 0 <= offset <= self.size - width:
            raise ValueError(f"no access of {width} bytes at {offset:#x} of {self.size:#x} bytes")


class ModelFunction:
    """`PciFunction` onto a `Slot`."""

    def __init__(self, slot: Slot) -> None:
        """Use `Slot.open`."""
        self.slot: Final = slot
        self.address: Final = slot.address
        self.ids: Final = slot.model.ids
        self.config: Final = slot.config
        self.dma: Final = slot.dma
        self._window: Final = ModelWindow(slot)

    @property
    def gone(self) -> bool:
        """True once the device was pulled."""
        return self.slot.gone

    @property
    def gone_fd(self) -> int:
        """Becomes readable when the device is pulled."""
        return self.slot.gone_bell.fd

    def bar(self, index: int) -> ModelWindow:
        """Open base address register `index`; there is only the model's one."""
        if index != self.slot.bar:
            raise DeviceError(f"{self.address} has no base address register {index}")
        return self._window

    def memory(self, index: int) -> Memory:
        """Raise `DeviceError`: no model has plain memory behind a window."""
        raise DeviceError(f"{self.address} has no memory at base address register {index}")

    @property
    def interrupts(self) -> Interrupts:
        """INTx and the model's MSI-X vectors."""
        return Interrupts(intx=1, msi=0, msix=len(self.slot.bells))

    def enable_interrupts(self, kind: InterruptKind, count: int = 1) -> list[int]:
        """Switch to `count` vectors of `kind`; return what the bells offer as descriptors."""
        return [bell.fd for bell in self.slot.enable_interrupts(kind, count)]

    def disable_interrupts(self) -> None:
        """Let the function interrupt in no way at all."""
        self.slot.disable_interrupts()

    def unmask_intx(self) -> None:
        """Let the INTx line fire again."""
        self.slot.unmask_intx()

    def set_bus_master(self, on: bool) -> None:
        """Allow or forbid DMA and messages."""
        if not self.slot.gone:
            self.slot.config.bus_master = on

    def reset(self) -> None:
        """Reset the function; `Gone` when it has left."""
        self.slot.reset()

    def leave(self) -> None:
        """Do nothing: a slot whose card was pulled reads as all ones by itself."""

    def close(self) -> None:
        """Stop DMA and interrupts, then let go; harmless the second time."""
        if not self._window.closed:
            self.slot.disable_interrupts()
            self.set_bus_master(False)
            self._window.closed = True
