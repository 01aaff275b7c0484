"""Whatever clients call, in whatever order: an answer or an errno, and nothing is left."""

from __future__ import annotations

import contextlib
import os
import random
import struct

import pytest
from asked import Asked
from descriptors import descriptors

from daemons.ipcd.datagrams import DatagramScheme
from daemons.ipcd.shm import ShmScheme
from daemons.ipcd.streams import ChanScheme
from daemons.ipcd.uds import UdsStreamScheme
from redbear_host.abi import flags as f
from redbear_host.errors import Refused
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import ROOT, Foreign, Opened

SCHEMES = {
    "chan": ChanScheme,
    "uds_stream": UdsStreamScheme,
    "uds_dgram": DatagramScheme,
    "shm": lambda: ShmScheme(1 << 20, 8),
}
PATHS = [
    "",
    "",
    "a",
    "a",
    "a",
    "b",
    ".listen",
    ".listen/a",
    "a/b",
    "\udcff",
    "x" * 256,
    "\0",
    "..",
    "/a/",
]
NAMES = [
    b"listen",
    b"connect",
    b"connect",
    b"recvfd",
    b"name",
    b"",
    b"\xff",
    b"a" * 300,
    b".listen/a",
]
BITS = [f.O_RDWR, f.O_RDONLY, f.O_WRONLY, f.O_CREAT, f.O_EXCL, f.O_NONBLOCK, f.O_STAT, f.O_TRUNC]
BITS += [f.O_DIRECTORY, f.O_APPEND, 0o644]
VERBS = [*range(11), *[4] * 8, *[5] * 8]  # most of all messages sent and received
NUMBERS = [0, 1, 2, 7, 64, 4096, 65536, (1 << 20) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


class Client:
    """Calls one scheme at random, as the ring door would pass it on."""

    def __init__(self, scheme, seed):
        self.scheme = scheme
        self.dice = random.Random(seed)
        self.handles = []
        self.waiting = []
        self.done = set()  # verbs that were not refused at least once

    def handle(self):
        known = [*self.handles, 999_999] if self.dice.random() < 0.02 else self.handles
        return self.dice.choice(known[-8:] or [999_999])  # few, so that they meet

    def number(self):
        return self.dice.choice(NUMBERS)

    def bytes(self):
        return memoryview(bytearray(self.dice.randbytes(self.dice.choice([0, 1, 8, 100, 5000]))))

    def message(self):
        name, data = self.dice.choice([b"", b"a", b"\xff"]), bytes(self.bytes())
        whole = struct.pack("=Q", len(name)) + name + struct.pack("=Q", len(data)) + data
        whole += self.dice.choice([b"", struct.pack("=iiQQ", 1, 1, 8, self.dice.choice([0, 1, 9]))])
        whole = bytearray(whole)
        if self.dice.random() < 0.3:
            whole[self.dice.randrange(len(whole))] ^= 1 << self.dice.randrange(8)
        return memoryview(whole)

    def openat(self, request):
        flags = self.dice.choice([f.O_RDWR, f.O_RDWR | f.O_CREAT, 0])
        for _ in range(self.dice.choice([0, 0, 0, 1, 3])):
            flags |= self.dice.choice(BITS)
        parent = ROOT if self.dice.random() < 0.9 else self.handle()
        return self.scheme.openat(parent, self.dice.choice(PATHS), flags, 0, request)

    def dup(self, request):
        return self.scheme.dup(self.handle(), self.dice.choice(NAMES), request)

    def read(self, request):
        self.scheme.read(self.handle(), self.number() & 0xFF_FFFF, self.number(), 0, request)

    def write(self, request):
        self.scheme.write(self.handle(), self.bytes(), self.number(), 0, request)

    def call(self, request):
        words = [self.dice.choice(VERBS), *(self.number() for _ in range(self.dice.randrange(3)))]
        room = memoryview(bytearray(struct.pack("=QQQ", 9, 200, self.number()).ljust(600, b"\0")))
        payload = self.dice.choice([self.message, self.bytes, lambda: room])()
        self.scheme.call(self.handle(), payload, words, request)

    def sendfd(self, request):
        fds = [os.open(os.devnull, os.O_RDONLY) for _ in range(self.dice.randrange(4))]
        try:
            self.scheme.on_sendfd(self.handle(), fds, 0, 0, request)
        except Refused:
            for fd in fds:
                os.close(fd)
            raise

    def passes(self, request):
        """Send a descriptor with a message, and let everyone look whether it came."""
        one, fd = self.handle(), os.open(os.devnull, os.O_RDONLY)
        try:
            self.scheme.on_sendfd(one, [fd], 0, 0, request)
        except Refused:
            os.close(fd)
            raise
        sent = bytes(8) + struct.pack("=Q", 1) + b"x" + struct.pack("=iiQQ", 1, 1, 8, 1)
        self.scheme.call(one, memoryview(bytearray(sent)), (4,), request)
        for other in self.handles[-8:]:
            with contextlib.suppress(Refused):
                room = bytearray(struct.pack("=QQQ", 9, 200, 99).ljust(600, b"\0"))
                self.scheme.call(other, memoryview(room), (5,), request)

    def recvfd(self, request):
        for fd in self.scheme.on_recvfd(self.handle(), self.dice.randrange(5), 0, (), request):
            os.close(fd)

    def looks(self, request):
        handle = self.handle()
        self.scheme.fevent(handle, self.dice.randrange(4))
        self.scheme.fstat(handle)
        self.scheme.fpath(handle)
        self.scheme.getdents(handle, request)

    def changes(self, request):
        self.scheme.fcntl(self.handle(), self.dice.randrange(6), self.number(), request)
        self.scheme.ftruncate(self.handle(), self.number(), request)

    def maps(self, request):
        self.scheme.mmap_prep(self.handle(), self.number(), self.number(), self.number(), request)

    def unlinkat(self, request):
        self.scheme.unlinkat(ROOT, self.dice.choice(PATHS), 0, request)

    def close(self, request):
        if len(self.handles) > self.dice.randrange(20):
            self.scheme.on_close(self.handles.pop(self.dice.randrange(len(self.handles))))

    def step(self):
        request = Asked(uid=self.dice.choice([0, 1000, 1001]))
        verbs = [self.openat, self.openat, self.dup, self.read, self.write, self.write, self.call]
        verbs += [
            self.call,
            self.sendfd,
            self.passes,
            self.recvfd,
            self.looks,
            self.changes,
            self.maps,
        ]
        verbs += [self.unlinkat, self.close]
        verb = self.dice.choice(verbs)
        with contextlib.suppress(Refused):
            self.take(verb(request), request)
            self.done.add(verb.__name__)
        for waiting in list(self.waiting):
            if not waiting.pending:
                self.waiting.remove(waiting)
                self.take(waiting.result, waiting)
            elif self.dice.random() < 0.05:
                waiting.on_cancel(waiting)

    def take(self, result, request):
        if result is LATER:
            self.waiting.append(request)
        elif isinstance(result, Opened):
            self.handles.append(result.handle)
        elif isinstance(result, Foreign):
            os.close(result.fd)

    def end(self):
        for handle in self.handles:
            self.scheme.on_close(handle)
        for waiting in self.waiting:
            if waiting.pending:
                waiting.on_cancel(waiting)
            else:
                self.take(waiting.result, waiting)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", SCHEMES)
def test_random_calls_do_no_harm_and_leave_nothing(name, seed):
    before = len(descriptors())
    scheme = SCHEMES[name]()
    client = Client(scheme, seed)
    for _ in range(3000):
        client.step()
    assert client.done >= {"openat", "read", "write", "looks", "close"}
    assert name == "shm" or "dup" in client.done
    assert not name.startswith("uds") or {"call", "sendfd", "recvfd"} <= client.done
    client.end()
    assert not scheme._handles
    if name == "shm":
        scheme.close()
    assert len(descriptors()) == before
