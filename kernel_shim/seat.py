"""Who sits before the screens: the cards and the virtual terminal that Orbital has while it lives.

A daemon that is locked in may draw on a card whose descriptor it holds, but neither become its
master nor let go of that, nor switch terminals: that is done here, by order of Linux (the user
presses Ctrl+Alt+F2) and never by Orbital's leave: one that hangs loses the screen after a second.
When its process ends, however it does, the cards are closed, so that Linux's console has them
again, and the terminal shows text.

A daemon with `seat` among its `asks` hears of it; one whose option `cards` names some gets them.
So it is with Linux's own frame buffer, which has no master, and the option `framebuffer`:

```
set-up           "seat": {"cards": {NAME: index of the descriptor}, "vt": 7, "active": bool}
shim → daemon    {"seat": "release"}     let go of the screen, or of what is typed; then say
daemon → shim    {"seat": "released"}
shim → daemon    {"seat": "acquired"}    it is there again
daemon → shim    {"seat": "switch", "vt": 3}
```
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from kernel_shim import console
from kernel_shim.console import Console
from kernel_shim.service import Running
from redbear_host.errors import ConfigError
from redbear_host.scheme.loop import Loop, Timer

log = logging.getLogger(__name__)

RIGHT: Final = "seat"  # among a manifest's `asks`

_SET_MASTER: Final = 0x641E  # drm.h: _IO('d', 0x1e), _IO('d', 0x1f)
_DROP_MASTER: Final = 0x641F
_FOLDER: Final = Path("/dev/dri")
_PATIENCE_S: Final = 1.0  # for daemons to let go
_AGAIN_S: Final = 0.1  # between two attempts to become master
_RELEASE: Final = signal.SIGUSR1
_ACQUIRE: Final = signal.SIGUSR2


class Seat:
    """The one seat of an instance; it is taken while a daemon with cards lives."""

    def __init__(self, loop: Loop, on_change: Callable[[], object]) -> None:
        """`on_change` writes down what would have to be undone."""
        self._loop: Final = loop
        self._on_change: Final = on_change
        self._heirs: Final[list[Running]] = []  # all that hear of it
        self._owner: Running | None = None
        self._cards: dict[str, int] = {}
        self._console: Console | None = None
        self._active = False
        self._waits_for: set[str] = set()  # before the terminal is let go
        self._timer: Timer | None = None
        self._signals = -1
        self._handlers: dict[int, Any] = {}

    # -- what the supervisor sees happen -----------------------------------------------------------

    def add(self, running: Running) -> None:
        """Hear of a service before its first life."""
        if RIGHT in running.service.asks:
            self._heirs.append(running)

    def prepare(self, running: Running) -> None:
        """Open what the next life gets, for this life alone.

        `ConfigError` for a card that there is not, or that is somebody else's.
        """
        names = cards_of(running.service.options) if running in self._heirs else []
        if names and self._owner in (None, running):
            self._leave()
            self._sit(running, names, int(running.service.options.get("vt", 0)))

    def setup(self, running: Running, fds: list[int]) -> Mapping[str, Any]:
        """Return what a life's set-up says of the seat."""
        if self._owner is None or running not in self._heirs:
            return {}
        cards = {}
        if self._owner is running:
            for name, fd in self._cards.items():
                cards[name] = len(fds)
                fds.append(fd)
        number = 0 if self._console is None else self._console.number
        return {RIGHT: {"cards": cards, "vt": number, "active": self._active}}

    def on_death(self, running: Running) -> None:
        """Hear that a life has ended: the console comes back, if it was the owner's."""
        self._waits_for.discard(running.service.name)
        if running is self._owner:
            self._leave()
            self._on_change()
        elif self._timer is not None:
            self._look()

    def on_said(self, running: Running, said: Mapping[str, Any]) -> None:
        """Take what a daemon says of the seat; what makes no sense is written down."""
        word = said.get(RIGHT)
        if word == "released":
            self._waits_for.discard(running.service.name)
            self._look()
        elif word == "switch" and running is self._owner and self._console is not None:
            number = said.get("vt")
            if type(number) is int and 0 < number <= console.MOST:
                with suppress(OSError):
                    self._console.switch_to(number)
        else:
            log.warning("%s says of the seat: %.100s", running.service.name, said)

    def close(self) -> None:
        """Give everything back."""
        self._leave()

    def describe(self) -> dict[str, Any] | None:
        """Return what `kernel_shim.undo` needs; None while nobody sits here."""
        return None if self._console is None else self._console.describe()

    # -- taking and leaving it ---------------------------------------------------------------------

    def _sit(self, running: Running, names: Sequence[str], vt: int) -> None:
        try:
            for name in names:
                self._cards[name] = open_card(name)
            self._owner = running
            if console.exist():
                self._console = Console(vt)
                self._on_change()  # before it is taken
                self._listen()
                self._console.take(_RELEASE, _ACQUIRE)
                self._active = False
                if self._console.is_active:  # it was: there will be no signal
                    self._active = True
            else:
                self._active = True
        except BaseException:
            self._leave()
            raise
        if self._active:
            self._tell("acquired", [heir for heir in self._heirs if heir is not running])

    def _leave(self) -> None:
        """Close the cards, which gives them to Linux's console, then show its text."""
        if self._owner is None and not self._cards:
            return
        self._wait_no_more()
        others = [heir for heir in self._heirs if heir is not self._owner]
        self._owner = None
        self._active = False
        self._tell("release", others)
        for fd in self._cards.values():
            os.close(fd)
        self._cards = {}
        held, self._console = self._console, None
        if held is not None:
            try:
                held.give_back()
            except OSError as error:
                log.error("terminal %d stays as it is: %s", held.number, error.strerror)
            self._listen_no_more()

    # -- switching ---------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Have Linux's two signals wake the loop, whatever it is doing."""
        self._signals = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._loop.watch(self._signals, self._on_signals)
        wanted: set[int] = set()
        self._wanted = wanted

        def handler(number: int, _: object) -> None:
            wanted.discard(_RELEASE + _ACQUIRE - number)  # only the last counts
            wanted.add(number)
            os.eventfd_write(self._signals, 1)

        self._handlers = {number: signal.signal(number, handler) for number in (_RELEASE, _ACQUIRE)}

    def _listen_no_more(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
        if self._signals >= 0:
            self._loop.unwatch(self._signals)
            os.close(self._signals)
            self._signals = -1

    def _on_signals(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._signals)
        if _RELEASE in self._wanted:
            self._wanted.discard(_RELEASE)
            self._release()
        elif _ACQUIRE in self._wanted:
            self._wanted.discard(_ACQUIRE)
            self._wait_no_more()
            if self._console is not None:
                self._console.acknowledge()
            self._acquire(_PATIENCE_S / _AGAIN_S)

    def _release(self) -> None:
        self._wait_no_more()
        self._active = False
        listening = [heir for heir in self._heirs if heir.control is not None]
        self._waits_for = {heir.service.name for heir in listening}
        self._tell("release", listening)
        self._timer = self._loop.at(self._loop.now() + _PATIENCE_S, self._let_go)
        self._look()

    def _look(self) -> None:
        """Let go once all have."""
        if self._timer is not None and not self._waits_for:
            self._let_go()

    def _let_go(self) -> None:
        if self._waits_for:
            log.warning("%s does not let go of the screen", ", ".join(sorted(self._waits_for)))
        self._wait_no_more()
        for name, fd in self._mastered():
            try:
                fcntl.ioctl(fd, _DROP_MASTER)
            except OSError as error:
                log.warning("%s: %s", name, error.strerror)
        if self._console is not None:
            self._console.let_go()

    def _acquire(self, attempts: float) -> None:
        """Become master of all cards; who had the screen may take a moment to let go."""
        self._timer = None
        for name, fd in self._mastered():
            try:
                fcntl.ioctl(fd, _SET_MASTER)
            except OSError as error:
                if attempts <= 0:
                    log.error("%s is not ours again: %s", name, _whose(name, error))
                    continue
                again = self._loop.now() + _AGAIN_S
                self._timer = self._loop.at(again, lambda: self._acquire(attempts - 1))
                return
        self._active = True
        self._tell("acquired", self._heirs)

    def _mastered(self) -> list[tuple[str, int]]:
        """Return the cards that one process at a time is the master of."""
        return [(name, fd) for name, fd in self._cards.items() if not _is_framebuffer(name)]

    def _wait_no_more(self) -> None:
        self._waits_for = set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self, word: str, heirs: Iterable[Running]) -> None:
        for heir in heirs:
            heir.tell({RIGHT: word})


def cards_of(options: Mapping[str, Any]) -> list[str]:
    """Return the cards that a daemon's options name, if it is to show anything there."""
    if "framebuffer" in options:
        return str(options["framebuffer"]).removeprefix("/dev/").split()
    if options.get("output", "auto") not in ("auto", "kms"):
        return []
    return str(options.get("cards", "")).split()


def open_card(name: str) -> int:
    """Open `card0` below /dev/dri and be its master; `ConfigError` says why that cannot be."""
    if _is_framebuffer(name):
        return _open_framebuffer(Path("/dev", name))
    path = _FOLDER / name
    try:
        if "/" in name or not path.is_char_device():
            raise FileNotFoundError(errno.ENOENT, "there is no such card")
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        there = " ".join(sorted(each.name for each in _FOLDER.glob("card*"))) or "none"
        raise ConfigError(
            f"{path} cannot be used: {error.strerror}", f"cards on this machine: {there}"
        ) from error
    try:
        fcntl.ioctl(fd, _SET_MASTER)
    except OSError as error:
        os.close(fd)
        raise ConfigError(
            f"{path} is in use: {_whose(name, error)}",
            "end that program, or leave the card out",
        ) from error
    return fd


def _is_framebuffer(name: str) -> bool:
    return name.startswith("fb")


def _open_framebuffer(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        there = " ".join(sorted(each.name for each in Path("/dev").glob("fb*"))) or "none"
        raise ConfigError(
            f"{path} cannot be used: {error.strerror}", f"frame buffers on this machine: {there}"
        ) from error


def _whose(name: str, error: OSError) -> str:
    """Say who has a card open, as far as can be found out."""
    holders = [f"{program} (process {pid})" for pid, program in _holders(f"{_FOLDER}/{name}")]
    return ", ".join(holders) or os.strerror(error.errno or 0)


def _holders(path: str) -> Iterator[tuple[int, str]]:
    own = os.getpid()
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or int(process.name) == own:
            continue
        with suppress(OSError):  # it has ended
            if any(_leads_to(link, path) for link in (process / "fd").iterdir()):
                yield int(process.name), (process / "comm").read_text().strip()


def _leads_to(link: Path, path: str) -> bool:
    try:
        return os.readlink(link) == path
    except OSError:
        return False
