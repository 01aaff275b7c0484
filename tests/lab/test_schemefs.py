"""The FUSE door, seen by ordinary programs."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from schemefs_rig import Rig

from schemefs.journal import Geometry

pytestmark = pytest.mark.timeout(60)


@contextmanager
def rigged(point, kind, *arguments, geometry=None):
    rig = Rig(point, kind, *arguments, geometry=geometry)
    try:
        rig.start()
        yield rig
    finally:
        rig.close()


@pytest.fixture
def store(tmp_path):
    folder, point = tmp_path / "back", tmp_path / "mnt"
    folder.mkdir()
    point.mkdir()
    (folder / "a").write_bytes(bytes(range(256)) * 64)
    (folder / "b").write_bytes(b"")
    with rigged(point, "store", str(folder)) as rig:
        rig.back = folder
        yield rig


@pytest.fixture
def channel(tmp_path):
    point = tmp_path / "mnt"
    point.mkdir()
    with rigged(point, "channel") as rig:
        yield rig


def shell(command, *args):
    return subprocess.run(
        ["timeout", "20", "sh", "-c", command, "sh", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_directory_is_listed_with_sizes_and_modes(store):
    listing = shell("ls -l --time-style=+ $1", store.point).stdout.split("\n")
    assert listing[1].split() == ["-rw-------", "1", "root", "root", "16384", "a"]
    assert listing[2].split()[-1] == "b"


def test_reads_at_any_offset_match_the_file(store):
    data = (store.back / "a").read_bytes()
    with open(store.point / "a", "rb", buffering=0) as file:
        for offset, size in [(0, 1), (5, 4096), (16383, 10), (16384, 1), (99999, 5), (0, 1 << 20)]:
            assert os.pread(file.fileno(), size, offset) == data[offset : offset + size]


def test_writes_of_all_sizes_reach_the_scheme_unchanged(store):
    with open(store.point / "b", "r+b", buffering=0) as file:
        position = 0
        for size in (1, 39, 40, 41, 4095, 16384, 16385, 1 << 20, (1 << 20) + 1, 3 << 20):
            data = os.urandom(size)
            done = 0
            while done < size:
                done += os.pwrite(file.fileno(), data[done:], position + done)
            with open(store.back / "b", "rb") as back:
                back.seek(position)
                assert back.read(size) == data
            position += size


def test_sync_truncate_stat_and_seek_work(store):
    path = store.point / "a"
    with open(path, "r+b") as file:
        os.fsync(file.fileno())
        os.ftruncate(file.fileno(), 100)
        assert os.fstat(file.fileno()).st_size == 100
        assert os.lseek(file.fileno(), 0, os.SEEK_END) == 100
        assert os.lseek(file.fileno(), 10, os.SEEK_DATA) == 10
        assert os.lseek(file.fileno(), 10, os.SEEK_HOLE) == 100
        with pytest.raises(OSError, match="No such device or address"):
            os.lseek(file.fileno(), 100, os.SEEK_DATA)
    os.truncate(path, 50)
    assert (store.back / "a").stat().st_size == 50
    found = os.statvfs(store.point)
    assert (found.f_frsize, found.f_blocks, found.f_bfree, found.f_bavail) == (512, 100, 50, 40)


def test_statx_through_coreutils_and_punching_a_hole(store):
    assert shell("stat -c '%s %a %F' $1", store.point / "a").stdout == "16384 600 regular file\n"
    assert shell("fallocate -p -o 10 -l 20 $1", store.point / "a").returncode == 0
    data = (store.back / "a").read_bytes()
    assert data[9:31] == bytes([9]) + bytes(20) + bytes([30])


def test_ioctls_carry_their_data_both_ways_and_unknown_ones_are_not_typewriters(store):
    with open(store.point / "a", "rb") as file:
        both_ways = 3 << 30 | 8 << 16 | 0xAB << 8 | 7
        assert fcntl.ioctl(file, both_ways, b"12345678") == b"87654321"
        with pytest.raises(OSError, match="Inappropriate ioctl") as caught:
            fcntl.ioctl(file, both_ways + 1, b"12345678")
        assert caught.value.errno == errno.ENOTTY


def test_missing_names_and_unsupported_calls_give_the_right_errors(store):
    with pytest.raises(FileNotFoundError):
        os.stat(store.point / "none")
    with pytest.raises(NotADirectoryError):
        os.open(store.point / "a", os.O_DIRECTORY)
    with pytest.raises(FileNotFoundError):
        os.mkdir(store.point / "d")  # what a scheme says that makes nothing
    with pytest.raises(OSError, match="not supported") as caught:
        os.setxattr(store.point / "a", "user.x", b"y")
    assert caught.value.errno == errno.EOPNOTSUPP
    with pytest.raises(OSError, match="not supported"):
        os.listxattr(store.point / "a")


def test_a_file_can_be_the_root_of_a_scheme(tmp_path):
    point = tmp_path / "zero"
    point.touch()
    with rigged(point, "zero"):
        assert shell("head -c 70000 $1 | wc -c", point).stdout == "70000\n"
        assert shell("echo hello > $1", point).returncode == 0
        assert shell("stat -c %F $1", point).stdout == "regular empty file\n"


def test_a_read_waits_until_somebody_writes(channel):
    got = []
    with open(channel.point / "c", "r+b", buffering=0) as ours:
        reader = threading.Thread(target=lambda: got.append(os.read(ours.fileno(), 100)))
        reader.start()
        with open(channel.point / "c", "wb", buffering=0) as theirs:
            theirs.write(b"hello")
            reader.join(10)
    assert got == [b"hello"]


def test_the_same_handle_can_be_written_while_a_read_on_it_waits(channel):
    got = []
    with open(channel.point / "c", "r+b", buffering=0) as ours:
        reader = threading.Thread(target=lambda: got.append(os.read(ours.fileno(), 100)))
        reader.start()
        os.write(ours.fileno(), b"to myself")
        reader.join(10)
    assert got == [b"to myself"]


def test_nonblocking_reads_say_try_again(channel):
    fd = os.open(channel.point / "c", os.O_RDWR | os.O_NONBLOCK)
    try:
        with pytest.raises(BlockingIOError):
            os.read(fd, 1)
    finally:
        os.close(fd)


def test_poll_and_epoll_wake_when_data_comes(channel):
    fd = os.open(channel.point / "c", os.O_RDWR | os.O_NONBLOCK)
    poller = select.epoll()
    try:
        poller.register(fd, select.EPOLLIN)
        assert poller.poll(0) == []
        with open(channel.point / "c", "wb", buffering=0) as theirs:
            theirs.write(b"x")
        assert poller.poll(10) == [(fd, select.EPOLLIN)]
        assert os.read(fd, 10) == b"x"
        assert poller.poll(0) == []
        ready = select.poll()
        ready.register(fd, select.POLLOUT)
        assert ready.poll(0) == [(fd, select.POLLOUT)]
    finally:
        poller.close()
        os.close(fd)


@pytest.mark.parametrize("name", ["parked", "later"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_process_blocked_in_read_can_be_interrupted_and_killed(channel, name, number):
    # A shell's background job ignores SIGINT, and so would what it starts.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
        "open(sys.argv[1], 'rb', 0).read(1)"
    )
    child = subprocess.Popen([sys.executable, "-c", program, channel.point / name])
    try:
        wait_until(lambda: wchan(child.pid).startswith(("request_wait", "fuse", "__fuse")), child)
        child.send_signal(number)
        assert child.wait(10) == -number
    finally:
        child.kill()
        child.wait()


def wchan(pid):
    return Path(f"/proc/{pid}/wchan").read_text()


def wait_until(condition, child=None, within=10.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        assert child is None or child.poll() is None
        time.sleep(0.002)


def test_a_thousand_readers_wait_and_all_are_served(channel):
    count = 1000
    got = []
    lock = threading.Lock()

    def read(fd):
        data = os.read(fd, 16)
        with lock:
            got.append(data)

    threading.stack_size(256 << 10)
    try:
        with open(channel.point / "many", "r+b", buffering=0) as file:
            readers = [threading.Thread(target=read, args=(file.fileno(),)) for _ in range(count)]
            for reader in readers:
                reader.start()
            for index in range(count):
                os.write(file.fileno(), b"%d" % index)
            for reader in readers:
                reader.join(30)
    finally:
        threading.stack_size(0)
    assert sorted(int(data) for data in got) == list(range(count))


def test_when_every_slot_is_taken_readers_are_refused_and_interrupts_still_work(tmp_path):
    point = tmp_path / "mnt"
    point.mkdir()
    small = Geometry(requests=8, medium=2, big=2, nodes=8, handles=16)
    with rigged(point, "channel", geometry=small), open(point / "c", "r+b", buffering=0) as file:
        children = [
            subprocess.Popen(
                [sys.executable, "-c", "import os, sys; os.read(int(sys.argv[1]), 1)",
                 str(file.fileno())],
                pass_fds=(file.fileno(),),
                stderr=subprocess.PIPE,
            )
            for _ in range(10)
        ]  # fmt: skip
        try:
            wait_until(
                lambda: sum(c.poll() is not None for c in children) == 4
            )  # one slot is always being filled, one kept
            alive = [child for child in children if child.poll() is None]
            refused = [child for child in children if child.poll() is not None]
            assert all(b"No buffer space" in child.stderr.read() for child in refused)
            assert alive
            for child in alive:
                child.kill()
                assert child.wait(10) == -signal.SIGKILL
        finally:
            for child in children:
                child.kill()
                child.wait()
                child.stderr.close()


def test_a_bug_in_a_scheme_is_an_error_for_its_client_and_the_end_of_the_daemon(channel):
    with open(channel.point / "bug", "wb", buffering=0) as file:
        with pytest.raises(OSError, match="Input/output error") as caught:
            file.write(b"x")
        assert caught.value.errno == errno.EIO
        assert channel.server.wait(10) == 1
        assert b"ZeroDivisionError" in channel.server.stderr.read()
        channel.start()
        with pytest.raises(OSError, match="Input/output error"):
            file.write(b"x")  # the handle died with its daemon: channels are not opened again
    with open(channel.point / "fine", "wb", buffering=0) as file:
        assert file.write(b"x") == 1


def test_the_server_ends_when_its_mount_is_taken_away(store):
    assert shell("cat $1 > /dev/null && umount $2", store.point / "a", store.point).returncode == 0
    assert store.server.wait(10) == 0


def test_nonblocking_can_be_switched_on_and_off_after_the_open(channel):
    fd = os.open(channel.point / "c", os.O_RDWR)
    try:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        with pytest.raises(BlockingIOError):
            os.read(fd, 1)
        os.write(fd, b"x")
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
        assert os.read(fd, 1) == b"x"
    finally:
        os.close(fd)
