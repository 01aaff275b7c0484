"""Requests made of several parts.

Each part is answered like a request; when the last one has ended, so has the client's.  The first
error wins.  No part holds DMA memory while it waits for another, so parts cannot block each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redbear_host.scheme.request import Request

if TYPE_CHECKING:
    from redbear_host.classes.diskio import DiskIo


class Trim(Request):
    """A read of whole blocks of which the client wants only some bytes."""

    __slots__ = ("_outer", "_size", "_skip")

    def __init__(self, outer: Request, skip: int, size: int) -> None:
        super().__init__()
        self._outer: Final = outer
        self._skip: Final = skip
        self._size: Final = size

    def answer(self, result: Any, /) -> None:
        """Pass the wanted bytes of the blocks on."""
        self._outer.answer(result[self._skip : self._skip + self._size])

    def refuse(self, errno: int, /) -> None:
        """Pass the error on."""
        self._outer.refuse(errno)


class Durable(Request):
    """A write through a handle opened with O_FSYNC: answered when the device has flushed it."""

    __slots__ = ("_io", "_outer")

    def __init__(self, io: DiskIo, outer: Request) -> None:
        super().__init__()
        self._io: Final = io
        self._outer: Final = outer

    def answer(self, result: Any, /) -> None:
        """Flush, then tell how many bytes were written."""
        self._io.flush(self._outer, result)

    def refuse(self, errno: int, /) -> None:
        """Pass the error on."""
        self._outer.refuse(errno)


class Ending:
    """A `Done` that answers a request with what was known before."""

    __slots__ = ("_request", "_result")

    def __init__(self, request: Request, result: Any) -> None:
        self._request: Final = request
        self._result: Final = result

    def __call__(self, error: int) -> None:
        """End the request."""
        if error:
            self._request.refuse(error)
        else:
            self._request.answer(self._result)


class Scatter(Request):
    """A change made in parts: call `part` for each, then `sealed` once.

    Parts share the object as their request, as all that matters is how many are left.
    """

    __slots__ = ("_error", "_left", "_outer", "_result")

    def __init__(self, outer: Request, result: Any) -> None:
        super().__init__()
        self._outer: Final = outer
        self._result: Final = result
        self._left = 1  # one for `sealed`
        self._error = 0

    def part(self) -> Scatter:
        """Return the request for one more part."""
        self._left += 1
        return self

    def sealed(self) -> None:
        """There are no more parts."""
        self._end()

    def answer(self, result: Any, /) -> None:
        """One part is done."""
        self._end()

    def refuse(self, errno: int, /) -> None:
        """One part has failed; the others still come to their end."""
        self._error = self._error or errno
        self._end()

    def _end(self) -> None:
        self._left -= 1
        if not self._left:
            if self._error:
                self._outer.refuse(self._error)
            else:
                self._outer.answer(self._result)


class Gather:
    """A read in parts: each copies its bytes to their place, so that its DMA memory is free again.

    Answers with `size` bytes from byte `skip` of `total`.
    """

    __slots__ = ("_bytes", "_parts", "_size", "_skip")

    def __init__(self, outer: Request, total: int, skip: int, size: int) -> None:
        self._bytes: Final = memoryview(bytearray(total))
        self._parts: Final = Scatter(outer, self._bytes[skip : skip + size])
        self._skip: Final = skip
        self._size: Final = size

    def part(self, offset: int) -> Request:
        """Return the request for the part whose first byte belongs at `offset`."""
        return _Piece(self._parts.part(), self._bytes[offset:])

    def sealed(self) -> None:
        """There are no more parts."""
        self._parts.sealed()


class _Piece(Request):
    __slots__ = ("_place", "_whole")

    def __init__(self, whole: Scatter, place: memoryview) -> None:
        super().__init__()
        self._whole: Final = whole
        self._place: Final = place

    def answer(self, result: Any, /) -> None:
        self._place[: len(result)] = result
        self._whole.answer(None)

    def refuse(self, errno: int, /) -> None:
        self._whole.refuse(errno)
