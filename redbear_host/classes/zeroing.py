"""Zeroing a range of blocks: by the device where it can, by writing where it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redbear_host.abi import errno as e
from redbear_host.scheme.request import Request

if TYPE_CHECKING:
    from redbear_host.classes.diskio import DiskIo

ZEROES: Final = memoryview(bytes(1 << 20))  # as long as the longest transfer
STEP: Final = 1 << 16  # blocks per command; the most an NVMe command can name


class Zeroing(Request):
    """Blocks `first` to `stop`, a step at a time; it is also the request of each step.

    One step after the other, as a whole disk has thousands, and nobody who zeroes one shall keep
    everybody else from it.  Between two steps the client may give up.
    """

    __slots__ = ("_deallocate", "_io", "_outer", "_stop", "end", "first", "origin")

    def __init__(
        self,
        io: DiskIo,
        first: int,
        stop: int,
        deallocate: bool,
        outer: Request,
        origin: Request,
    ) -> None:
        super().__init__()
        self._io: Final = io
        self._stop: Final = stop
        self._deallocate: Final = deallocate
        self._outer: Final = outer
        self.origin: Final = origin
        self.first = self.end = first  # the blocks of this step

    @property
    def request(self) -> Request:
        """What is refused when the step is withdrawn."""
        return self

    def step(self) -> None:
        """Zero the next blocks, or end."""
        io, self.first = self._io, self.end
        if self.first == self._stop:
            self._outer.answer(None)
        elif self.origin.cancelled:
            self._outer.refuse(e.ECANCELED)
        elif io.zeroes_itself:
            self.end = min(self.first + STEP, self._stop)
            io.admit(self)
        else:
            blocks = min(self._stop - self.first, io.large.size >> io.shift)
            self.end = self.first + blocks
            io.store(self.first, ZEROES[: blocks << io.shift], self, self.origin)

    def may_start(self) -> bool:
        """Wait for edits of any of the blocks."""
        return not self._io.edited(self.first, self.end)

    def start(self) -> None:
        """Have the device zero the blocks of this step."""
        io = self._io
        io.zeroing.append(self)
        io.queued = True
        io.ahead.changed(self.first, self.end)
        io.disk.write_zeroes(self.first, self.end - self.first, self._deallocate, self._done)

    def _done(self, error: int) -> None:
        io = self._io
        io.zeroing.remove(self)
        if error == e.EOPNOTSUPP:
            io.zeroes_itself = False
            self.end = self.first
            self.step()
        elif error:
            self._outer.refuse(error)
        else:
            self.step()
        if io.stalled:
            io.resume()

    def answer(self, result: Any, /) -> None:
        """Go on after a step that was written."""
        self.step()

    def refuse(self, errno: int, /) -> None:
        """End, as a step has failed or was withdrawn."""
        self._outer.refuse(errno)
