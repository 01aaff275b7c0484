"""nvmed's driver on the Python model, with time and interrupts in the test's hands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from daemons.nvmed.driver import Controller, State
from daemons.nvmed.namespace import Namespace
from redbear_host.hw.ports import InterruptKind
from redbear_host.models.bell import CountingBell
from redbear_host.models.clock import FakeClock
from redbear_host.models.function import Slot
from redbear_host.models.nvme import Media, NvmeModel

TIMEOUT = 1.0


class Bench:
    """A controller that is started on demand, and the record of how its commands ended."""

    def __init__(
        self,
        media: Mapping[int, Media] | None = None,
        *,
        vectors: int = 2,
        kind: InterruptKind = InterruptKind.MSIX,
        driver: Mapping[str, Any] | None = None,
        **model: Any,
    ) -> None:
        self.clock = FakeClock()
        self.model = NvmeModel({1: Media()} if media is None else media, self.clock, **model)
        self.slot = Slot(self.model)
        self.function = self.slot.open()
        self.function.enable_interrupts(kind, vectors)
        self.kind = kind
        options: dict[str, Any] = {"timeout": TIMEOUT, "depth": 16, **(driver or {})}
        self.controller = Controller(self.function, self.clock, vectors=vectors, **options)
        self.ended: dict[object, int] = {}

    def start(self) -> Namespace:
        """Start it and return its first namespace."""
        self.controller.start()
        self.deliver()
        return self.controller.namespaces[0]

    def done(self, tag: object) -> Callable[[int], None]:
        """A `Done` that remembers how the command `tag` ended, and that it ended once."""

        def done(errno: int) -> None:
            assert tag not in self.ended, f"{tag} ended twice"
            self.ended[tag] = errno

        return done

    def deliver(self) -> None:
        """Deliver interrupts until none is pending."""
        bells = self.slot.bells
        while True:
            rung = [index for index, bell in enumerate(bells) if isinstance(bell, CountingBell)]
            rung = [index for index in rung if bells[index].rings]  # type: ignore[attr-defined]
            line = self.slot.intx_bell
            assert isinstance(line, CountingBell)
            if not rung and not line.rings:
                return
            for index in rung:
                bells[index].hush()
                self.controller.on_interrupt(index)
            if line.rings:
                line.hush()
                self.controller.on_interrupt(0)
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

    def wait_until(self, state: State, within: float = 30.0) -> None:
        """Let time pass until the controller is in `state`."""
        end = self.clock.now() + within
        while self.controller.state is not state:
            assert self.clock.now() < end, f"{self.controller.state} after {within} s"
            self.wait(0.01)

    def write(self, lba: int, data: bytes, tag: object = None) -> int:
        """Write whole blocks and wait; return the errno."""
        disk = self.controller.namespaces[0]
        chunk = disk.chunk(len(data))
        chunk.view[: len(data)] = data
        tag = object() if tag is None else tag
        disk.write(lba, len(data) // disk.block_size, chunk, self.done(tag))
        disk.flush_queue()
        self.deliver()
        chunk.free()
        return self.ended[tag]

    def read(self, lba: int, blocks: int) -> tuple[int, bytes]:
        """Read and wait; return the errno and the bytes."""
        disk = self.controller.namespaces[0]
        chunk = disk.chunk(blocks * disk.block_size)
        tag = object()
        disk.read(lba, blocks, chunk, self.done(tag))
        disk.flush_queue()
        self.deliver()
        data = bytes(chunk.view)
        chunk.free()
        return self.ended[tag], data
