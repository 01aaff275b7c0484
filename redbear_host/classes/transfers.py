"""DMA memory for requests in flight: pools of transfers that are made once and kept.

A transfer is a chunk of DMA memory together with the request it carries.  Its two `Done` callbacks
are bound when it is made, so that a request costs neither an object nor a closure.  When a pool is
empty, jobs wait for it in the order they came.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from redbear_host.classes.disk import Chunk, Done
from redbear_host.scheme.request import Request

if TYPE_CHECKING:
    from redbear_host.classes.diskio import DiskIo

_log = logging.getLogger(__name__)


class _Nobody(Request):
    """Stands in a transfer that carries no request, so that a doubled completion cannot pass."""

    def answer(self, result: Any, /) -> None:
        raise RuntimeError("the driver ended a transfer that carried no request")

    def refuse(self, errno: int, /) -> None:
        raise RuntimeError(f"the driver ended a transfer that carried no request: {errno}")


NOBODY: Final = _Nobody()


class Transfer:
    """One chunk; `request`, `size` and for writes `first` and `end` are set by whoever starts it.

    `first` and `end` are the blocks being overwritten; `end` is 0 while there are none.
    """

    __slots__ = (
        "_io",
        "_pool",
        "chunk",
        "end",
        "first",
        "read_done",
        "request",
        "size",
        "view",
        "write_done",
    )

    def __init__(self, pool: Pool, chunk: Chunk) -> None:
        self._pool: Final = pool
        self._io: Final = pool.io
        self.chunk: Final = chunk
        self.view: Final = chunk.view
        self.request: Request = NOBODY
        self.size = self.first = self.end = 0
        self.read_done: Final[Done] = self._read_done
        self.write_done: Final[Done] = self._write_done

    def _read_done(self, error: int) -> None:
        request, self.request = self.request, NOBODY
        if error:
            request.refuse(error)
        else:
            request.answer(self.view[: self.size])
        pool = self._pool
        if pool.waiting:
            pool.give(self)
        else:
            pool.free.append(self)

    def _write_done(self, error: int) -> None:
        request, self.request = self.request, NOBODY
        self.end = 0
        if error:
            request.refuse(error)
        else:
            request.answer(self.size)
        pool = self._pool
        if pool.waiting:
            pool.give(self)
        else:
            pool.free.append(self)
        if self._io.stalled:
            self._io.resume()


class Job(ABC):
    """Something that needs a transfer and can wait for it.

    `first` and `end` are the blocks it will overwrite whole (`end` 0: none); `request` is what it
    answers, `origin` the client's request it belongs to, whose cancellation withdraws it.
    """

    __slots__ = ("end", "first", "origin", "request")

    def __init__(self, first: int, end: int, request: Request, origin: Request) -> None:
        self.first: Final = first
        self.end: Final = end
        self.request: Final = request
        self.origin: Final = origin

    @abstractmethod
    def begin(self, transfer: Transfer) -> None:
        """Hand the command to the device; the transfer is the job's until the device is done."""


class Pool:
    """Transfers of `size` bytes: one from the start, more as they are needed, at most `most`.

    Where the driver runs out of DMA memory earlier, the pool makes do with what it has; a disk
    without memory for a single transfer raises `MemoryError` when its pool is made.
    """

    def __init__(self, io: DiskIo, size: int, most: int) -> None:
        self.io: Final = io
        self.size: Final = size
        self.most = most
        self.transfers: Final = [Transfer(self, io.disk.chunk(size))]
        self.free: Final = list(self.transfers)
        self.waiting: Final[deque[Job]] = deque()  # empty while a transfer is free

    def take(self, job: Job) -> None:
        """Begin `job` now or as soon as the jobs before it have had their turn."""
        if self.free or self._grow():
            job.begin(self.free.pop())
        else:
            self.waiting.append(job)

    def give(self, transfer: Transfer) -> None:
        """Take a transfer back; the job that waited longest gets it."""
        if self.waiting:
            self.waiting.popleft().begin(transfer)
        else:
            self.free.append(transfer)

    def _grow(self) -> bool:
        if len(self.transfers) >= self.most:
            return False
        try:
            transfer = Transfer(self, self.io.disk.chunk(self.size))
        except MemoryError as error:
            self.most = len(self.transfers)
            _log.warning(
                "disk %d makes do with %d transfers of %d bytes: %s",
                self.io.disk.number,
                self.most,
                self.size,
                error,
            )
            return False
        self.transfers.append(transfer)
        self.free.append(transfer)
        return True
