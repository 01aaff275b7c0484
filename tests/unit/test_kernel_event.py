"""The scheme `event`, called as a door would, with descriptors of the test's own process."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import threading

import pytest
from asked import Asked, Posted, errno_of, opened
from descriptors import descriptors

from kernel_shim.schemes import event
from kernel_shim.schemes.event import EventScheme
from kernel_shim.schemes.event_watch import MOST, QUEUE_NUMBER
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.event import EVENT_TIMEOUT_ID, Event
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import LATER

READ, WRITE = f.EVENT_READ, f.EVENT_WRITE


class Bench:
    def __init__(self, root):
        self.loop = Loop()
        self.scheme = EventScheme(self.loop, root)
        self.posted = Posted(self.scheme)
        self.queue = opened(self.scheme, "queue", f.O_RDWR)

    def until(self, done, within=5.0):
        late = self.loop.at(self.loop.now() + within, lambda: pytest.fail("it did not come"))
        while not done():
            self.loop.run_round()
        late.cancel()

    def write(self, *records, queue=None, pid=None):
        """Write (id, flags, data) records; return how many were taken, or minus an errno."""
        data = b"".join(bytes(Event(id=i, flags=fl, data=d)) for i, fl, d in records)
        asked = Asked(pid=os.getpid() if pid is None else pid)
        queue = queue or self.queue
        result = self.scheme.write(queue, memoryview(data), 0, 0, asked)
        if result is not LATER:
            return result // 24
        self.until(lambda: not asked.pending)
        return -asked.errno if asked.errno else asked.result // 24

    def read(self, room=100):
        """Wait for records and take them."""
        ready = lambda: self.scheme.fevent(self.queue, READ) == READ  # noqa: E731
        self.until(ready)
        data = self.scheme.read(self.queue, room * 24, 0, 0, Asked())
        found = [Event.load(data, at) for at in range(0, len(data), 24)]
        return [(event.id, event.flags, event.data) for event in found]

    def quiet(self):
        """Give the thread time to say something, and check that it has not."""
        late = []
        self.loop.at(self.loop.now() + 0.05, lambda: late.append(1))
        while not late:
            self.loop.run_round()
        return self.scheme.fevent(self.queue, READ) == 0


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.scheme.on_close(bench.queue)
    bench.loop.close()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_registration_tells_what_is_ready_now_and_later(bench, pair):
    ours, theirs = pair
    assert bench.write((ours.fileno(), READ, 7)) == 1
    assert bench.quiet()
    theirs.send(b"x")
    assert bench.read() == [(ours.fileno(), READ, 7)]
    assert bench.quiet(), "one record for one trigger"
    theirs.send(b"y")
    assert bench.read() == [(ours.fileno(), READ, 7)]
    assert bench.write((ours.fileno(), READ | WRITE, 8)) == 1
    assert bench.read() == [(ours.fileno(), READ | WRITE, 8)], "what is ready at once, new data"


def test_as_many_records_are_read_as_fit(bench, pair):
    ours, theirs = pair
    fds = [ours.fileno(), theirs.fileno()]
    assert bench.write(*((fd, WRITE, fd) for fd in fds)) == 2
    assert sorted(bench.read(1) + bench.read(1)) == sorted((fd, WRITE, fd) for fd in fds)
    assert errno_of(bench.scheme.read, bench.queue, 24, 0, 0, Asked()) == e.EWOULDBLOCK
    assert errno_of(bench.scheme.read, bench.queue, 23, 0, 0, Asked()) == e.EINVAL


def test_no_flags_end_a_registration(bench, pair):
    ours, theirs = pair
    bench.write((ours.fileno(), READ, 7))
    theirs.send(b"x")
    bench.until(lambda: bench.posted.events)
    assert bench.write((ours.fileno(), 0, 0)) == 1
    theirs.send(b"y")
    assert bench.quiet()
    assert bench.write((ours.fileno(), READ, 9)) == 1
    assert bench.read() == [(ours.fileno(), READ, 9)]


def test_a_watched_descriptor_is_not_kept_open(bench, pair):
    ours, theirs = pair
    bench.write((ours.fileno(), READ, 7))
    ours.close()
    assert theirs.recv(1) == b"", "the other end hears of the close"
    assert bench.quiet(), "and the registration ended with it"


def test_a_number_that_means_another_file_is_another_registration(bench):
    first, other = socket.socketpair()
    fd = first.fileno()
    kept = first.dup()  # so the first registration lives on
    bench.write((fd, READ, 1))
    second, third = socket.socketpair()
    os.dup2(second.fileno(), fd)
    assert bench.write((fd, READ, 2)) == 1
    other.send(b"x")
    assert bench.quiet(), "the old file speaks for nobody"
    third.send(b"x")
    assert bench.read() == [(fd, READ, 2)]
    for one in (first, other, kept, second, third):
        one.close()


def test_numbers_are_free_again_however_often_files_come_and_go(bench):
    before = len(descriptors())
    for round_ in range(MOST + 200):
        reader, writer = os.pipe()
        assert bench.write((reader, READ, round_)) == 1
        os.close(reader)
        os.close(writer)
        assert len(os.listdir("/proc/self/fd")) < before + 200  # garbage and all


def test_a_queue_watches_so_many_and_no_more(bench):
    fds = [os.eventfd(0) for _ in range(MOST + 1)]
    assert bench.write(*((fd, READ, 0) for fd in fds[:-1])) == MOST
    assert bench.write((fds[-1], READ, 0)) == -e.ENOMEM
    os.eventfd_write(fds[5], 1)
    assert bench.read() == [(fds[5], READ, 0)]
    for fd in fds:
        os.close(fd)


def test_a_file_that_is_always_ready_says_so_once(bench, tmp_path):
    (tmp_path / "file").touch()
    with open(tmp_path / "file") as file:
        assert bench.write((file.fileno(), READ, 3)) == 1
        assert bench.read() == [(file.fileno(), READ, 3)]
        assert bench.quiet()


def test_what_is_no_descriptor_is_refused_and_ends_nothing(bench, pair):
    ours, theirs = pair
    bench.write((ours.fileno(), READ, 1))
    before = sorted(descriptors())
    for wrong in (1 << 20, 1 << 40, EVENT_TIMEOUT_ID + 1):
        assert errno_of(bench.write, (ours.fileno(), READ, 2), (wrong, READ, 0)) == e.EBADF
    theirs.send(b"x")
    assert bench.read() == [(ours.fileno(), READ, 1)]
    bench.until(lambda: sorted(descriptors()) == before)
    assert bench.write((1 << 20, 0, 0)) == 1, "to end what is not open is nothing"


def test_a_caller_nobody_can_see_is_refused(bench):
    data = memoryview(bytes(Event(id=0, flags=READ)))
    assert errno_of(bench.scheme.write, bench.queue, data, 0, 0, Asked(pid=0)) == e.EPERM
    assert errno_of(bench.scheme.write, bench.queue, data[:23], 0, 0, Asked()) == e.EINVAL


def test_a_thread_registers_its_process_descriptors(bench, pair):
    ours, _ = pair
    known, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (known.set(), done.wait(10)))
    thread.start()
    known.wait(10)
    assert bench.write((ours.fileno(), WRITE, 1), pid=thread.native_id) == 1
    done.set()
    thread.join()
    assert bench.read() == [(ours.fileno(), WRITE, 1)]


def test_the_timeout_is_one_record_once(bench):
    assert bench.write((EVENT_TIMEOUT_ID, 1, 10)) == 1
    assert bench.read() == [(EVENT_TIMEOUT_ID, 1, 10)]
    bench.write((EVENT_TIMEOUT_ID, 1, 10))
    bench.write((EVENT_TIMEOUT_ID, 0, 0))
    assert bench.quiet()


def test_a_timeout_among_registrations(bench, pair):
    ours, _ = pair
    assert bench.write((ours.fileno(), WRITE, 1), (EVENT_TIMEOUT_ID, 1, 1)) == 2
    assert bench.read() == [(ours.fileno(), WRITE, 1)]
    assert bench.read() == [(EVENT_TIMEOUT_ID, 1, 1)]


def test_a_closed_queue_leaves_nothing(bench, pair):
    ours, _ = pair
    before = sorted(descriptors())
    queue = opened(bench.scheme, "other", f.O_RDWR)
    assert bench.write((ours.fileno(), READ, 1), queue=queue) == 1
    bench.scheme.on_close(queue)
    bench.until(lambda: (bench.quiet(), sorted(descriptors()) == before)[1])


def test_one_user_cannot_take_the_descriptors_of_all(tmp_path, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (400, 400))
    bench = Bench(tmp_path)
    scheme = bench.scheme
    fds = [os.eventfd(0) for _ in range(40)]
    data = memoryview(b"".join(bytes(Event(id=fd, flags=READ)) for fd in fds))

    def register(uid):
        """Give a new queue 40 descriptors to watch; return the queue and an errno."""
        queue = opened(scheme, "queue", f.O_RDWR, uid)
        monkeypatch.setattr(event, "owner", lambda pid: uid)
        asked = Asked(uid, os.getpid())
        errno = errno_of(scheme.write, queue, data, 0, 0, asked)
        bench.until(lambda: errno or not asked.pending)
        return queue, errno

    open_before = len(descriptors())
    found = [register(1000) for _ in range(4)]
    assert [errno for _, errno in found] == [0, 0, e.ENFILE, e.ENFILE]
    others = [register(uid) for uid in (1001, 0, 0, 0)]
    assert [errno for _, errno in others] == [0] * 4
    for queue, _ in found:
        scheme.on_close(queue)
    bench.until(lambda: (again := register(1000))[1] == 0 or scheme.on_close(again[0]))
    for handle in tuple(scheme._handles):
        if handle != bench.queue:
            scheme.on_close(handle)
    bench.until(lambda: (bench.quiet(), len(descriptors()) == open_before)[1])
    scheme.on_close(bench.queue)
    bench.loop.close()
    for fd in fds:
        os.close(fd)


def test_the_descriptors_of_a_process_that_is_closed_to_its_user_are_not_had(bench):
    data = memoryview(bytes(Event(id=0, flags=READ)))
    python = os.path.realpath(sys.executable)  # a checkout below /root is not for everybody
    for uid, closed in ((1000, False), (1001, False), (1000, True), (0, True)):
        script = f"import ctypes,time; ctypes.CDLL(None).prctl(4, {int(not closed)}, 0, 0, 0)"
        command = [python, "-c", f"{script}; print(flush=True); time.sleep(60)"]
        with subprocess.Popen(
            command, stdin=-1, stdout=-1, preexec_fn=lambda: (os.setgid(1000), os.setuid(1000))
        ) as other:
            other.stdout.readline()
            asked = Asked(uid, other.pid)
            may = uid == 0 or (uid == 1000 and not closed)
            wrong = errno_of(bench.scheme.write, bench.queue, data, 0, 0, asked)
            assert wrong == (0 if may else e.EPERM)
            other.kill()
            bench.until(lambda: wrong or not asked.pending)  # noqa: B023


def test_a_write_that_is_given_up_is_answered_once(bench, pair):
    asked = Asked(pid=os.getpid())
    data = memoryview(bytes(Event(id=pair[0].fileno(), flags=READ)))
    assert bench.scheme.write(bench.queue, data, 0, 0, asked) is LATER
    asked.on_cancel(asked)
    assert asked.errno == e.ECANCELED
    assert bench.quiet()


def test_names(bench):
    scheme = bench.scheme
    assert scheme.fpath(bench.queue) == "/scheme/event/"
    assert scheme.getdents(opened(scheme, "", f.O_DIRECTORY), Asked()) == ()
    look = opened(scheme, "any", f.O_STAT)
    assert errno_of(scheme.read, look, 24, 0, 0, Asked()) == e.EISDIR
    bare = opened(scheme, "", f.O_RDWR)
    assert scheme.ioctl(bare, QUEUE_NUMBER, b"", 8, Asked()) == bare.to_bytes(8, "little")
    assert errno_of(scheme.ioctl, bare, 1, b"", 8, Asked()) == e.ENOTTY
    for path in ("a/b", "eventfd/1/2", "eventfd/x/0", "eventfd/4294967296/0", "eventfd/1/0/0"):
        assert errno_of(opened, scheme, path, f.O_RDWR) == e.ENOENT
    assert errno_of(opened, scheme, "a", f.O_DIRECTORY) == e.ENOTDIR


def test_a_counter_counts(bench):
    scheme, posted = bench.scheme, bench.posted
    counter = opened(scheme, "eventfd/3/0", f.O_RDWR)
    take = lambda: int.from_bytes(scheme.read(counter, 8, 0, 0, Asked()), "little")  # noqa: E731
    add = lambda n: scheme.write(  # noqa: E731
        counter, memoryview(n.to_bytes(8, "little")), 0, 0, Asked()
    )
    assert take() == 3
    assert errno_of(take) == e.EWOULDBLOCK
    assert scheme.fevent(counter, READ | WRITE) == WRITE
    assert add(5) == 8
    assert (counter, READ) in posted.take()
    assert add((1 << 64) - 7) == 8
    assert scheme.fevent(counter, READ | WRITE) == READ
    assert errno_of(add, 1) == e.EWOULDBLOCK
    assert errno_of(add, (1 << 64) - 1) == e.EINVAL
    assert take() == (1 << 64) - 2


def test_a_counter_as_semaphore_gives_one_at_a_time(bench):
    counter = opened(bench.scheme, "eventfd/2/1", f.O_RDWR)
    for _ in range(2):
        assert bench.scheme.read(counter, 8, 0, 0, Asked()) == (1).to_bytes(8, "little")
    assert errno_of(bench.scheme.read, counter, 8, 0, 0, Asked()) == e.EWOULDBLOCK
