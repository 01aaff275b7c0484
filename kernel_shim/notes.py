"""What the daemon of the kernel's schemes is told: by the supervisor, in each of its lives."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from kernel_shim.device import Device
from kernel_shim.service import Running
from redbear_host.hw.ports import InterruptKind

log = logging.getLogger(__name__)

_Note: TypeAlias = tuple[Mapping[str, Any], Sequence[int]]  # a message, and what travels with it


class Notes:
    """The notes that hold now, by their keys."""

    def __init__(self, running: Sequence[Running]) -> None:
        """Tell whichever of `running` serves the kernel's schemes; the list is the supervisor's."""
        self._running: Final = running
        self._notes: Final[dict[str, _Note]] = {}

    def note(self, key: str, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        """Tell it something, and each successor of it again.

        The descriptors stay the caller's, and must live until `forget(key)`.
        """
        self._notes[key] = (message, fds)
        self._tell(message, fds)

    def forget(self, key: str, message: Mapping[str, Any]) -> None:
        """Take a note back: `message` says so to the present daemon."""
        if self._notes.pop(key, None) is not None:
            self._tell(message, ())

    def repeat(self, running: Running) -> None:
        """Tell a successor what holds."""
        for message, fds in self._notes.values():
            running.tell(message, fds)

    def note_interrupts(self, device: Device, message: Mapping[str, Any]) -> None:
        """Let the scheme `irq` show the vectors that a daemon says it has switched on."""
        kind, count, line = (message.get(key) for key in ("interrupts", "vectors", "line"))
        if kind not in tuple(InterruptKind) or type(count) is not int or type(line) is not int:
            log.warning(
                "the daemon of %s says what makes no sense: %.100s", device.address, message
            )
            return
        found = device.interrupts(kind, max(0, count))
        unmasks = found.unmask_fd >= 0
        self.note(
            f"irq {device.address}",
            {
                "irq": device.address,
                "kind": kind,
                "line": line,
                "unmasks": unmasks,
            },
            [*found.event_fds, found.unmask_fd] if unmasks else found.event_fds,
        )

    def _tell(self, message: Mapping[str, Any], fds: Sequence[int]) -> None:
        for running in self._running:
            if running.service.is_kernel:
                running.tell(message, fds)
