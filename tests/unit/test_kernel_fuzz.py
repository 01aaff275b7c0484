"""Whatever a client asks of the kernel's schemes: an answer, or a `Refused`, and never a bug."""

from __future__ import annotations

import os
import random
import struct

import pytest
from asked import Asked

from kernel_shim.schemes.debug import Console, DebugScheme
from kernel_shim.schemes.event import EventScheme
from kernel_shim.schemes.irq import IrqScheme
from kernel_shim.schemes.itimer import ITimerScheme
from kernel_shim.schemes.kernel import IrqNote
from kernel_shim.schemes.memory import MemoryScheme
from kernel_shim.schemes.pipe import PipeScheme
from kernel_shim.schemes.ring_log import RingLog
from kernel_shim.schemes.serio import SerioScheme
from kernel_shim.schemes.time import TimeScheme
from redbear_host.abi import flags as f
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.scheme import Foreign, Opened

ROUNDS = 4000

PATHS = (
    *(
        "",
        "/",
        "0",
        "1",
        "4",
        "16",
        "cpu-00",
        "cpu-00/16",
        "bsp",
        "devices",
        "4/timer",
        "1/gettime",
    ),
    *("4/getres", "a", "b/c", "write", "zeroed", "physical", "translation@uc", "?phys_contiguous"),
    *("eventfd", "eventfd/1", "eventfd/1/1", "no-preserve", "é\udcff", "x" * 4096, "..", "\0"),
)
FLAGS = (
    *(0, f.O_RDONLY, f.O_WRONLY, f.O_RDWR, f.O_STAT, f.O_DIRECTORY, f.O_CREAT | f.O_RDWR),
    *(f.O_NONBLOCK | f.O_RDWR, 0xFFFF_FFFF, f.O_STAT | f.O_DIRECTORY),
)
NUMBERS = (0, 1, 7, 8, 16, 24, 32, 4095, 4096, 1 << 31, 1 << 52, (1 << 63) - 1, (1 << 64) - 1)


def made(name, loop, tmp_path):
    """Make a scheme that has something to show."""
    if name == "irq":
        scheme = IrqScheme(loop, 1)
        fds = [os.eventfd(1, os.EFD_NONBLOCK) for _ in range(3)]
        scheme.learn("0000:04:00.0", [IrqNote("0000:04:00.0", 0, "msix", fds[0], -1)])
        scheme.learn("0000:05:00.0", [IrqNote("0000:05:00.0", 0, "intx", fds[1], fds[2], 4)])
        return scheme
    return {
        "debug": lambda: DebugScheme(loop, RingLog(), Console("")),
        "event": lambda: EventScheme(loop, tmp_path),
        "itimer": lambda: ITimerScheme(loop),
        "memory": lambda: MemoryScheme(loop, dev=tmp_path),
        "pipe": PipeScheme,
        "serio": SerioScheme,
        "time": lambda: TimeScheme(loop),
    }[name]()


def data(rng):
    kind = rng.randrange(4)
    if kind == 0:
        return b""
    if kind == 1:
        return rng.randbytes(rng.randrange(1, 100))
    if kind == 2:  # Event, ITimerSpec and TimeSpec of extremes
        words = [rng.choice(NUMBERS) for _ in range(rng.choice((1, 2, 3, 4, 6)))]
        return struct.pack(f"<{len(words)}Q", *words)
    return bytes(rng.choice((8, 24, 70_000)))


def call(scheme, rng, handles):
    """Make one call of a hostile client."""
    handle = rng.choice([*handles, 0, -1, 1 << 40]) if handles else rng.choice((0, 1 << 40))
    asked = Asked(rng.choice((0, 0, 1000)), rng.choice((0, os.getpid(), 1 << 22)))
    number, other = rng.choice(NUMBERS), rng.choice(NUMBERS)
    payload = data(rng)
    calls = (
        lambda: scheme.openat(
            rng.choice([0, handle]), rng.choice(PATHS), rng.choice(FLAGS), 0, asked
        ),
        lambda: scheme.dup(handle, rng.choice((b"write", b"", b"getres", payload)), asked),
        lambda: scheme.read(handle, min(number, 1 << 20), other, 0, asked),
        lambda: scheme.write(handle, memoryview(payload), number, 0, asked),
        lambda: scheme.fstat(handle),
        lambda: scheme.fstatvfs(handle),
        lambda: scheme.fsize(handle),
        lambda: scheme.fpath(handle),
        lambda: scheme.getdents(handle, asked),
        lambda: scheme.fevent(handle, rng.randrange(4)),
        lambda: scheme.ftruncate(handle, number, asked),
        lambda: scheme.fsync(handle, asked),
        lambda: scheme.ioctl(handle, rng.choice((1, 0x80085245)), payload, 8, asked),
        lambda: scheme.call(handle, memoryview(bytearray(payload)), (number,), asked),
        lambda: scheme.mmap_prep(handle, number, other, rng.choice(FLAGS), asked),
        lambda: scheme.munmap(handle, number, other, 0),
        lambda: scheme.on_sendfd(handle, [], 0, number, asked),
        lambda: scheme.on_recvfd(handle, rng.randrange(3), 0, (), asked),
        lambda: scheme.unlinkat(0, rng.choice(PATHS), 0, asked),
    )
    if handles and rng.random() < 0.1:
        scheme.on_close(handles.pop(rng.randrange(len(handles))))
        return
    result = rng.choice(calls)()
    assert not isinstance(result, Foreign)
    if isinstance(result, Opened):
        handles.append(result.handle)


@pytest.mark.parametrize(
    "name", ["debug", "event", "irq", "itimer", "memory", "pipe", "serio", "time"]
)
@pytest.mark.parametrize("seed", range(3))
def test_a_hostile_client_breaks_nothing(name, seed, tmp_path):
    rng = random.Random(f"{name} {seed}")
    loop = Loop()
    scheme = made(name, loop, tmp_path)
    handles, refused = [], []
    for _ in range(ROUNDS):
        try:
            call(scheme, rng, handles)
        except Refused as refusal:
            refused.append(refusal.errno)
        loop.at(loop.now(), lambda: None)  # so that a round does not wait
        loop.run_round()
    assert len(refused) < ROUNDS, "some calls must have been possible"
    assert set(refused) <= set(range(1, 134))
    while handles:
        scheme.on_close(handles.pop())
    assert len(scheme._handles) == 0
