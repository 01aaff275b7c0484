"""One window: opened by path, its pixels mapped, its events read."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Self, TypeVar

from orbital.orbclient.events import RECORD, Event, decode
from orbital.pixels import Image
from orbital.rect import Rect
from redbear_host import client as redox
from redbear_host.abi import flags as f
from redbear_host.abi.orbital import LETTERS, WindowFlag

_AT_ONCE: Final = 64  # events fetched by one read
_PAGE: Final = 4096
_PLAIN: Final = WindowFlag(0)
_AGAIN_S: Final = 5.0  # for Orbital to come back
# Nobody listens, or whoever listens does not serve yet.
_NOT_YET: Final = (errno.EIO, errno.ENODEV, errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOENT)

_Result = TypeVar("_Result")


def _root(display: str) -> str:
    return display or os.environ.get("ORBITAL_DISPLAY") or "/scheme/orbital"


def display_size(number: int = 0, display: str = "") -> tuple[int, int]:
    """Return width and height of a display in pixels; `OSError` (EINVAL) if there is none."""
    if number < 0:  # by that name the scheme would open a window
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    with redox.open(f"{_root(display)}/99.{number}", f.O_RDONLY | f.O_CLOEXEC) as fd:
        fields = redox.fpath(fd).rsplit("99.", 1)[-1].split("/")
    return int(fields[1]), int(fields[2])


class Window:
    """A window, until `close` or the end of a `with`.

    `picture` is what is in it: words 0xAARRGGBB (alpha premultiplied where the window is
    transparent), drawn on by `orbital.pixels`; it is seen after `sync`.  Not for several threads.
    """

    def __init__(
        self,
        width: int,
        height: int,
        title: str = "",
        x: int = -1,
        y: int = -1,
        flags: WindowFlag = _PLAIN,
        display: str = "",
    ) -> None:
        """Open a window; both coordinates -1: wherever there is room.

        `display` is the scheme's path (default: $ORBITAL_DISPLAY, then /scheme/orbital).  `OSError`
        where it cannot be opened.
        """
        # Asynchronous always: whoever waits does so in `events`, for a time or beside other things.
        letters = "".join(c for c, flag in LETTERS.items() if (flags | WindowFlag.ASYNC) & flag)
        self._root: Final = _root(display)
        self._fd = self._open(f"{letters}/{x}/{y}/{width}/{height}/{title}")
        self._queue: redox.EventQueue | None = None
        self._mapping: redox.Mapping | None = None
        self._picture: Image | None = None
        try:
            self._number: Final = redox.fstat(self._fd).st_ino
            self._learn()
            self._map()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the window."""
        self._unmap()
        if self._queue is not None:
            self._queue.close()
            self._queue = None
        self._fd.close()

    def _open(self, path: str) -> redox.Fd:
        return redox.open(f"{self._root}/{path}", f.O_RDWR | f.O_CLOEXEC)

    def _kept(self, call: Callable[[redox.Fd], _Result]) -> _Result:
        """Do something with the window; once more, if Orbital has been started again meanwhile.

        It still has the window then, and the same memory.
        """
        try:
            return call(self._fd)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
        until = time.monotonic() + _AGAIN_S
        while True:
            try:
                again = self._open(f"own/{self._number}")
                break
            except OSError as error:
                if error.errno not in _NOT_YET or time.monotonic() > until:
                    raise
            time.sleep(0.02)
        old, self._fd = self._fd, again
        if self._queue is not None:
            self._queue.unsubscribe(old)
            self._queue.subscribe(again, f.EVENT_READ, self)
        old.close()
        return call(again)

    # -- what it is ----------------------------------------------------------------------------

    def _learn(self) -> None:
        _, x, y, width, height, title = self._kept(redox.fpath).split("/", 5)
        self.place = Rect(int(x), int(y), int(width), int(height))
        self._title = title

    @property
    def width(self) -> int:
        """Of the picture, in pixels."""
        return self.place.width

    @property
    def height(self) -> int:
        """Of the picture, in pixels."""
        return self.place.height

    @property
    def title(self) -> str:
        """What its title bar says."""
        return self._title

    @title.setter
    def title(self, text: str) -> None:
        self.command(f"T,{text}")
        self._title = text

    @property
    def picture(self) -> Image:
        """What is in the window; another one after `resize`."""
        if self._picture is None:
            raise OSError(errno.EINVAL, "the window has no pixels")
        return self._picture

    # -- its pixels ----------------------------------------------------------------------------

    def _map(self) -> None:
        width, height = self.place.width, self.place.height
        length = -(-width * height * 4 // _PAGE) * _PAGE
        if not length:
            return
        self._mapping = self._kept(lambda fd: redox.fmap(fd, length))
        self._picture = Image(width, height, self._mapping.memory)

    def _unmap(self) -> None:
        if self._picture is not None:
            self._picture.close()
            self._picture = None
        if self._mapping is not None:
            with suppress(OSError):  # it was mapped from a daemon that is no more
                self._mapping.close()
            self._mapping = None

    def resize(self, width: int, height: int) -> None:
        """Take another size: what was in both is still there, the rest is zero."""
        self._unmap()
        try:
            self.command(f"S,{width},{height}")
        finally:
            self._learn()
            self._map()

    def sync(self, damage: Sequence[Rect] = ()) -> None:
        """Show what was drawn: all, or what is in some rectangles."""
        if damage:
            self.command("Y" + "".join(f",{r.x},{r.y},{r.width},{r.height}" for r in damage))
        else:
            self._kept(redox.fsync)

    # -- what it can be told -------------------------------------------------------------------

    def command(self, text: str) -> None:
        """Write one of the scheme's commands; `OSError` (EINVAL) if it is none."""
        self._kept(lambda fd: redox.write(fd, text.encode()))

    def move(self, x: int, y: int) -> None:
        """Go to another place of the desktop."""
        self.command(f"P,{x},{y}")
        self.place = Rect(x, y, self.place.width, self.place.height)

    def set_flags(self, flags: WindowFlag, on: bool) -> None:
        """Set or clear what `WindowFlag` names."""
        letters = "".join(letter for letter, flag in LETTERS.items() if flags & flag)
        self.command(f"F,{letters},{int(on)}")

    def show_cursor(self, on: bool) -> None:
        """Let the pointer be seen above the window, or not."""
        self.command(f"M,C,{int(on)}")

    def grab(self, on: bool) -> None:
        """Keep the pointer in the window, while it has the keyboard."""
        self.command(f"M,G,{int(on)}")

    def relative(self, on: bool) -> None:
        """Hear of movements (`MouseRelative`) instead of places."""
        self.command(f"M,R,{int(on)}")

    @property
    def clipboard(self) -> bytes:
        """What was copied last, here or elsewhere; `OSError` (EACCES) if it is not ours to see."""
        with self._kept(lambda fd: redox.dup(fd, b"clipboard")) as fd:
            found = b""
            while part := redox.read(fd, 1 << 16):
                found += part
        return found

    @clipboard.setter
    def clipboard(self, data: bytes) -> None:
        with self._kept(lambda fd: redox.dup(fd, b"clipboard")) as fd:
            redox.write(fd, data)

    # -- what happens --------------------------------------------------------------------------

    @property
    def queue(self) -> redox.EventQueue:
        """The queue that has an event when the window has some: for who waits for more besides."""
        if self._queue is None:
            self._queue = redox.EventQueue()
            self._queue.subscribe(self._fd, f.EVENT_READ, self)
        return self._queue

    def fileno(self) -> int:
        """Return a descriptor that is readable when there may be events, for poll and the like."""
        return self.queue.fileno()

    def events(self, timeout: float | None = None) -> list[Event]:
        """Return what has happened, at most 64 at a time.

        Waits for the first, for at most `timeout` seconds: 0 not at all, None as long as it takes.
        """
        found = self._read()
        if found or timeout == 0:
            return found
        until = None if timeout is None else time.monotonic() + timeout
        queue = self.queue  # subscribed before the next look: what comes in between is not missed
        while not (found := self._read()):
            left = None if until is None else max(0.0, until - time.monotonic())
            if queue.next_event(left) is None:
                return self._read()
        return found

    def _read(self) -> list[Event]:
        return list(decode(self._kept(lambda fd: redox.read(fd, _AT_ONCE * RECORD))))
