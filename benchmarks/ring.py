"""The ring door's round trips beside multiprocessing.Pipe, a SEQPACKET ping-pong and ZeroMQ.

Run `python benchmarks/ring.py [--json FILE]`.  A server process answers 64 bytes to whoever asks;
it shares a core with its client, then has one of its own.  Everybody is measured by turns, and
medians of the rounds count.  "by hand" is a client of 40 lines that knows only the protocol; the
other is `redbear_host.client`.  On one core the figures are round trips per second of processor
time, of client and server together: the same as per second on a quiet machine, and still true on a
busy one.
"""

from __future__ import annotations

import argparse
import array
import json
import mmap
import multiprocessing
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from pathlib import Path
from statistics import median
from struct import Struct
from typing import Any, Final

import zmq

from redbear_host import client as redox
from redbear_host.abi import flags as f
from redbear_host.abi.sqe import Opcode
from redbear_host.ring import layout as lay
from redbear_host.ring.door import RingDoor
from redbear_host.ring.layout import Layout
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import Opened, Scheme

ANSWER: Final = b"x" * 64
BATCH: Final = 32
SECONDS: Final = 0.3  # of each measurement
ROUNDS: Final = 7
PLACES: Final = {"one core": (0, 0), "two cores": (0, 1)}  # client, server

# What the project wants: times the round trips of mp.Pipe.
TARGETS: Final = {"sync": 1.5, "batch": 10.0}

Step = Callable[[], int]  # does something and returns how many round trips that was


class Echo(Scheme):
    """Answers each read with the same bytes."""

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open anything."""
        return Opened(1)

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Answer."""
        return ANSWER


# -- servers -------------------------------------------------------------------------------------


def serve_ring(listener: socket.socket) -> None:
    """Be the daemon."""
    loop = Loop()
    RingDoor(listener.fileno(), Echo(), loop).start()
    loop.run()


def serve_pipe_bytes(end: Any) -> None:
    """Answer bytes."""
    while True:
        end.recv_bytes()
        end.send_bytes(ANSWER)


def serve_pipe_objects(end: Any) -> None:
    """Answer a tuple with a tuple."""
    while True:
        tag, _, _ = end.recv()
        end.send((tag, ANSWER))


def serve_seqpacket(end: socket.socket) -> None:
    """Answer packets."""
    buffer = bytearray(64)
    while True:
        end.recv_into(buffer)
        end.send(ANSWER)


def serve_zmq(address: str) -> None:
    """Answer requests."""
    end = zmq.Context().socket(zmq.REP)
    end.bind(address)
    while True:
        end.recv()
        end.send(ANSWER)


@contextmanager
def server(core: int, serve: Callable[[Any], None], argument: object) -> Iterator[int]:
    """Run a server on a core while the block runs."""
    pid = os.fork()
    if pid == 0:
        os.sched_setaffinity(0, {core})
        serve(argument)
        os._exit(1)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


# -- clients -------------------------------------------------------------------------------------


class ByHand:
    """The least a client needs, with two system calls for a round trip on one core."""

    SQE: Final = Struct("=BBHIQQQQQQQ").pack_into
    CQE: Final = Struct("=IIQ").unpack_from
    LOOKS: Final = 400

    def __init__(self, path: Path) -> None:
        layout = self.layout = Layout(64, 65536)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(str(path))
        self.socket.send(lay.HELLO.pack(lay.MAGIC, lay.VERSION, 0, 64, 0, 65536))
        _, ancillary, _, _ = self.socket.recvmsg(64, socket.CMSG_SPACE(8))
        memory, self.bell = array.array("i", ancillary[0][2])
        self.map = mmap.mmap(memory, layout.size)
        self.words = memoryview(self.map)[: lay.PAGE].cast("I")
        self.tail = self.head = 0
        self.patience = self.skip = 0
        self.map[layout.arena_at : layout.arena_at + 4] = b"echo"
        self.call(Opcode.OPEN_AT, 0, 0, 4, 0)
        self.handle = self.wait(1)

    def call(self, opcode: int, *args: int) -> None:
        """Write an entry."""
        at = lay.PAGE + (self.tail & 63) * 64
        a, b, c, d = args
        self.SQE(self.map, at, opcode, 0, 0, self.tail, a, b, c, d, 0, 0, 0)
        self.tail += 1
        self.words[lay.SQ_TAIL // 4] = self.tail & 0xFFFF_FFFF

    def wait(self, count: int) -> int:
        """Ring, and return the result of the last of `count` answers."""
        words, until = self.words, (self.head + count) & 0xFFFF_FFFF
        os.eventfd_write(self.bell, 1)
        if words[lay.CQ_TAIL // 4] == until:
            pass  # it ran in our place: that says nothing about looking
        elif self.skip:
            self.skip -= 1
        elif self._look(until):
            self.patience = 1
        else:  # the daemon cannot run while we look, or takes its time
            self.skip = self.patience = min(2 * self.patience + 1, 4096)
        while words[lay.CQ_TAIL // 4] != until:
            self.socket.recv(8)
        at = self.layout.cq_at + ((until - 1) & 127) * 16
        _, _, result = self.CQE(self.map, at)
        words[lay.CQ_HEAD // 4] = self.head = until
        return int(result)

    def _look(self, until: int) -> bool:
        words = self.words
        for _ in repeat(None, self.LOOKS):  # noqa: SIM110 - any() looks half as often
            if words[lay.CQ_TAIL // 4] == until:
                return True
        return False

    def sync(self) -> int:
        """Make one read and look at the answer."""
        self.call(Opcode.READ, self.handle, 4096, 64, lay.NO_OFFSET)
        at = self.layout.arena_at + 4096
        size = self.wait(1)
        return len(self.map[at : at + size]) // 64

    def batch(self) -> int:
        """Make many."""
        handle, call = self.handle, self.call
        for number in range(BATCH):
            call(Opcode.READ, handle, number * 64, 64, lay.NO_OFFSET)
        self.wait(BATCH)
        at = self.layout.arena_at
        return len([self.map[at + n * 64 : at + n * 64 + 64] for n in range(BATCH)])


def steps(folder: Path) -> dict[str, tuple[Callable[[Any], None], object, Callable[[], Step]]]:
    """Return who competes: a server, what it is given, and how its client starts."""
    rings = folder / "echo"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(rings))
    listener.listen()
    listener.setblocking(False)
    os.environ["REDBEAR_RINGS"] = str(folder)
    byte_ends, object_ends = multiprocessing.Pipe(), multiprocessing.Pipe()
    packet_ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    address = f"ipc://{folder}/zmq"

    def pipe_bytes() -> Step:
        def step() -> int:
            byte_ends[0].send_bytes(ANSWER)
            return len(byte_ends[0].recv_bytes()) // 64

        return step

    def pipe_objects() -> Step:
        def step() -> int:
            object_ends[0].send((1, "read", 64))
            return len(object_ends[0].recv()[1]) // 64

        return step

    def seqpacket() -> Step:
        buffer = bytearray(64)

        def step() -> int:
            packet_ends[0].send(ANSWER)
            return packet_ends[0].recv_into(buffer) // 64

        return step

    def zero_mq() -> Step:
        end = zmq.Context().socket(zmq.REQ)
        end.connect(address)

        def step() -> int:
            end.send(ANSWER)
            return len(end.recv()) // 64

        return step

    def library() -> Step:
        fd = redox.open("/scheme/echo/x", f.O_RDONLY)
        return lambda: len(redox.read(fd, 64)) // 64

    def library_batch() -> Step:
        fd = redox.open("/scheme/echo/x", f.O_RDONLY)
        batch = redox.Batch()

        def step() -> int:
            for _ in range(BATCH):
                batch.read(fd, 64)
            return sum(len(answer) for answer in batch.collect()) // 64

        return step

    return {
        "ring, by hand": (serve_ring, listener, lambda: ByHand(rings).sync),
        "ring, redbear_host.client": (serve_ring, listener, library),
        "ring, by hand, 32 at once": (serve_ring, listener, lambda: ByHand(rings).batch),
        "ring, redbear_host.client, 32 at once": (serve_ring, listener, library_batch),
        "mp.Pipe, bytes": (serve_pipe_bytes, byte_ends[1], pipe_bytes),
        "mp.Pipe, objects": (serve_pipe_objects, object_ends[1], pipe_objects),
        "SEQPACKET": (serve_seqpacket, packet_ends[1], seqpacket),
        "ZeroMQ REQ/REP": (serve_zmq, address, zero_mq),
    }


def processor_time(*pids: int) -> float:
    """Seconds of processor time that processes have used, with all their threads."""
    threads = (task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in threads) / 1e9


def rate(step: Step, clock: Callable[[], float]) -> float:
    """Return round trips per second of `clock`."""
    for _ in range(20):
        step()
    done, start, end = 0, clock(), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        for _ in range(20):
            done += step()
    return done / (clock() - start)


def measure(place: str) -> dict[str, float]:
    """Return the median rates of all, each with a fresh server and client in each round."""
    client_core, server_core = PLACES[place]
    os.sched_setaffinity(0, {client_core})
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            for name, (serve, argument, start) in steps(Path(folder)).items():
                with server(server_core, serve, argument) as pid:
                    clock = time.perf_counter
                    if client_core == server_core:
                        clock = partial(processor_time, os.getpid(), pid)
                    found.setdefault(name, []).append(rate(start(), clock))
                redox.forget()
    return {name: median(rates) for name, rates in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    results = {place: measure(place) for place in PLACES}
    for place, rates in results.items():
        base = rates["mp.Pipe, bytes"], rates["mp.Pipe, objects"]
        print(f"\n{place:40}  per second   x Pipe bytes   x Pipe objects")
        for name, value in rates.items():
            print(f"{name:40} {value:11,.0f} {value / base[0]:14.2f} {value / base[1]:16.2f}")
    print(f"\nwanted: x mp.Pipe {TARGETS['sync']} one at a time, {TARGETS['batch']} by batches")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
