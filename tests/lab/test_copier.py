"""The copier against daemons that lie: real processes, real FUSE, a client that waits."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import signal
import threading
import time
from contextlib import contextmanager

import pytest
from copier_rig import WITNESS, Kept, Waiting, bring_late, fetch

from kernel_shim.copier import Copying, Held, Holder
from redbear_host.abi import errno as e
from redbear_host.abi import ioctls as i
from redbear_host.errors import Refused
from redbear_host.scheme.clients import (
    AGAIN,
    ANSWER,
    ASK,
    COMMAND_AT,
    DATA_AT,
    HEAD_AT,
    SENSE_AT,
    STAGING_BYTES,
    Verb,
)
from schemefs.mount import all_mounts

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts, and looks into processes: not root"),
]

OUT = bytes(range(i.SG_OUT.size))


@pytest.fixture
def kept(tmp_path):
    made = Kept(tmp_path / "file", tmp_path / "log")
    yield made
    made.undo.close()


@pytest.fixture
def waiting(kept):
    made = Waiting(kept.point, direction=i.SG_FROM_DEV)
    yield made
    made.kill()
    kept.undo.close()
    made.end()


@pytest.fixture
def sending(kept):
    made = Waiting(kept.point, direction=i.SG_TO_DEV)
    yield made
    made.kill()
    kept.undo.close()
    made.end()


def test_what_an_ioctl_names_is_fetched(kept, waiting):
    assert fetch(kept, waiting) == (0, i.SG_BYTES, 6, 0)
    assert kept.fetched(HEAD_AT, i.SG_BYTES) == waiting.header
    assert kept.fetched(COMMAND_AT, 6) == bytes([0x12, 0, 0, 0, 96, 0])
    assert waiting.unchanged


def test_what_goes_to_the_device_is_fetched_with_it(kept, sending):
    assert fetch(kept, sending) == (0, i.SG_BYTES, 6, sending.size)
    assert kept.fetched(DATA_AT, sending.size) == (WITNESS * 64)[: sending.size]


def test_answers_go_where_the_ioctl_says_and_nowhere_else(kept, waiting):
    kept.stage(HEAD_AT, OUT)
    kept.stage(SENSE_AT, b"s" * 18)
    kept.stage(DATA_AT, b"d" * 4096)
    sizes = (len(OUT), 18, 4096)
    assert kept.ask(Verb.STORE, waiting.pid, i.SG_IO, waiting.argument, sizes)[0] == 0
    expected = bytearray(waiting.before)
    out_at = waiting.head + i.SG_IN.size
    expected[out_at : out_at + len(OUT)] = OUT
    expected[waiting.sense : waiting.sense + 18] = b"s" * 18
    expected[waiting.data : waiting.data + 4096] = b"d" * 4096
    assert bytes(waiting.memory) == bytes(expected)


@pytest.mark.parametrize(
    "sizes",
    [
        (19, 0, 0),
        (21, 0, 0),
        (88, 0, 0),
        (0, 33, 0),
        (0, 0, 4097),
        (0, 0, 1 << 31),
        (0, 2**32 - 1, 0),
    ],
)
def test_more_than_the_ioctl_has_room_for_is_not_stored(kept, waiting, sizes):
    assert kept.ask(Verb.STORE, waiting.pid, i.SG_IO, waiting.argument, sizes)[0] == e.EINVAL
    assert waiting.unchanged


def test_data_is_not_stored_where_the_client_only_sends(kept, sending):
    assert kept.ask(Verb.STORE, sending.pid, i.SG_IO, sending.argument, (0, 0, 1))[0] == e.EINVAL
    assert sending.unchanged


def test_nobody_else_is_reached(kept, waiting):
    secret = ctypes.create_string_buffer(waiting.header, 4096)
    here = ctypes.addressof(secret)
    before = bytes(secret)
    other = threading.Event()
    thread = threading.Thread(target=other.wait)
    thread.start()
    threads = [
        os.getpid(), thread.native_id, 1, kept.daemon.pid, 0, 2**31, 2**32 - 1, 2**22 + 1,
    ]  # fmt: skip
    for number in threads:
        for argument in (waiting.argument, here, 0):
            for verb in (Verb.FETCH, Verb.STORE):
                answer = kept.ask(verb, number, i.SG_IO, argument, (20, 18, 64))
                assert answer[0] in (e.ESRCH, e.EACCES), (number, answer)
    other.set()
    thread.join()
    assert bytes(secret) == before
    assert waiting.unchanged
    assert not any(kept.fetched(HEAD_AT, 88))


def test_a_client_is_reached_only_in_the_ioctl_it_waits_in(kept, waiting):
    for command, argument in [
        (i.BLKGETSIZE, waiting.argument),
        (i.NVME_IOCTL_ADMIN_CMD, waiting.argument),
        (i.SG_IO, waiting.argument + 8),
        (i.SG_IO, waiting.base + waiting.data),
        (i.SG_IO, 0),
        (i.SG_IO, 2**64 - 8),
    ]:
        for verb in (Verb.FETCH, Verb.STORE):
            assert kept.ask(verb, waiting.pid, command, argument, (0, 0, 0))[0] == e.ESRCH
    assert kept.ask(Verb.FETCH, waiting.pid, 0x1234, waiting.argument)[0] == e.EINVAL
    assert kept.ask(3, waiting.pid, i.SG_IO, waiting.argument)[0] == e.EINVAL
    assert waiting.unchanged


def test_a_client_of_another_daemon_is_not_reached(kept, tmp_path):
    other = Kept(tmp_path / "other", tmp_path / "other.log")
    foreign = Waiting(other.point, direction=i.SG_FROM_DEV)
    try:
        assert fetch(kept, foreign)[0] == e.ESRCH
        assert "not of this daemon" in kept.log.read_text()
        assert fetch(other, foreign)[0] == 0
    finally:
        foreign.kill()
        other.undo.close()
        foreign.end()


def test_what_is_no_question_is_answered_as_such(kept):
    for message in (b"x", bytes(ASK.size - 1), bytes(ASK.size + 1)):
        assert ANSWER.unpack(kept.send(message)) == (0, e.EINVAL, 0, 0, 0)


def test_memory_that_is_not_there_is_a_fault(kept):
    absent = Waiting(kept.point, direction=i.SG_TO_DEV, foreign=0x10)
    try:
        assert fetch(kept, absent)[0] == e.EFAULT
    finally:
        absent.kill()
        kept.undo.close()
        absent.end()


@pytest.mark.parametrize("access", [0, mmap.PROT_READ])
def test_memory_that_the_client_may_not_write_is_not_written(kept, access):
    page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page[:] = b"\xa5" * 4096
    place = ctypes.addressof(ctypes.c_char.from_buffer(page))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(place), 4096, access) == 0
    reader = Waiting(kept.point, direction=i.SG_FROM_DEV, foreign=place)
    kept.stage(DATA_AT, b"d" * 4096)
    try:
        stored = kept.ask(Verb.STORE, reader.pid, i.SG_IO, reader.argument, (0, 0, 4096))
        assert stored[0] == e.EFAULT
        with open(f"/proc/{reader.pid}/mem", "rb", buffering=0) as memory:
            memory.seek(place)
            assert memory.read(4096) == b"\xa5" * 4096
    finally:
        reader.kill()
        kept.undo.close()
        reader.end()


def test_memory_that_never_comes_costs_nobody_else_the_copier(kept, waiting):
    page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    place = ctypes.addressof(ctypes.c_char.from_buffer(page))
    slow = Waiting(
        kept.point,
        direction=i.SG_TO_DEV,
        foreign=place,
        prepare=lambda: bring_late(place, 4096),
    )
    try:
        assert fetch(kept, waiting)[0] == 0
        for _ in range(2):
            began = time.monotonic()
            assert fetch(kept, slow)[0] == e.ETIMEDOUT
            assert fetch(kept, waiting)[0] == 0
            assert time.monotonic() - began < 10
        assert kept.state != "T"
    finally:
        slow.kill()
        kept.undo.close()
        slow.end()


def test_memory_that_only_the_stopped_daemon_could_bring_is_a_fault(kept):
    file = os.open(kept.point, os.O_RDONLY)
    mapped = mmap.mmap(file, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    place = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    asker = Waiting(kept.point, direction=i.SG_TO_DEV, foreign=place)
    try:
        assert fetch(kept, asker)[0] == e.EFAULT
        assert "file of this daemon" in kept.log.read_text()  # and not: in time
    finally:
        asker.kill()
        os.close(file)
        kept.undo.close()
        asker.end()


def test_the_daemon_runs_on_after_each_question(kept, waiting):
    for _ in range(20):
        assert fetch(kept, waiting)[0] == 0
        assert kept.state != "T"
    assert os.stat(kept.point).st_size == 1 << 20


def test_a_copier_that_is_killed_is_replaced_and_the_daemon_never_left_stopped(kept, waiting):
    assert fetch(kept, waiting)[0] == 0
    first = kept.copier
    os.kill(kept.daemon.pid, signal.SIGSTOP)  # as it might be in the middle of a copy
    os.kill(first, signal.SIGKILL)
    assert fetch(kept, waiting)[0] == 0
    assert kept.copier != first
    assert kept.state != "T"


def test_a_copier_that_dies_again_and_again_is_given_up_and_nobody_waits_for_it(kept, waiting):
    for _ in range(5):
        assert fetch(kept, waiting)[0] == 0
        os.kill(kept.copier, signal.SIGKILL)
    kept.questions.send(ASK.pack(Verb.FETCH, 1, waiting.pid, i.SG_IO, waiting.argument, 0, 0, 0))
    said = [ANSWER.pack(AGAIN, 0, 0, 0, 0)]
    while said[-1]:
        said.append(kept.receive())
    assert set(said) == {ANSWER.pack(AGAIN, 0, 0, 0, 0), b""}


def test_a_client_that_was_killed_while_it_waits_is_harmless(kept, waiting):
    waiting.kill()
    answer = fetch(kept, waiting)
    assert answer[0] in (0, e.ESRCH, e.EFAULT)
    kept.stage(DATA_AT, b"d" * 64)
    stored = kept.ask(Verb.STORE, waiting.pid, i.SG_IO, waiting.argument, (0, 0, 64))
    assert stored[0] in (0, e.ESRCH, e.EFAULT)
    assert kept.state != "T"


def test_a_daemon_that_is_dead_gets_nothing(kept, waiting):
    kept.daemon.kill()
    kept.daemon.wait(10)
    assert fetch(kept, waiting)[0] == e.EIO
    assert waiting.unchanged


@contextmanager
def unheld():
    yield Held()


def test_two_hundred_thousand_forged_questions_reach_nobody(kept, waiting):
    """In this process, without stopping the daemon each time: what is right, and what is near."""
    rng = random.Random(4)
    (minor,) = (m.minor for m in all_mounts() if m.point == kept.point)
    staging = memoryview(bytearray(STAGING_BYTES))
    copying = Copying(staging, [(0, minor)], unheld)
    commands = [*i.LAYOUTS, 0, 0x1234, 2**32 - 1, *[i.SG_IO] * 30]
    threads = [waiting.pid, waiting.pid + 1, os.getpid(), 1, 0, kept.daemon.pid, 2**31, 2**32 - 1]
    sizes = [0, 1, 18, 20, 32, 33, 4096, 4097, 1 << 20, 2**31, 2**32 - 1]
    fetched = 0
    for _ in range(200_000):
        verb = rng.choice((1, 1, 2, 3, 0, 2**32 - 1))
        thread = rng.choice(threads) if rng.random() < 0.5 else rng.getrandbits(32)
        command = rng.choice(commands)
        argument = waiting.argument
        if rng.random() < 0.6:
            argument += rng.choice((1, 8, -8, 4096, 1 << 40))
        elif rng.random() < 0.2:
            argument = rng.getrandbits(64)
        right = (thread, command, argument) == (waiting.pid, i.SG_IO, waiting.argument)
        wanted = [rng.choice(sizes) for _ in range(3)]
        if right and verb == Verb.STORE:
            wanted = [21, 33, 4097]
        question = ASK.pack(verb, 1, thread, command, argument, *wanted)
        if rng.random() < 0.05:
            question = question[: rng.randrange(len(question))]
        answer = ANSWER.unpack(copying.answer(question))
        if answer[1] == 0:
            assert right
            assert verb == Verb.FETCH
            fetched += 1
    assert fetched > 50
    assert waiting.unchanged


def test_no_thread_of_the_daemon_runs_while_bytes_move(kept):
    hold = Holder(kept.daemon.pid, kept.pidfd)
    with hold() as held:
        assert kept.state == "T"
        held.still()
        deadline = time.monotonic() + 5  # it does not stay so for ever
        while kept.state == "T":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(Refused):
            held.still()
    with hold():
        assert kept.state == "T"
    assert kept.state != "T"
