"""redbear_host.client at a real ring door: every call, blocking."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import signal
import threading
import time

import pytest
import redox_rig

from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.abi.call import CallFlags
from redbear_host.client import calls
from redbear_host.client.linuxfile import LinuxFile
from redbear_host.client.ring import PAYLOAD_MOST


@pytest.fixture
def served(tmp_path, monkeypatch):
    monkeypatch.setenv("REDBEAR_RINGS", str(tmp_path))
    rig = redox_rig.Served(tmp_path)
    yield rig
    client.forget()
    gc.collect()
    rig.close()


def said_by_the_box(box):
    return box.read(4096).decode().split("\n")


def refused(number, call, *args):
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at
        call(*args)
    return caught.value.errno == number


def test_a_positioned_file_is_read_written_and_sought(served):
    with client.open("/scheme/bench/hello", f.O_RDWR) as fd:
        assert (fd.read(5), fd.read(100), fd.read(1)) == (b"hello", b", ring", b"")
        assert fd.lseek(-4, os.SEEK_END) == 7
        assert fd.write(b"RING") == 4
        assert fd.lseek(0, os.SEEK_CUR) == 11
        assert fd.lseek(0) == 0
        assert fd.read(11) == b"hello, RING"
        fd.ftruncate(5)
        fd.fsync()
        assert fd.fstat().st_size == 5
        fd.fcntl(4, f.O_APPEND)
        fd.lseek(0)
        assert fd.write(b"!") == 1
        fd.lseek(0)
        assert fd.read(9) == b"hello!"
        assert refused(errno.EINVAL, fd.lseek, -1)


def test_names_facts_and_directories(served):
    with client.open("bench:new", f.O_RDWR | f.O_CREAT, 0o640) as fd:
        assert fd.fstat().st_mode & 0o7777 == 0o640
        assert fd.fstat().st_uid == 7
        fd.fchmod(0o600)
        assert fd.fstat().st_mode & 0o7777 == 0o600
        assert fd.fstatvfs().f_bavail == 7
        assert fd.fpath() == "/scheme/bench/new"
        fd.frename("/scheme/bench/newer")
        assert refused(errno.EXDEV, fd.frename, "/scheme/rand/x")
        assert refused(errno.EOPNOTSUPP, fd.flink, "bench:other")
    with client.open("/scheme/bench") as folder:
        first = folder.getdents(room=40)
        rest = folder.getdents(first[-1].next_opaque_id)
        assert [entry.name for entry in (*first, *rest)] == ["hello", "newer"]
        assert len(first) == 1
        with folder.openat("hello") as fd:
            assert fd.read(5) == b"hello"
        folder.unlinkat("newer")
        assert refused(errno.ENOENT, folder.unlinkat, "newer")
        assert refused(errno.ESPIPE, folder.lseek, 1)


def test_the_list_of_schemes_names_what_can_be_reached(served):
    for spelling in ("/scheme", ":"):
        with client.open(spelling) as schemes:
            assert [entry.name for entry in schemes.getdents()] == ["bench"]
            with schemes.openat("bench/hello") as fd:
                assert fd.read(5) == b"hello"
    with client.open(":bench") as root:
        assert root.fpath() == "/scheme/bench/"


def test_an_unknown_scheme_is_no_device(served):
    assert refused(errno.ENODEV, client.open, "/scheme/nobody/x")
    assert refused(errno.ENODEV, client.open, "/etc/passwd")
    assert refused(errno.ENOENT, client.open, "/scheme/bench/nothing")


def test_dup_by_name_asks_the_scheme_and_without_a_name_shares_the_offset(served):
    with client.open("bench:hello") as fd, fd.dup() as twin, fd.dup(b"listen") as other:
        assert fd.read(5) == b"hello"
        assert twin.read(6) == b", ring"
        assert other.read(99) == b"dup:hello:listen"
        fd.dup2(other)
        assert other.lseek(0, os.SEEK_CUR) == 11
        with client.open("bench:box") as box:
            assert "dup:hello:listen" in said_by_the_box(box)
            assert "hello" not in said_by_the_box(box)


def test_a_number_stands_for_a_descriptor(served):
    number = client.open("bench:hello").into_raw()
    assert client.read(number, 5) == b"hello"
    assert refused(errno.EBADF, os.read, number, 1)  # it is no Linux file
    client.close(number)
    assert refused(errno.EBADF, client.read, number, 1)


def test_a_call_goes_in_and_comes_out(served):
    with client.open("bench:box") as fd:
        payload = bytearray(b"abc")
        assert fd.call_rw(payload, 0, (1, 2, 3)) == 6
        assert payload == b"cba"
        assert fd.call_wo(b"xyz", 0, (5,)) == 5
        assert refused(errno.EINVAL, fd.call_wo, b"", CallFlags.FD)
        assert refused(errno.EINVAL, fd.call_wo, b"", 0, (1, 2, 3, 4))
        assert refused(errno.E2BIG, fd.call_wo, bytes(PAYLOAD_MOST + 1))


def test_descriptors_travel_both_ways(served):
    with client.open("bench:box") as box:
        there, ours = os.pipe()
        assert box.sendfd([there], 0, 40) == 41
        os.close(there)
        (back,) = box.recvfd()
        os.write(ours, b"through the scheme")
        assert os.read(back, 99) == b"through the scheme"
        assert not os.get_inheritable(back)
        os.close(back)
        os.close(ours)
        assert box.recvfd(5) == []


def test_a_scheme_may_answer_an_open_with_anothers_file(served):
    with client.open("bench:foreign") as fd:
        assert fd.read(99) == b"from elsewhere"
        assert os.pread(fd.fileno(), 4, 0) == b"from"
        assert fd.fstat().st_size == 14
        assert fcntl.fcntl(fd.fileno(), fcntl.F_GETFD) == fcntl.FD_CLOEXEC


def test_memory_is_mapped_shared_and_the_scheme_hears_of_the_end(served):
    with client.open("bench:hello") as fd, client.open("bench:hello") as second:
        with client.fmap(fd, 4096, offset=4096) as ours, client.fmap(second, 8192) as theirs:
            assert ours.memory[:6] == b"mapped"
            ours.memory[6:7] = b"!"
            assert theirs.memory[4096:4103] == b"mapped!"
        with client.open("bench:box") as box:
            assert "unmapped 4096+4096" in said_by_the_box(box)
        assert refused(errno.EINVAL, client.fmap, fd, 0)
        assert refused(errno.EINVAL, client.fmap, fd, 1 << 20)  # more than there is
    with client.fmap(None, 4096) as blank:
        assert blank.memory[:] == bytes(4096)


def test_a_batch_rings_once_and_answers_in_order(served):
    with client.open("bench:hello") as fd, client.Batch() as batch:
        batch.read(fd, 5)
        batch.pread(fd, 4, 7)
        batch.call(fd, b"ab", (3,))
        batch.add(fd, lambda handle: calls.openat(handle, b"nothing", f.O_RDONLY))
        first, second, third, fourth = batch.collect()
        assert (first, second, third) == (b"hello", b"ring", (3, b"ba"))
        assert isinstance(fourth, OSError)
        for _ in range(1000):  # more than there are places
            batch.pread(fd, 1, 0)
        assert batch.collect() == [b"h"] * 1000
        for _ in range(40):
            batch.pread(fd, 100_000, 0)  # more than the arena holds at once
        assert batch.collect() == [b"hello, ring"] * 40


def test_a_batch_that_is_dropped_leaves_nothing_behind(served):
    with client.open("bench:never") as never, client.open("bench:hello") as fd:
        for _ in range(3):
            with client.Batch() as batch:
                for _ in range(100):
                    batch.read(never, 1)
                batch.submit()
        assert fd.read(5) == b"hello"
        with client.open("bench:box") as box:
            assert "cancelled 300" in said_by_the_box(box)


def test_an_interrupted_call_is_cancelled_and_its_answer_collected(served):
    def on_alarm(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        with client.open("bench:never") as fd, client.open("bench:box") as box:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyboardInterrupt):
                fd.read(1)
            assert "cancelled 1" in said_by_the_box(box)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_deadline_ends_a_call(served):
    with client.open("bench:never") as fd, client.open("bench:hello") as other:
        began = time.monotonic()
        with client.deadline(0.1), pytest.raises(TimeoutError):
            fd.read(1)
        assert 0.1 <= time.monotonic() - began < 5
        with client.deadline(5):
            assert other.read(5) == b"hello"


def test_threads_share_a_connection_and_a_blocked_one_blocks_nobody(served):
    with client.open("bench:mail", f.O_RDWR) as mail, client.open("bench:hello") as fd:
        got = []
        readers = [threading.Thread(target=lambda: got.append(mail.read(9))) for _ in range(4)]
        for reader in readers:
            reader.start()
        for _ in range(200):
            fd.lseek(0)
            assert fd.read(5) == b"hello"
        for number in range(4):
            mail.write(b"%d" % number)
        for reader in readers:
            reader.join(20)
        assert sorted(got) == [b"0", b"1", b"2", b"3"]


def test_an_event_queue_tells_what_is_true_at_once_and_what_becomes_so_later(served):
    with client.open("bench:mail", f.O_RDWR | f.O_NONBLOCK) as mail, client.EventQueue() as queue:
        assert refused(errno.EAGAIN, mail.read, 1)
        queue.subscribe(mail, f.EVENT_READ, "mail")
        assert queue.next_event(0) is None
        mail.write(b"one")
        mail.write(b"two")
        assert queue.next_event(5) == (mail, f.EVENT_READ, "mail")
        assert queue.next_event(0.05) is None  # two edges that nobody had fetched are one event
        assert (mail.read(9), mail.read(9)) == (b"one", b"two")
        writer = threading.Timer(0.1, mail.write, [b"three"])
        writer.start()
        assert next(iter(queue)).user_data == "mail"
        writer.join()
        queue.subscribe(mail, f.EVENT_READ | f.EVENT_WRITE, "again")
        event = queue.next_event(5)
        assert event is not None
        assert (event.flags, event.user_data) == (f.EVENT_READ | f.EVENT_WRITE, "again")
        queue.unsubscribe(mail)
        mail.write(b"four")
        assert queue.next_event(0.05) is None
        assert refused(errno.ENOENT, queue.unsubscribe, mail)


def test_an_event_queue_takes_linux_descriptors_that_a_scheme_handed_out(served):
    there, ours = os.pipe()
    with client.open("bench:box") as box, client.EventQueue() as queue:
        box.sendfd([there])
        os.close(there)
        with client.Fd(LinuxFile(box.recvfd()[0])) as fd:
            queue.subscribe(fd, f.EVENT_READ, 7)
            assert queue.next_event(0) is None
            os.write(ours, b"x")
            assert queue.next_event(5) == (fd, f.EVENT_READ, 7)
    os.close(ours)


def test_after_a_daemons_death_old_handles_fail_and_new_ones_work(served):
    with client.open("bench:hello") as fd, client.EventQueue() as queue:
        queue.subscribe(fd, f.EVENT_READ, "gone")
        served.kill()
        served.start()
        event = queue.next_event(10)
        assert event is not None
        assert event.user_data == "gone"  # told to look again
        assert refused(errno.EIO, fd.read, 1)
        with client.open("bench:hello") as new:
            assert new.read(5) == b"hello"
        assert refused(errno.EIO, fd.fstat)


def test_a_call_in_hand_when_the_daemon_dies_fails(served):
    with client.open("bench:bug", f.O_RDWR) as fd:
        assert refused(errno.EIO, fd.write, b"x")
    served.child.wait(10)
    served.start()
    with client.open("bench:hello") as fd:
        assert fd.read(5) == b"hello"


def test_a_forked_child_has_none_of_its_parents_handles(served):
    with client.open("bench:hello") as fd:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                fd.read(1)
            except OSError as err:
                with client.open("bench:hello") as own:
                    status = 0 if err.errno == errno.EIO and own.read(5) == b"hello" else 2
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert fd.read(5) == b"hello"


def test_a_dropped_descriptor_is_closed_at_the_scheme(served):
    fd = client.open("bench:mail")
    del fd
    gc.collect()
    with client.open("bench:box") as box:
        assert "mail" in said_by_the_box(box)
