"""A client of the ring door that knows only the protocol's page, and a door to call at.

The client packs its entries by hand, so that what it proves rests on no code of the library's.
"""

from __future__ import annotations

import array
import gc
import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from redbear_host.ring.door import RingDoor
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.scheme import Scheme

NO_OFFSET: Final = (1 << 64) - 1
SQ_HEAD, SQ_TAIL, CQ_HEAD, CQ_TAIL = 16, 32, 48, 64  # 32-bit words of the header


def signed(word: int) -> int:
    """What a result word means: a number, or a negated errno."""
    return word - (1 << 64) if word > (1 << 64) - 4096 else word


class RawClient:
    """One connection; `entries` and `arena` as in HELLO."""

    def __init__(self, path: str | Path, entries: int = 64, arena: int = 65536) -> None:
        self.entries, self.arena = entries, arena
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(None)  # so that MSG_DONTWAIT works
        self.socket.connect(str(path))
        self.tail = self.seen = 0
        self.fds: dict[int, list[int]] = {}
        self.bells = 0

    def hello(self, **changed: int) -> None:
        say = {"magic": 0x31424252, "version": 1, "entries": self.entries, "arena": self.arena}
        say |= changed
        self.socket.send(
            struct.pack("<IHHIIQ", say["magic"], say["version"], 0, say["entries"], 0, say["arena"])
        )

    def welcome(self) -> int:
        """Read the WELCOME; return its errno."""
        data, ancillary, _, _ = self.socket.recvmsg(64, socket.CMSG_SPACE(8))
        magic, version, _, error = struct.unpack("<IHHi", data)
        assert (magic, version) == (0x31424252, 1)
        if error:
            assert not ancillary
            return -error
        memory, self.bell = array.array("i", ancillary[0][2])
        size = os.fstat(memory).st_size
        self.cq_at = 4096 + (self.entries * 64 + 4095) // 4096 * 4096
        self.arena_at = self.cq_at + (self.entries * 2 * 16 + 4095) // 4096 * 4096
        assert size == self.arena_at + self.arena
        self.map = mmap.mmap(memory, size)
        self.memory_fd = memory
        self.words = memoryview(self.map)[:4096].cast("I")
        assert tuple(self.words[:2]) == (0x31424252, 1)
        return 0

    def put(self, opcode: int, tag: int, *args: int, flags: int = 0) -> None:
        """Write an entry and its index; the bell is not rung."""
        args = (*args, 0, 0, 0, 0, 0, 0)[:6]
        at = 4096 + (self.tail % self.entries) * 64
        struct.pack_into("<BBHI6QQ", self.map, at, opcode, flags, 0, tag, *args, 0xBAD)
        self.tail = (self.tail + 1) % (1 << 32)
        self.words[SQ_TAIL] = self.tail

    def ring(self) -> None:
        os.write(self.bell, (1).to_bytes(8, "little"))

    def taken(self) -> list[tuple[int, int, int, int]]:
        """Return new answers: kind, first extra byte, tag, result; and make room for others."""
        found = []
        while self.seen != self.words[CQ_TAIL]:
            at = self.cq_at + (self.seen % (2 * self.entries)) * 16
            kind, extra, tag, word = struct.unpack_from("<BB2xIQ", self.map, at)
            found.append((kind, extra, tag, signed(word)))
            self.seen = (self.seen + 1) % (1 << 32)
        self.words[CQ_HEAD] = self.seen
        return found

    def ask(self, opcode: int, tag: int, *args: int) -> tuple[int, int, int, int]:
        """Make one call of a daemon in another process, and wait for its answer."""
        self.put(opcode, tag, *args)
        self.ring()
        waiting = select.poll()
        waiting.register(self.socket, select.POLLIN)
        while True:
            found = self.taken()
            if found:
                assert len(found) == 1
                self.listen()
                return found[0]
            assert waiting.poll(10_000), "no answer in ten seconds"
            if self.is_dropped():
                raise ConnectionResetError

    def listen(self) -> None:
        """Read what came on the socket: bells, and descriptors by tag."""
        while True:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(
                    64, socket.CMSG_SPACE(256), socket.MSG_DONTWAIT
                )
            except BlockingIOError:
                return
            if data == b"\1":
                self.bells += 1
            elif data:
                tag, count = struct.unpack("<II", data)
                fds = list(array.array("i", ancillary[0][2] if ancillary else b""))
                assert len(fds) == count
                self.fds[tag] = fds
            else:
                return

    def place(self, at: int, data: bytes) -> tuple[int, int]:
        """Put bytes into the arena; return where and how many."""
        self.map[self.arena_at + at : self.arena_at + at + len(data)] = data
        return at, len(data)

    def payload(self, at: int, size: int) -> bytes:
        return self.map[self.arena_at + at : self.arena_at + at + size]

    def send_fds(self, tag: int, fds: list[int], count: int | None = None) -> None:
        message = struct.pack("<II", tag, len(fds) if count is None else count)
        socket.send_fds(self.socket, [message], fds)

    def is_dropped(self) -> bool:
        """Tell whether the daemon has hung up."""
        while True:
            try:
                data = self.socket.recv(64, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except ConnectionResetError:
                return True
            if not data:
                return True

    def close(self) -> None:
        self.socket.close()
        if hasattr(self, "bell"):
            self.words.release()
            self.map.close()
            os.close(self.bell)
            os.close(self.memory_fd)
        for fds in self.fds.values():
            for fd in fds:
                os.close(fd)
        self.fds.clear()


class Rig:
    """A door on a socket below `folder`, run by hand in this thread."""

    def __init__(self, folder: Path, scheme: Scheme) -> None:
        self.path = folder / "ring"
        self.path.unlink(missing_ok=True)
        self.scheme = scheme
        self.loop = Loop()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.path))
        self.listener.listen(512)
        self.listener.setblocking(False)
        self.door = RingDoor(self.listener.fileno(), scheme, self.loop)
        self.door._lingers = False  # both ends run in one thread here
        self.door.start()
        self.clients: list[RawClient] = []

    def turn(self, rounds: int = 3) -> None:
        """Let the daemon do what there is to do."""
        for _ in range(rounds):
            self.loop.soon(lambda: None)
            self.loop.run_round()

    def until(self, condition: Callable[[], Any]) -> Any:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            self.turn(1)
        raise AssertionError("it did not come to that")

    def connect(self, entries: int = 64, arena: int = 65536) -> RawClient:
        client = RawClient(self.path, entries, arena)
        self.clients.append(client)
        client.hello()
        self.turn()
        assert client.welcome() == 0
        return client

    def call(self, client: RawClient, opcode: int, *args: int, tag: int = 1) -> int:
        """Make one call and return its result."""
        return self.full(client, opcode, *args, tag=tag)[3]

    def full(
        self, client: RawClient, opcode: int, *args: int, tag: int = 1
    ) -> tuple[int, int, int, int]:
        """Make one call and return kind, extra, tag and result."""
        client.put(opcode, tag, *args)
        client.ring()
        answers = self.until(client.taken)
        client.listen()
        assert [answer[2] for answer in answers] == [tag]
        return answers[0]

    def open(self, client: RawClient, path: bytes, flags: int = 0x30000, fcntl: int = 0) -> int:
        """OPEN_AT from the root."""
        return self.call(client, 29, 0, *client.place(0, path), flags, fcntl)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.door.close()
        self.listener.close()
        self.loop.close()
        gc.collect()  # mappings of the door's hold descriptors, which later tests count
