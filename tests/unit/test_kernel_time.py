"""The schemes `time` and `itimer`, called as a door would."""

from __future__ import annotations

import struct
import time

import pytest
from asked import Asked, Posted, errno_of, opened

from kernel_shim.schemes import clocks
from kernel_shim.schemes.handles import Handles
from kernel_shim.schemes.itimer import ITimerScheme
from kernel_shim.schemes.time import TimeScheme
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Caller, Unheard
from redbear_host.scheme.scheme import ROOT

MS = 1_000_000


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def clock(loop):
    scheme = TimeScheme(loop)
    yield scheme
    scheme.close()


@pytest.fixture
def itimer(loop):
    scheme = ITimerScheme(loop)
    yield scheme
    scheme.close()


def serve(loop, done, within=5.0):
    """Run the loop until `done()`."""
    late = loop.at(loop.now() + within, lambda: pytest.fail("it did not come in time"))
    while not done():
        loop.run_round()
    late.cancel()


def read(scheme, handle, size=16):
    return bytes(scheme.read(handle, size, 0, 0, Asked()))


def nanoseconds(record):
    seconds, rest = struct.unpack("<qi4x", record)
    return seconds * 1_000_000_000 + rest


def spec(value, interval=0):
    return memoryview(
        struct.pack("<qi4xqi4x", *divmod(interval, clocks.SECOND), *divmod(value, clocks.SECOND))
    )


@pytest.mark.parametrize(("name", "now"), [("1", time.time_ns), ("4", time.monotonic_ns)])
@pytest.mark.parametrize("form", ["gettime", "timer"])
def test_a_read_is_the_clock_now(clock, name, now, form):
    handle = opened(clock, f"{name}/{form}", f.O_RDONLY)
    before = now()
    shown = nanoseconds(read(clock, handle))
    assert before <= shown <= now()


def test_as_many_records_are_read_as_fit(clock):
    handle = opened(clock, "4/gettime", f.O_RDONLY)
    record = read(clock, handle, 47)
    assert len(record) == 32
    assert record[:16] == record[16:]
    assert errno_of(clock.read, handle, 15, 0, 0, Asked()) == e.EINVAL


def test_the_resolution_is_a_nanosecond(clock):
    assert nanoseconds(read(clock, opened(clock, "1/getres", f.O_RDONLY))) == 1


def test_the_bare_clock_is_a_timer_and_a_directory(clock):
    bare = opened(clock, "4", f.O_RDWR)
    assert len(read(clock, bare)) == 16
    assert clock.fpath(bare) == "/scheme/time/4/"
    folder = opened(clock, "4", f.O_DIRECTORY)
    assert [entry.name for entry in clock.getdents(folder, Asked())] == [
        "gettime", "getres", "timer",
    ]  # fmt: skip
    assert errno_of(clock.read, folder, 16, 0, 0, Asked()) == e.EISDIR
    form = clock.dup(bare, b"getres", Asked()).handle
    assert clock.fpath(form) == "/scheme/time/4/getres"


@pytest.mark.parametrize("path", ["0", "2", "5", "04", "4/now", "x", "4/gettime/x"])
def test_other_names_are_not_there(clock, path):
    assert errno_of(opened, clock, path, f.O_RDONLY) == e.ENOENT


def test_what_cannot_be_written(clock):
    assert errno_of(opened, clock, "1/getres", f.O_WRONLY) == e.EACCES
    assert errno_of(opened, clock, "1/gettime", f.O_DIRECTORY) == e.ENOTDIR
    handle = opened(clock, "1/gettime", f.O_RDONLY)
    assert errno_of(clock.write, handle, memoryview(bytes(16)), 0, 0, Asked()) == e.EBADF


@pytest.mark.parametrize("name", ["1", "4"])
def test_a_deadline_posts_one_event_when_it_has_come(clock, loop, name):
    posted = Posted(clock)
    handle = opened(clock, f"{name}/timer", f.O_RDWR)
    when = nanoseconds(read(clock, handle)) + 20 * MS
    record = clocks.to_timespec(when)
    assert clock.write(handle, memoryview(record), 0, 0, Asked()) == 16
    assert clock.fevent(handle, f.EVENT_READ) == 0
    serve(loop, lambda: posted.events)
    assert nanoseconds(read(clock, handle)) >= when
    assert posted.take() == [(handle, f.EVENT_READ)]
    assert clock.fevent(handle, f.EVENT_READ) == 0, "reading takes the event"


def test_deadlines_come_in_their_own_order_and_past_ones_at_once(clock, loop):
    posted = Posted(clock)
    handles = [opened(clock, "4/timer", f.O_RDWR) for _ in range(3)]
    start = clocks.now(4)
    for handle, when in zip(handles, (start + 30 * MS, 0, start + 10 * MS), strict=True):
        clock.write(handle, memoryview(clocks.to_timespec(when)), 0, 0, Asked())
    serve(loop, lambda: len(posted.events) == 3)
    assert [handle for handle, _ in posted.events] == [handles[1], handles[2], handles[0]]


def test_a_closed_timer_is_silent(clock, loop):
    posted = Posted(clock)
    handle, other = (opened(clock, "4/timer", f.O_RDWR) for _ in range(2))
    when = clocks.now(4) + 5 * MS
    clock.write(handle, memoryview(clocks.to_timespec(when)), 0, 0, Asked())
    clock.write(other, memoryview(clocks.to_timespec(when + MS)), 0, 0, Asked())
    clock.on_close(handle)
    serve(loop, lambda: posted.events)
    assert posted.events == [(other, f.EVENT_READ)]


def test_deadlines_that_make_no_sense_are_refused(clock):
    handle = opened(clock, "4/timer", f.O_RDWR)
    for record in (struct.pack("<qi4x", -1, 0), struct.pack("<qi4x", 0, 10**9), bytes(15)):
        assert errno_of(clock.write, handle, memoryview(record), 0, 0, Asked()) == e.EINVAL
    far = memoryview(struct.pack("<qi4x", (1 << 63) - 1, 0) * 256)
    assert clock.write(handle, far, 0, 0, Asked()) == len(far)
    assert errno_of(clock.write, handle, far[:16], 0, 0, Asked()) == e.ENOMEM


def test_a_successor_reopens_clocks_and_no_timer(clock):
    request = Unheard(Caller(1, 0, 0))
    assert clock.openat(ROOT, "4/gettime", f.O_RDONLY, 0, request).handle
    assert errno_of(clock.openat, ROOT, "4/timer", f.O_RDWR, 0, request) == e.EIO


def test_an_alarm_follows_the_wall_clock_when_it_is_set(loop):
    offset = 0
    alarms = clocks.Alarms(loop, clocks.REALTIME, lambda clock: clocks.now(clock) + offset)
    rung = []
    alarms.at(clocks.now(1) + 3600 * clocks.SECOND, lambda: rung.append("hour"))
    offset = 2 * 3600 * clocks.SECOND
    alarms.at(clocks.now(1) + MS, lambda: rung.append("now"))  # any look at the clock will do
    serve(loop, lambda: len(rung) == 2)
    alarms.close()


def test_cancelled_alarms_do_not_pile_up(loop):
    alarms = clocks.Alarms(loop, clocks.MONOTONIC)
    for _ in range(10_000):
        alarms.at(clocks.now(4) + 3600 * clocks.SECOND, lambda: None).cancel()
    assert len(alarms._waiting) < 200
    alarms.close()


def test_an_interval_timer_expires_again_and_again(itimer, loop):
    posted = Posted(itimer)
    handle = opened(itimer, "4", f.O_RDWR)
    assert read(itimer, handle, 32) == bytes(32)
    began = time.monotonic_ns()
    assert itimer.write(handle, spec(5 * MS, 10 * MS), 0, 0, Asked()) == 32
    serve(loop, lambda: len(posted.events) == 3)
    assert time.monotonic_ns() - began >= 25 * MS
    assert itimer.fevent(handle, f.EVENT_READ) == f.EVENT_READ
    shown = read(itimer, handle, 32)
    assert nanoseconds(shown[:16]) == 10 * MS
    assert 0 < nanoseconds(shown[16:]) <= 10 * MS
    assert itimer.fevent(handle, f.EVENT_READ) == 0
    itimer.write(handle, spec(0), 0, 0, Asked())
    assert read(itimer, handle, 32) == bytes(32)


def test_an_interval_timer_without_interval_expires_once(itimer, loop):
    posted = Posted(itimer)
    handle = opened(itimer, "1", f.O_RDWR)
    itimer.write(handle, spec(MS), 0, 0, Asked())
    serve(loop, lambda: posted.events)
    assert read(itimer, handle, 32) == bytes(32)


def test_an_interval_no_process_could_keep_is_a_millisecond(itimer):
    handle = opened(itimer, "4", f.O_RDWR)
    itimer.write(handle, spec(clocks.SECOND, 1), 0, 0, Asked())
    assert nanoseconds(read(itimer, handle, 32)[:16]) == MS
    itimer.on_close(handle)


def test_interval_timers_are_one_per_open(itimer):
    first, second = (opened(itimer, "4", f.O_RDWR) for _ in range(2))
    itimer.write(first, spec(clocks.SECOND), 0, 0, Asked())
    assert read(itimer, second, 32) == bytes(32)
    assert errno_of(itimer.write, second, memoryview(bytes(31)), 0, 0, Asked()) == e.EINVAL
    assert errno_of(opened, itimer, "2", f.O_RDWR) == e.ENOENT
    assert [x.name for x in itimer.getdents(opened(itimer, "", f.O_DIRECTORY), Asked())] == [
        "1", "4",
    ]  # fmt: skip


def test_a_user_has_so_many_handles_and_root_any_number():
    handles = Handles(2)
    user, other = Caller(1, 1000, 1000), Caller(2, 1001, 1001)
    first = handles.add("a", user)
    handles.add("b", user)
    assert errno_of(handles.add, "c", user) == e.EMFILE
    assert handles[handles.add("d", other)] == "d"
    assert all(handles.add(n, Caller(1, 0, 0)) for n in range(10))
    assert handles.remove(first) == "a"
    assert handles.remove(first) is None
    assert handles.add("c", user) > 10
    assert errno_of(handles.__getitem__, first) == e.EBADF
