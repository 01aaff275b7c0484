"""QEMU's qtest protocol: one bus access per line, over a socket that outlives its user.

Ref: QEMU, docs/devel/qtest and the protocol comment in softmmu/qtest.c (version 7.2): `readl ADDR`
is answered with `OK 0x…`, `writel ADDR VALUE` with `OK`, anything wrong with `FAIL …` or `ERR …`.
A line QEMU cannot parse aborts it, so every line goes out whole.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
from collections.abc import Callable
from typing import Final, NoReturn

from redbear_host.errors import Gone, TransportError

PATIENCE_S: Final = 10.0  # QEMU answers in microseconds; a stopped one counts as gone after this

# Writes whose answers nobody has read yet.  Each answer takes a whole socket buffer of some 768
# bytes in the kernel; far below the 200 or so that fit, or QEMU and we would both wait to send.
POSTED_LIMIT: Final = 64
POSTED_RELAXED: Final = 32

STRAY_LIMIT: Final = 4096  # lines skipped in search of our own answer; a predecessor leaves < 100

_TIMEVAL: Final = struct.Struct("@ll")


class Wire:
    """One end of a qtest connection; not for two threads at once.

    Writes are posted: their answers are collected later, and a read waits for all of them first,
    as on PCI.  `Gone` once QEMU has ended or has kept silent for `PATIENCE_S`, and from then on.
    A user that is killed never leaves half a line behind: the kernel queues lines this short whole
    or not at all.  What it does leave is answers nobody read; see `resynchronise`.
    """

    def __init__(self, fd: int, on_gone: Callable[[], None]) -> None:
        """Talk over a copy of socket `fd`; `on_gone` is called once, when QEMU has left."""
        self._socket: Final = socket.socket(fileno=os.dup(fd))
        self._socket.setblocking(True)
        patience = _TIMEVAL.pack(int(PATIENCE_S), int(PATIENCE_S % 1 * 1_000_000))
        # Deadlines kept by the kernel: Python's own would cost a poll() for every access.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        self._on_gone: Final = on_gone
        self._send: Callable[[bytes], object] = self._socket.sendall
        self.severed = False  # nothing reaches the device any more
        self.closed = False
        self._posted = 0
        self._rest = b""

    def ask(self, line: bytes) -> int:
        """Send a reading command, newline included; return the number in its answer."""
        try:
            self._send(line)
            if not self._posted and not self._rest:
                answer = self._socket.recv(4096)
                # The usual case, without taking the answer apart line by line.
                if answer[:5] == b"OK 0x" and answer.find(b"\n") == len(answer) - 1:
                    return int(answer[5:], 16)
                if not answer:
                    self._leave("QEMU has closed the connection")
                self._rest += answer
            self.flush()
            return int(self._answer(), 16)
        except OSError as error:
            self._leave(f"QEMU does not answer: {error.strerror}", error)

    def post(self, line: bytes) -> None:
        """Send a writing command, newline included; do not wait for its answer."""
        try:
            self._send(line)
            self._posted += 1
            if self._posted >= POSTED_LIMIT:
                while self._posted > POSTED_RELAXED:
                    self._answer()
                    self._posted -= 1
        except OSError as error:
            self._leave(f"QEMU does not answer: {error.strerror}", error)

    def flush(self) -> None:
        """Wait until QEMU has done every write posted so far."""
        try:
            while self._posted:
                self._answer()
                self._posted -= 1
        except OSError as error:
            self._leave(f"QEMU does not answer: {error.strerror}", error)

    def resynchronise(self, memory: memoryview, address: int) -> None:
        """Find the end of the answers a predecessor left.

        `memory` is the machine's RAM and `address` eight bytes in it that nobody uses.  A random
        number goes there past QEMU, and QEMU is asked for it: every line before the one that shows
        the number answers somebody else.
        """
        cookie = secrets.randbits(64)
        struct.pack_into("<Q", memory, address, cookie)
        try:
            self._send(b"readq 0x%x\n" % address)
            for _ in range(STRAY_LIMIT):
                if self._line() == b"OK 0x%016x" % cookie:
                    self._posted = 0
                    return
        except OSError as error:
            self._leave(f"QEMU does not answer: {error.strerror}", error)
        raise TransportError(f"QEMU sent {STRAY_LIMIT} lines and none is the answer to ours")

    def sever(self) -> None:
        """Behave from now on as if QEMU had left, for a function that was unplugged from it."""
        if not self.severed:
            self.severed = True
            self._send = _gone
            self._posted = 0
            self._on_gone()

    def close(self) -> None:
        """Close this copy of the socket; another use is a mistake and raises `ValueError`."""
        self.closed = True
        self._send = _closed
        self._posted = 0
        self._socket.close()

    def _leave(self, why: str, cause: OSError | None = None) -> NoReturn:
        self.sever()
        raise Gone(why) from cause

    def _answer(self) -> bytes:
        while (line := self._line()).startswith(b"IRQ "):
            pass  # an intercepted interrupt line has moved; it may come before any answer
        if not line.startswith(b"OK"):
            raise TransportError(f"QEMU refused a bus access: {line.decode(errors='replace')!r}")
        return line[3:]

    def _line(self) -> bytes:
        while b"\n" not in self._rest:
            more = self._socket.recv(65536)
            if not more:
                self._leave("QEMU has closed the connection")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def _gone(_line: bytes) -> NoReturn:
    raise Gone("the device has left")


def _closed(_line: bytes) -> NoReturn:
    raise ValueError("the function is used after it was closed")
