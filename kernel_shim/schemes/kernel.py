"""What the kernel's schemes share: the loop, what the shim has told, and the way to ask it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kernel_shim.schemes.ring_log import RingLog
from redbear_host.daemon import Daemon
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.meter import Meter
from schemefs.journal import Journal


@dataclass(frozen=True)
class SchemeNote:
    """One scheme that is mounted, with the journal of what its clients ask, and its meter."""

    name: str
    service: str  # of the daemon behind it
    journal: Journal
    meter: Meter


@dataclass(frozen=True)
class IrqNote:
    """One interrupt of a device that a daemon drives: an eventfd whose count nobody resets.

    `unmask_fd` is an eventfd that lets a level-triggered line fire again, or -1.
    """

    device: str  # PCI address
    vector: int
    kind: str  # "intx", "msi", "msix"
    event_fd: int
    unmask_fd: int
    line: int = 0  # what configuration space says of an INTx line (INTERRUPT_LINE); 0: nothing


def _not_wanted(message: Mapping[str, Any], fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


class Kernel:
    """What is up, as the supervisor tells it."""

    def __init__(self, daemon: Daemon) -> None:
        self.loop: Final[Loop] = daemon.loop
        self.run_dir: Final = Path(daemon.facts["run_dir"])
        self.mount: Final = Path(daemon.facts["mount"])
        self.console: Final[str] = daemon.facts.get("console", "")  # path of a terminal, or ""
        self.log: Final = RingLog()
        self.schemes: Final[dict[str, SchemeNote]] = {}
        self.irqs: Final[dict[tuple[str, int], IrqNote]] = {}
        self.on_irqs: list[Callable[[str], object]] = []  # called with a device that has others now
        self.on_serio: Callable[[Mapping[str, Any], list[int]], object] = _not_wanted
        self.irq_counts: Callable[[], Mapping[int, int]] = dict  # by irq number; `irq` says it
        self._daemon: Final = daemon
        self.ask: Final = daemon.ask
        daemon.on_told = self._on_told

    def _on_told(self, message: dict[str, Any], fds: list[int]) -> None:
        if "scheme" in message:
            name, journal_fd, meter_fd = message["scheme"], *fds
            self.schemes[name] = SchemeNote(
                name, message["service"], Journal.open(journal_fd), Meter(meter_fd)
            )
            fds.clear()
        elif "no_scheme" in message:
            self._forget_scheme(message["no_scheme"])
        elif "irq" in message:
            self._learn_irqs(message, fds)
        elif "serio" in message:
            self.on_serio(message, fds)
            fds.clear()
        for fd in fds:
            os.close(fd)

    def _forget_scheme(self, name: str) -> None:
        note = self.schemes.pop(name, None)
        if note is not None:
            note.journal.close()
            note.meter.close()

    def _learn_irqs(self, message: dict[str, Any], fds: list[int]) -> None:
        """Take the interrupts of one device: an eventfd each, and one to unmask its line.

        They replace what the device had; its listeners let go of that before it is closed.
        """
        device, kind = message["irq"], message["kind"]
        unmask = fds.pop() if message["unmasks"] else -1
        before = [self.irqs.pop(key) for key in tuple(self.irqs) if key[0] == device]
        for vector, fd in enumerate(fds):
            self.irqs[device, vector] = IrqNote(device, vector, kind, fd, unmask, message["line"])
        for listener in self.on_irqs:
            listener(device)
        fds[:] = {note.event_fd for note in before} | {note.unmask_fd for note in before} - {-1}
