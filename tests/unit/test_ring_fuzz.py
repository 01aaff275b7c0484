"""A million malformed entries, headers and messages, beside one client that behaves.

Four hostile clients write entries of random bytes, tamed field by field so that many get past the
first check; they jump indexes, send nonsense and descriptors over the socket, hang up and call
again.  After every round the well-behaved client makes calls whose every answer is known.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ring_rig import CQ_HEAD, CQ_TAIL, NO_OFFSET, SQ_HEAD, SQ_TAIL, Rig
from ring_scheme import Toy

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.sqe import Opcode as Op
from redbear_host.errors import Refused
from redbear_host.scheme.scheme import Opened

MALFORMED = 1_000_000
ENTRIES = 512
HOSTILE = 4
NAMES = [b"file", b"queue", b"later", b"dir", b"fds", b"map", b"foreign", b"late", b"now", b"x"]
KINDS = {0, 1, 2, 4}  # of answers there are
FIELDS = [0, 1, 4, 5, *range(8, 56)]  # bytes of an entry that anybody looks at

# Calls that would do; None stands for a handle.
PLAUSIBLE: list[tuple[int, ...]] = [
    (Op.READ, None, 8192, 64, NO_OFFSET, 0),
    (Op.READ, None, 8192, 64, NO_OFFSET, f.O_NONBLOCK),
    (Op.READ, None, 8192, 64, 3, 0),
    (Op.WRITE, None, 4096, 64, NO_OFFSET, 0),
    (Op.WRITE, None, 4096, 64, 5, 0),
    (Op.CALL, None, 4096, 64, 1, 2, 3),
    (Op.DUP, None, 0, 4),
    (Op.OPEN_AT, 0, 0, 4, f.O_RDWR, 0),
    (Op.OPEN_AT, 0, 64, 5, f.O_RDWR, 0),
    (Op.OPEN_AT, 0, 128, 5, f.O_RDWR, 0),
    (Op.OPEN_AT, None, 448, 4, f.O_RDWR, 0),
    (Op.GETDENTS, None, 8192, 256, 19, 0),
    (Op.GETDENTS, None, 8192, 256, 19, 4),
    (Op.FSTAT, None, 8192, 104),
    (Op.FEVENT, None, 3),
    (Op.FUTIMENS, None, 16384, 32),
    (Op.SENDFD, None, 0, 1, 1),
    (Op.RECVFD, None, 0, 2),
    (Op.MMAP_PREP, None, 4096, f.MAP_SHARED, 0),
    (Op.MUNMAP, None, 4096, 0, 0),
    (Op.STD_FS_CALL, None, 8192, 104, 4),
    (Op.STD_FS_CALL, None, 0, 0, 7, 100),
    (Op.UNLINK_AT, 0, 0, 4, 0),
    (Op.CANCEL,),
]
KEEP_OPEN = bytes.maketrans(bytes([Op.CLOSE, Op.CLOSE_MSG]), bytes([Op.READ, Op.WRITE]))


class Target(Toy):
    """The scheme under attack: without its bug, and with a file that is the witness's own."""

    def openat(self, parent, path, flags, fcntl_flags, request):
        if path == "bug":
            raise Refused(e.ENOENT)
        if path == "steady":
            return self._new(path, 1)
        return super().openat(parent, path, flags, fcntl_flags, request)

    def read(self, handle, size, offset, fcntl_flags, request):
        if self.open[handle] == "steady":
            return bytes([offset & 0xFF]) * size
        return super().read(handle, size, offset, fcntl_flags, request)

    def fcntl(self, handle, command, argument, request):
        return (command + argument) & 0xFFFF_FFFF

    def call(self, handle, payload, metadata, request):
        return super().call(handle, payload, metadata, request) & 0xFFFF_FFFF

    def rest(self, rng: random.Random) -> None:
        """Let nothing pile up that is the scheme's own; answer some of what it has kept."""
        self.log.clear()
        self.callers.clear()
        self.queue.clear()
        del self.data[64:]
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()
        kept, self.kept = self.kept, []
        for one in kept:
            request = one[0] if isinstance(one, tuple) else one
            if request.entry is None:
                continue
            opens = request.entry[0] == Op.OPEN_AT
            choice = rng.random()
            if choice < 0.3:
                self.kept.append(one)
            elif choice < 0.5:
                request.refuse(rng.choice([e.EIO, e.EINTR, e.EWOULDBLOCK, e.ECANCELED, 0, 9999]))
            elif opens:
                request.answer(Opened(self._new("file").handle, 1))
            elif isinstance(one, tuple):
                request.answer(len(one[1]))
            else:
                request.answer(b"late"[: request.entry[5]])


@pytest.fixture
def toy() -> Iterator[Target]:
    scheme = Target()
    yield scheme
    scheme.shut()


@pytest.fixture
def rig(tmp_path: Path, toy: Target) -> Iterator[Rig]:
    made = Rig(tmp_path, toy)
    yield made
    made.close()


class Attacker:
    """One hostile client after another."""

    def __init__(self, rig: Rig, rng: random.Random) -> None:
        self.rig, self.rng = rig, rng
        self.malformed = 0
        self.drops = 0
        self.call()

    def call(self) -> None:
        self.client = self.rig.connect(ENTRIES, 65536)
        self.handles: list[int] = []
        room = b"".join(name + bytes(64 - len(name)) for name in NAMES)
        self.client.place(0, room)
        self.client.place(4096, self.rng.randbytes(4096))

    def hang_up(self) -> None:
        self.drops += 1
        self.rig.clients.remove(self.client)
        self.client.close()
        self.rig.turn(2)
        self.call()

    def attack(self) -> None:
        rng, client = self.rng, self.client
        free = ENTRIES - (client.tail - client.words[SQ_HEAD]) % (1 << 32)
        if 0 < free <= ENTRIES:
            self.write(free)
        choice = rng.random()
        if choice < 0.03:
            word = rng.choice([SQ_HEAD, SQ_TAIL, CQ_HEAD, CQ_TAIL, rng.randrange(1024)])
            client.words[word] = rng.getrandbits(32)
            self.malformed += 1
        elif choice < 0.08:
            self.babble()
        client.ring()
        self.rig.turn(1 + ENTRIES // 64 // 2)
        if (choice < 0.08 and client.is_dropped()) or choice > 0.95:
            self.hang_up()
        else:
            self.read()

    def write(self, count: int) -> None:
        """Fill the ring as far as it goes without starting over."""
        client = self.client
        count = min(count, ENTRIES - client.tail % ENTRIES)
        raw = self.nearly_right(count) if self.rng.random() < 0.3 else self.tamed(count)
        at = 4096 + client.tail % ENTRIES * 64
        client.map[at : at + len(raw)] = raw
        client.tail = (client.tail + count) % (1 << 32)
        client.words[SQ_TAIL] = client.tail
        self.malformed += count

    def nearly_right(self, count: int) -> bytearray:
        """Make entries that would do, but for a byte of most of them."""
        rng = self.rng
        raw = bytearray(count * 64)
        for index in range(count):
            at = index * 64
            opcode, *args = rng.choice(PLAUSIBLE)
            if args and args[0] is None:
                args[0] = rng.choice(self.handles) if self.handles else 0
            args = (*args, 0, 0, 0, 0, 0, 0)[:6]
            struct.pack_into("<BBHI6Q", raw, at, opcode, 0, 0, rng.getrandbits(10), *args)
            if rng.random() < 0.7:
                raw[at + rng.choice(FIELDS)] = rng.getrandbits(8)
        if rng.random() < 0.3 and self.handles:
            tag, place = rng.getrandbits(10), rng.randrange(count) * 64
            args = (rng.choice(self.handles), 0, 1, rng.choice([1, 1, 2]), 0, 0)
            struct.pack_into("<BBHI6Q", raw, place, Op.SENDFD, 0, 0, tag, *args)
            with suppress(BrokenPipeError, ConnectionResetError):
                self.client.send_fds(tag, [self.client.memory_fd])
        return raw

    def tamed(self, count: int) -> bytearray:
        """Make entries of random bytes, of which some fields are made small."""
        rng = self.rng
        raw = bytearray(rng.randbytes(count * 64))

        def small(at: int, width: int, most: int) -> None:
            """Make a number of `width` bytes less than `most` in every entry."""
            values = [rng.randrange(most) for _ in range(16)]
            pick = bytes(values[byte & 15] & 0xFF for byte in range(256))
            raw[at::64] = raw[at::64].translate(pick)
            for byte in range(1, width):
                raw[at + byte :: 64] = bytes(count)

        if rng.random() < 0.9:
            small(0, 1, 40)  # opcode
            if rng.random() < 0.9:
                raw[0::64] = raw[0::64].translate(KEEP_OPEN)
        if rng.random() < 0.8:
            raw[1::64] = bytes(count)  # flags
        if rng.random() < 0.3:
            small(4, 4, 256)  # tags that meet
        if rng.random() < 0.9:
            small(8, 8, 16)  # handle
            if self.handles and rng.random() < 0.7:
                low = bytes(rng.choice(self.handles) & 0xFF for _ in range(256))
                raw[8::64] = raw[8::64].translate(low)
        for argument in range(1, 6):
            at = 8 + argument * 8
            choice = rng.random()
            if choice < 0.3:
                small(at, 8, 8)
            elif choice < 0.5:
                small(at, 8, 256)
            elif choice < 0.6:
                raw[at + 2 :: 64] = bytes(count)
                for byte in range(3, 8):
                    raw[at + byte :: 64] = bytes(count)
            elif choice < 0.7:
                for byte in range(8):
                    raw[at + byte :: 64] = b"\xff" * count
            elif choice < 0.8:
                raw[at::64] = b"\0" * count  # a name's place, and multiples of 64
                raw[at + 1 :: 64] = bytes(count)
                for byte in range(1, 8):
                    raw[at + byte :: 64] = bytes(count)
        if rng.random() < 0.5:  # opens that are none too wrong, so that there are handles
            for index in range(min(count, 16)):
                name = rng.randrange(len(NAMES))
                struct.pack_into(
                    "<BBHI6Q",
                    *(raw, index * 64, Op.OPEN_AT, 0, 0, index + 1000),
                    *(0, name * 64, len(NAMES[name]), f.O_RDWR, rng.choice([0, f.O_NONBLOCK]), 0),
                )
        return raw

    def babble(self) -> None:
        """Say something on the socket."""
        rng, client = self.rng, self.client
        self.malformed += 1
        with suppress(BrokenPipeError, ConnectionResetError):  # it was dropped already
            if rng.random() < 0.4:
                client.socket.send(rng.randbytes(rng.randrange(1, 100)))
            else:
                fds = [client.memory_fd] * rng.randrange(1, 6)
                client.send_fds(rng.randrange(256), fds, rng.choice([None, 0, 1, 1 << 31]))

    def read(self) -> None:
        """Look at the answers: they may say no, but they must be answers."""
        client = self.client
        for kind, _, tag, result in client.taken():
            assert kind in KINDS
            assert result >= 0 or -4096 < result < 0
            if kind == 0 and 1000 <= tag < 1016 and 0 < result:
                self.handles = [*self.handles[-15:], result]  # likely that of an open
        if client.is_dropped():  # reads bells, and descriptors, which it lets go of
            self.hang_up()


class Witness:
    """A client that behaves, and knows every answer."""

    def __init__(self, rig: Rig, rng: random.Random) -> None:
        self.rig, self.rng = rig, rng
        self.client = rig.connect(64, 65536)
        self.handle = rig.open(self.client, b"steady")
        self.answers = 0

    def check(self) -> None:
        client, rng, handle = self.client, self.rng, self.handle
        base = rng.randrange(1 << 31)
        a, b, offset = rng.randrange(1 << 16), rng.randrange(1 << 16), rng.randrange(1 << 40)
        said = rng.randbytes(64)
        client.put(Op.FCNTL, base, handle, a, b)
        client.put(Op.READ, base + 1, handle, 8192, 100, offset, 0)
        client.put(Op.CALL, base + 2, handle, *client.place(1024, said), a, 0, 0)
        client.put(Op.FPATH, base + 3, handle, 2048, 64)
        client.put(Op.READ, base + 4, handle, 65536, 1, 0, 0)
        client.put(Op.READ, base + 5, handle + 1000, 0, 1, 0, 0)
        client.put(Op.READ, base + 6, handle, 0, 1, NO_OFFSET, 0)
        client.ring()
        found = self.rig.until(client.taken)
        assert found == [
            (0, 0, base, a + b),
            (0, 0, base + 1, 100),
            (0, 0, base + 2, 64 + a),
            (0, 0, base + 3, len("/scheme/toy/steady")),
            (0, 0, base + 4, -e.EFAULT),
            (0, 0, base + 5, -e.EBADF),
            (0, 0, base + 6, -e.EINVAL),
        ]
        assert client.payload(8192, 100) == bytes([offset & 0xFF]) * 100
        assert client.payload(1024, 64) == said[::-1]
        assert client.payload(2048, 18) == b"/scheme/toy/steady"
        client.listen()
        self.answers += len(found)


def memory() -> int:
    """Bytes of this process that are its own and in memory."""
    _, resident, shared, *_ = Path("/proc/self/statm").read_text().split()
    return (int(resident) - int(shared)) * 4096


@pytest.mark.timeout(300)
def test_a_million_malformed_entries_hurt_nobody(rig: Rig, toy: Target) -> None:
    seed = int(os.environ.get("RING_FUZZ_SEED") or random.randrange(1 << 32))
    print(f"RING_FUZZ_SEED={seed}")
    rng = random.Random(seed)
    witness = Witness(rig, rng)
    attackers = [Attacker(rig, rng) for _ in range(HOSTILE)]

    def rounds_until(malformed: int) -> None:
        while sum(attacker.malformed for attacker in attackers) < malformed:
            for attacker in attackers:
                attacker.attack()
            witness.check()
            toy.rest(rng)

    def quiet() -> tuple[int, int]:
        """End all attacks; return memory and descriptors that are in use then."""
        for attacker in attackers:
            attacker.hang_up()
        for _ in range(64):
            toy.rest(rng)
        rig.turn()
        gc.collect()
        return memory(), len(os.listdir("/proc/self/fd"))

    rounds_until(MALFORMED // 5)
    memory_before, fds_before = quiet()
    rounds_until(MALFORMED)
    memory_after, fds_after = quiet()

    assert fds_after == fds_before
    assert memory_after - memory_before < 4 << 20
    assert len(toy.open) == 1  # the witness's
    assert len(rig.door._clients) == HOSTILE + 1
    assert rig.door.allowance is not None
    assert rig.door.allowance.left == 256
    assert rig.door.calls > MALFORMED // 2  # most got as far as being looked at
    assert witness.answers > 1000
    assert all(attacker.drops > 10 for attacker in attackers)


def test_memory_that_changes_while_it_is_read_hurts_nobody(rig: Rig) -> None:
    witness = Witness(rig, random.Random(1))
    victim = rig.connect(ENTRIES, 65536)
    for name in NAMES[:4]:
        rig.open(victim, name)
    scribbler = os.fork()
    if scribbler == 0:
        rng = random.Random(2)
        while True:
            at = rng.randrange(4096, len(victim.map) - 64)
            victim.map[at : at + 64] = rng.randbytes(64)
    try:
        for number in range(300):
            free = ENTRIES - (victim.tail - victim.words[SQ_HEAD]) % (1 << 32)
            for tag in range(min(free, 100)):
                opcode, _, *args = PLAUSIBLE[(number + tag) % len(PLAUSIBLE)] + (0, 0)
                victim.put(opcode, tag, tag % 5, *args)
            victim.ring()
            rig.turn()
            victim.taken()
            victim.is_dropped()  # reads bells and descriptors
            if number % 10 == 0:
                witness.check()
    finally:
        os.kill(scribbler, signal.SIGKILL)
        os.waitpid(scribbler, 0)
    witness.check()
    assert rig.door.calls > 1000
