"""Daemons die, their clients do not notice: the journal at work."""

from __future__ import annotations

import errno
import os
import random
import select
import threading
import time

import pytest
from background import in_thread
from schemefs_rig import Rig

from schemefs.journal import DATA, Geometry

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def rig(tmp_path, request):
    kind, geometry = getattr(request, "param", "store"), None
    if isinstance(kind, tuple):
        kind, geometry = kind
    folder, point = tmp_path / "back", tmp_path / "mnt"
    folder.mkdir()
    point.mkdir()
    for name in ("a", "die"):
        (folder / name).write_bytes(bytes(1 << 20))
    made = Rig(point, kind, str(folder), geometry=geometry)
    made.back = folder
    made.start()
    yield made
    made.close()


@pytest.mark.parametrize("size", [16, 4096, 100_000, 1 << 20])
@pytest.mark.parametrize("when", [b"before", b"after "])
def test_a_write_whose_daemon_dies_is_finished_by_the_successor(rig, when, size):
    data = when + os.urandom(size - 6)
    with open(rig.point / "die", "r+b", buffering=0) as file:
        outcome = in_thread(lambda: os.pwrite(file.fileno(), data, 0))
        assert rig.server.wait(20) < 0
        rig.start()
        assert outcome() == size
        assert os.pread(file.fileno(), size, 0) == data
    assert (rig.back / "die").read_bytes()[:size] == data


def test_a_request_that_kills_every_daemon_is_given_up_with_an_error(rig):
    with open(rig.point / "die", "r+b", buffering=0) as file:
        outcome = in_thread(lambda: os.pwrite(file.fileno(), b"always", 0))
        deaths = 0
        while deaths < 4:  # once for the first, and three tries by successors
            assert rig.server.wait(20) < 0
            deaths += 1
            rig.start()
        assert outcome().errno == errno.EIO
        assert os.pread(file.fileno(), 1, 0) == b"\0"  # the handle itself lives on


def test_files_names_and_listings_outlive_the_daemon(rig):
    with open(rig.point / "a", "r+b", buffering=0) as file:
        os.pwrite(file.fileno(), b"one", 0)
        rig.kill()
        rig.start()
        assert os.pread(file.fileno(), 3, 0) == b"one"
        assert sorted(os.listdir(rig.point)) == ["a", "die"]
        assert os.fstat(file.fileno()).st_size == 1 << 20


def test_requests_made_while_no_daemon_runs_wait_for_the_next(rig):
    rig.kill()
    outcome = in_thread(lambda: (rig.point / "a").read_bytes())
    rig.start()
    assert outcome() == bytes(1 << 20)


def test_slots_and_areas_are_all_free_again_after_deaths(rig):
    with open(rig.point / "die", "r+b", buffering=0) as file:
        outcome = in_thread(lambda: os.pwrite(file.fileno(), b"before" + bytes(1 << 19), 0))
        assert rig.server.wait(20) < 0
        rig.start()
        assert outcome() == (1 << 19) + 6
        shape = rig.journal.geometry
        first = shape.requests_at // 4
        deadline = time.monotonic() + 10
        while any(rig.journal.words[first + slot * 32] for slot in range(shape.requests)):
            assert time.monotonic() < deadline  # the slot is cleared just after the answer
        for _ in range(3 * shape.big):  # more than there are areas
            assert os.pwrite(file.fileno(), bytes(1 << 20), 0) == 1 << 20


def in_hand(rig):
    """The data words of the requests in the journal."""
    shape, words = rig.journal.geometry, rig.journal.words
    slots = [shape.requests_at // 4 + slot * 32 for slot in range(shape.requests)]
    return [words[slot + DATA] for slot in slots if words[slot]]


def wait_until(done):
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("rig", [("late", Geometry(big=2))], indirect=True)
def test_a_successor_that_inherits_all_memory_reads_on_when_some_is_free(rig):
    data = [os.urandom(100_000) for _ in range(8)]
    with open(rig.point / "a", "r+b", buffering=0) as file:
        fd = file.fileno()
        writes = [
            in_thread(lambda n=n: os.pwrite(fd, data[n], n * 100_000)) for n in range(len(data))
        ]
        wait_until(lambda: len([word for word in in_hand(rig) if word]) == 2)
        rig.start()
        assert [outcome() for outcome in writes] == [100_000] * 8
        assert rig.server.poll() is None
        assert os.pread(fd, 800_000, 0) == b"".join(data)


@pytest.mark.parametrize("rig", ["late"], indirect=True)
def test_a_write_that_was_answered_before_the_death_does_not_undo_a_later_one(rig):
    with open(rig.point / "a", "r+b", buffering=0) as file:
        assert os.pwrite(file.fileno(), b"torn", 0) == 4
        assert rig.server.wait(20) < 0
        assert len(in_hand(rig)) == 1
        later = in_thread(lambda: os.pwrite(file.fileno(), b"next", 0))
        rig.start()
        assert later() == 4
        wait_until(lambda: not in_hand(rig))
        assert (rig.back / "a").read_bytes()[:4] == b"next"


@pytest.mark.parametrize("rig", ["channel"], indirect=True)
def test_what_may_not_be_done_twice_fails_instead(rig):
    with open(rig.point / "slow", "r+b", buffering=0) as file:
        reader = in_thread(lambda: os.read(file.fileno(), 1))
        words, first = rig.journal.words, rig.journal.geometry.requests_at // 4
        deadline = time.monotonic() + 10
        while not any(words[first + slot * 32] for slot in range(64)):
            assert time.monotonic() < deadline
        rig.start()
        assert reader().errno == errno.EIO


@pytest.mark.parametrize("rig", ["channel"], indirect=True)
def test_pollers_are_woken_by_the_successor_to_look_again(rig):
    fd = os.open(rig.point / "c", os.O_RDONLY | os.O_NONBLOCK)
    poller = select.epoll()
    try:
        poller.register(fd, select.EPOLLIN)
        assert poller.poll(0) == []
        rig.start()
        events = poller.poll(10)
        assert events
        assert events[0][0] == fd
    finally:
        poller.close()
        os.close(fd)


def test_thirty_kills_under_random_verified_load_lose_nothing(rig):
    blocks = 256
    expected = {}
    counts = {"operations": 0}
    stop = threading.Event()

    def load():
        chance = random.Random(7)
        with open(rig.point / "a", "r+b", buffering=0) as file:
            while not stop.is_set():
                block = chance.randrange(blocks)
                if chance.random() < 0.5:
                    expected[block] = chance.randbytes(4096)
                    assert os.pwrite(file.fileno(), expected[block], block * 4096) == 4096
                else:
                    wanted = expected.get(block, bytes(4096))
                    assert os.pread(file.fileno(), 4096, block * 4096) == wanted
                counts["operations"] += 1
            for block, wanted in expected.items():
                assert os.pread(file.fileno(), 4096, block * 4096) == wanted
        return "verified"

    outcome = in_thread(load)
    chance = random.Random(11)
    for _ in range(30):
        before = counts["operations"]
        until = before + chance.randrange(1, 200)
        deadline = time.monotonic() + 20
        while counts["operations"] < until:
            assert time.monotonic() < deadline, "the load stands still"
            time.sleep(0)
        rig.start()
    stop.set()
    assert outcome() == "verified"
    assert counts["operations"] > 30
