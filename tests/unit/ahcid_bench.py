"""ahcid's driver on the Python model, with time and interrupts in the test's hands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daemons.ahcid.disk import AtaDisk
from daemons.ahcid.driver import Controller
from daemons.ahcid.port import Port
from redbear_host.hw.ports import InterruptKind
from redbear_host.models.ahci import AhciModel, Drive
from redbear_host.models.bell import CountingBell
from redbear_host.models.clock import FakeClock
from redbear_host.models.function import Slot

TIMEOUT = 1.0


class Bench:
    """A controller that is started on demand, and the record of how its commands ended."""

    def __init__(
        self,
        drives: Sequence[Drive | None] | None = None,
        *,
        kind: InterruptKind = InterruptKind.MSIX,
        driver: Mapping[str, Any] | None = None,
        **model: Any,
    ) -> None:
        self.clock = FakeClock()
        self.model = AhciModel([Drive()] if drives is None else drives, self.clock, **model)
        self.slot = Slot(self.model, bar=5)
        self.function = self.slot.open()
        self.function.enable_interrupts(kind)
        options: dict[str, Any] = {"timeout": TIMEOUT, **(driver or {})}
        self.controller = Controller(self.function, self.clock, **options)
        self.ended: dict[object, int] = {}

    def start(self) -> AtaDisk:
        """Start it and return its first disk."""
        self.controller.start()
        self.deliver()
        return self.disk()

    def disk(self, index: int = 0) -> AtaDisk:
        disk = self.controller.disks[index]
        assert isinstance(disk, AtaDisk)
        return disk

    def port(self, index: int = 0) -> Port:
        return self.controller._ports[index]

    def done(self, tag: object) -> Callable[[int], None]:
        """A `Done` that remembers how the command `tag` ended, and that it ended once."""

        def done(errno: int) -> None:
            assert tag not in self.ended, f"{tag} ended twice"
            self.ended[tag] = errno

        return done

    def deliver(self) -> None:
        """Deliver interrupts until none is pending."""
        (bell,) = self.slot.bells
        line = self.slot.intx_bell
        assert isinstance(bell, CountingBell)
        assert isinstance(line, CountingBell)
        while bell.rings or line.rings:
            if bell.rings:
                bell.hush()
                self.controller.on_interrupt()
            if line.rings:
                line.hush()
                self.controller.on_interrupt()
                self.function.unmask_intx()

    def wait(self, seconds: float) -> None:
        """Let time pass as the daemon's loop does: interrupts, and `tick` when it is due."""
        end = self.clock.now() + seconds
        self.deliver()
        while self.clock.now() < end:
            step = min(end, self.controller.deadline) - self.clock.now()
            self.clock.pause(max(step, 0.0001))
            if self.clock.now() >= self.controller.deadline:
                self.controller.tick(self.clock.now())
            self.deliver()

    def wait_until(self, ready: Callable[[], bool], within: float = 100.0) -> None:
        """Let time pass until something is so."""
        end = self.clock.now() + within
        while not ready():
            assert self.clock.now() < end, f"not so after {within} s"
            self.wait(0.01)

    def write(self, lba: int, data: bytes, index: int = 0) -> int:
        """Write whole blocks and wait; return the errno."""
        disk = self.disk(index)
        chunk = disk.chunk(len(data))
        chunk.view[: len(data)] = data
        tag = object()
        disk.write(lba, len(data) // disk.block_size, chunk, self.done(tag))
        disk.flush_queue()
        self.wait_until(lambda: tag in self.ended)
        chunk.free()
        return self.ended[tag]

    def read(self, lba: int, blocks: int, index: int = 0) -> tuple[int, bytes]:
        """Read and wait; return the errno and the bytes."""
        disk = self.disk(index)
        chunk = disk.chunk(blocks * disk.block_size)
        tag = object()
        disk.read(lba, blocks, chunk, self.done(tag))
        disk.flush_queue()
        self.wait_until(lambda: tag in self.ended)
        data = bytes(chunk.view)
        chunk.free()
        return self.ended[tag], data
