"""What the programs have in common: one window, what it waits for, and how it ends."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from typing import Final

from orbital.orbclient import Event, Quit, Rect, Resize, Window
from redbear_host.errors import ConfigError, TransportError

__all__ = ["Program", "started"]

_AT_MOST_S: Final = 3600.0  # poll's longest wait; nothing depends on it


class Program:
    """One window until it is closed: subclasses draw it, and hear what happens.

    `draw` is called when `stale` was set, after everything that has happened was heard.
    """

    def __init__(self, window: Window) -> None:
        self.window: Final = window
        self.stale = True
        self.ended = False
        self._poll: Final = select.poll()
        self._readers: Final[dict[int, Callable[[], object]]] = {}
        self._beat: tuple[float, Callable[[], object]] | None = None
        self._next = 0.0
        self.watch(window.fileno(), self._hear)

    # -- what a subclass does ----------------------------------------------------------------------

    def draw(self) -> list[Rect]:
        """Draw what has changed; return where, or nothing for everywhere."""
        return []

    def on_event(self, event: Event) -> None:
        """Hear of one event; `super` closes and resizes."""
        if isinstance(event, Quit):
            self.ended = True
        elif isinstance(event, Resize) and (event.width, event.height) != self.window.place[2:]:
            self.window.resize(max(event.width, 1), max(event.height, 1))
            self.stale = True

    # -- what it can ask for -----------------------------------------------------------------------

    def watch(self, fd: int, reader: Callable[[], object]) -> None:
        """Have `reader` called whenever `fd` can be read."""
        self._readers[fd] = reader
        self._poll.register(fd, select.POLLIN)

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor, before it is closed."""
        del self._readers[fd]
        self._poll.unregister(fd)

    def every(self, seconds: float, beat: Callable[[], object]) -> None:
        """Have `beat` called again and again: at whole multiples of `seconds` of the day."""
        self._beat = seconds, beat
        self._wind()

    def _wind(self) -> None:
        if self._beat is not None:
            seconds = self._beat[0]
            self._next = time.monotonic() + seconds - time.time() % seconds

    # -- its life ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Go on until the window is closed."""
        while not self.ended:
            if self.stale:
                self.stale = False
                self.window.sync(self.draw())
            wait = _AT_MOST_S if self._beat is None else max(0.0, self._next - time.monotonic())
            for fd, _ in self._poll.poll(int(wait * 1000) + 1):
                reader = self._readers.get(fd)
                if reader is not None:
                    reader()
            if self._beat is not None and time.monotonic() >= self._next:
                self._beat[1]()
                self._wind()

    def _hear(self) -> None:
        while not self.ended and (events := self.window.events(0)):
            for event in events:
                self.on_event(event)


def started(main: Callable[[], None]) -> int:
    """Run a program's main; return its exit status, its errors said in one sentence."""
    name = os.path.basename(sys.argv[0])
    try:
        main()
    except KeyboardInterrupt:
        return 130
    except (ConfigError, TransportError) as error:
        status = 2 if isinstance(error, ConfigError) else 3
        said, hint = str(error), error.hint
    except OSError as error:
        status, said = 3, error.strerror or str(error)
        hint = "windows are at $ORBITAL_DISPLAY, by default /scheme/orbital: is redbear-host up?"
    else:
        return 0
    sys.stderr.write(f"{name}: {said}\n" + (f"hint: {hint}\n" if hint else ""))
    return status
