"""A client's memory during its ioctl, as far as the ioctl itself names it.

A daemon cannot reach into its clients, and must not.  For those whose manifest says that they ask
for it (`asks = ["client"]`) the shim has a copier (`kernel_shim.copier`), a process that does it
for them: over a socket the daemon says which thread waits in which ioctl, and the copier, having
seen for itself that this is so, moves bytes between that thread's memory and a staging area, a
memfd that both have mapped.  Its answers come through the event loop.

One message each way per question.  The staging area has a half for each verb, so that an answer
that comes too late spoils no question: what lies at the ioctl's argument, the SCSI command, sense
data, and the data.
"""

from __future__ import annotations

import mmap
import socket
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from redbear_host.abi import errno as e
from redbear_host.abi.ioctls import MOST_DATA
from redbear_host.errors import ProtocolError
from redbear_host.scheme.loop import Loop, Timer

HEAD_AT: Final = 0
COMMAND_AT: Final = 1024
SENSE_AT: Final = 2048
DATA_AT: Final = 4096
HALF_BYTES: Final = DATA_AT + MOST_DATA  # the first for what is fetched, the second for storing
STAGING_BYTES: Final = 2 * HALF_BYTES

ASK: Final = Struct("=IIIIQIII")  # verb number thread command argument, bytes of head sense data
ANSWER: Final = Struct("=IIIII")  # number errno, bytes of head command data

AGAIN: Final = 0  # instead of a number: whoever had the question has died
_TRIES: Final = 2

_WITHIN_S: Final = 20.0
_MOST_WAITING: Final = 1 << 14  # as many as ioctls can wait (`schemefs.journal`)


class Verb(IntEnum):
    """What a daemon asks of the copier."""

    FETCH = 1
    STORE = 2


class Fetched(NamedTuple):
    """What the caller brought; all of it a copy of our own."""

    errno: int  # Redox's; 0: the rest holds
    head: bytes = b""  # what lies at the argument
    command: bytes = b""  # the SCSI command
    data: bytes = b""  # what goes to the device


class Stored(NamedTuple):
    """Whether the caller has what was stored for it."""

    errno: int


Told: TypeAlias = Callable[[Fetched], object]
Done: TypeAlias = Callable[[Stored], object]


class ClientMemory:
    """The memory that one waiting ioctl names."""

    __slots__ = ("_argument", "_command", "_copier", "_thread")

    def __init__(self, copier: Copier, thread: int, command: int, argument: int) -> None:
        self._copier: Final = copier
        self._thread: Final = thread
        self._command: Final = command
        self._argument: Final = argument

    def fetch(self, told: Told, /) -> None:
        """Read what the caller brought."""

        def answered(errno: int, head: int, command: int, data: int) -> None:
            staged = self._copier.staged
            told(
                Fetched(
                    errno,
                    staged(HEAD_AT, head),
                    staged(COMMAND_AT, command),
                    staged(DATA_AT, data),
                )
            )

        self._copier.ask(self._ask(Verb.FETCH, 0, 0, 0), (), answered)

    def store(
        self,
        done: Done,
        /,
        head: bytes = b"",
        sense: bytes = b"",
        data: bytes | memoryview = b"",
    ) -> None:
        """Give the caller the part of the record that goes back, sense data, and data.

        `data` must stay as it is until `done`.
        """

        def answered(errno: int, _head: int, _command: int, _data: int) -> None:
            done(Stored(errno))

        pieces = ((HEAD_AT, head), (SENSE_AT, sense), (DATA_AT, data))
        ask = self._ask(Verb.STORE, len(head), len(sense), len(data))
        self._copier.ask(ask, pieces, answered)

    def _ask(self, verb: Verb, head: int, sense: int, data: int) -> tuple[int, ...]:
        return verb, self._thread, self._command, self._argument, head, sense, data


_Answered: TypeAlias = Callable[[int, int, int, int], object]
_Pieces: TypeAlias = tuple[tuple[int, bytes | memoryview], ...]


class Copier:
    """The daemon's end: one question at a time, each with a deadline."""

    def __init__(self, fd: int, staging_fd: int, loop: Loop) -> None:
        self._socket: Final = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._staging: Final = memoryview(mmap.mmap(staging_fd, STAGING_BYTES))
        self._loop: Final = loop
        self._waiting: Final[deque[tuple[tuple[int, ...], _Pieces, _Answered]]] = deque()
        self._answered: _Answered | None = None  # whose question is being answered
        self._asked = b""
        self._tries = 0
        self._number = 0
        self._timer: Timer | None = None
        loop.watch(fd, self._on_answer)

    def memory(self, thread: int, command: int, argument: int) -> ClientMemory:
        """Return the memory of the thread that waits in this ioctl."""
        return ClientMemory(self, thread, command, argument)

    def staged(self, at: int, size: int) -> bytes:
        """Copy bytes that were fetched."""
        return bytes(self._staging[at : at + size])

    def ask(self, question: tuple[int, ...], pieces: _Pieces, answered: _Answered) -> None:
        """Put a question, now or when those before it were answered."""
        if len(self._waiting) >= _MOST_WAITING:
            self._loop.soon(lambda: answered(e.EAGAIN, 0, 0, 0))
            return
        self._waiting.append((question, pieces, answered))
        if self._answered is None:
            self._next()

    def _next(self) -> None:
        while self._waiting and self._answered is None:
            (verb, thread, command, argument, *sizes), pieces, answered = self._waiting.popleft()
            for at, piece in pieces:
                at += HALF_BYTES
                self._staging[at : at + len(piece)] = piece
            self._number = self._number % 0xFFFF_FFFF + 1
            self._asked = ASK.pack(verb, self._number, thread, command, argument, *sizes)
            self._tries = 0
            self._answered = answered
            if not self._send():
                return
            self._timer = self._loop.at(
                self._loop.now() + _WITHIN_S, lambda: self._end(e.ETIMEDOUT)
            )

    def _send(self) -> bool:
        self._tries += 1
        try:
            self._socket.sendmsg([self._asked])
        except OSError:  # the shim has ended, or its queue is full of questions given up
            self._loop.soon(lambda: self._end(e.EIO))
            return False
        return True

    def _on_answer(self) -> None:
        try:
            said = self._socket.recvmsg(ANSWER.size + 1)[0]
        except BlockingIOError:
            return
        except ConnectionResetError:
            said = b""
        if not said:  # the shim has ended, and says so on the control socket as well
            self._loop.unwatch(self._socket.fileno())
            if self._answered is not None:
                self._end(e.EIO)
            return
        if len(said) != ANSWER.size:
            raise ProtocolError(f"the copier says {len(said)} bytes, which is no answer")
        number, errno, head, command, data = ANSWER.unpack(said)
        if self._answered is None:
            return
        if number == AGAIN:
            if self._tries < _TRIES:
                self._send()
            else:
                self._end(e.EIO)
        elif number == self._number:  # else it comes too late
            self._end(errno, head, command, data)

    def _end(self, errno: int, head: int = 0, command: int = 0, data: int = 0) -> None:
        answered, self._answered = self._answered, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if answered is not None:
            answered(errno, head, command, data)
        self._next()

    def close(self) -> None:
        """Ask nothing more."""
        self._loop.unwatch(self._socket.fileno())
        self._socket.close()
