"""Functions that come and go: what Linux says of its PCI buses while we run.

Ref: Linux, Documentation/core-api/kobject.rst (uevents); netlink(7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from redbear_host.scheme.loop import Loop, Timer

# Linux's own drivers look at a new function first; in their midst it is nobody's to take.
SETTLED_S: Final = 0.3


class Hotplug:
    """Calls back for each function that has come, once its driver has it, or that has left."""

    def __init__(
        self,
        loop: Loop,
        on_come: Callable[[str], object],
        on_settled: Callable[[str], object],
        on_left: Callable[[str], object],
    ) -> None:
        """Begin to listen; `OSError` where that is not allowed."""
        # Here and not above: nobody waits for it, but for what comes before.
        import pyudev

        self._loop: Final = loop
        self._on_come: Final = on_come
        self._on_settled: Final = on_settled
        self._on_left: Final = on_left
        self._settling: Final[dict[str, Timer]] = {}
        # What the kernel says, not what udev makes of it: there need not be a udev.
        self._monitor: Final[Any] = pyudev.Monitor.from_netlink(pyudev.Context(), "kernel")
        self._monitor.filter_by("pci")
        self._monitor.start()
        loop.watch(self._monitor.fileno(), self._read)

    def close(self) -> None:
        """Listen no longer."""
        self._loop.unwatch(self._monitor.fileno())
        for timer in self._settling.values():
            timer.cancel()

    def _read(self) -> None:
        while (event := self._monitor.poll(0)) is not None:
            self.happened(event.action, event.sys_name)

    def happened(self, action: str, address: str) -> None:
        """Take one event of the kernel's."""
        timer = self._settling.pop(address, None)
        if timer is not None:
            timer.cancel()
        if action == "remove":
            self._on_left(address)
        elif action == "add" or timer is not None:
            if action == "add":
                self._on_come(address)
            self._settling[address] = self._loop.at(
                self._loop.now() + SETTLED_S, lambda: self._settled(address)
            )

    def _settled(self, address: str) -> None:
        del self._settling[address]
        self._on_settled(address)
