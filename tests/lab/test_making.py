"""Names that are made, moved and removed through the FUSE door, also while daemons die."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys

import pytest
from background import in_thread
from schemefs_rig import Rig

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def rig(tmp_path):
    folder, point = tmp_path / "back", tmp_path / "mnt"
    folder.mkdir()
    point.mkdir()
    made = Rig(point, "folder", str(folder))
    made.back = folder
    made.start()
    yield made
    made.close()


def error_of(call):
    try:
        call()
    except OSError as err:
        return err.errno
    return 0


def test_files_directories_and_links_are_made_with_the_callers_umask(rig):
    old = os.umask(0o027)
    try:
        with open(rig.point / "file", "x") as file:
            file.write("content")
        os.mkdir(rig.point / "dir")
        os.mknod(rig.point / "node", 0o666 | stat.S_IFREG)
    finally:
        os.umask(old)
    os.symlink("../anywhere/at all", rig.point / "dir" / "link")
    os.link(rig.point / "file", rig.point / "dir" / "second")
    back = rig.back
    assert (back / "file").read_text() == "content"
    modes = [stat.S_IMODE((back / name).stat().st_mode) for name in ("file", "dir", "node")]
    assert modes == [0o640, 0o750, 0o640]
    assert os.readlink(rig.point / "dir" / "link") == "../anywhere/at all"
    assert os.readlink(back / "dir" / "link") == "../anywhere/at all"
    assert (back / "dir" / "second").samefile(back / "file")
    assert os.stat(rig.point / "dir" / "second").st_nlink == 2
    os.unlink(rig.point / "dir" / "link")
    os.unlink(rig.point / "dir" / "second")
    os.rmdir(rig.point / "dir")
    assert sorted(os.listdir(back)) == ["file", "node"]


def test_what_linux_would_refuse_is_refused_with_its_errors(rig):
    (rig.point / "file").touch()
    (rig.point / "dir").mkdir()
    (rig.point / "dir" / "inner").touch()
    point = str(rig.point)
    assert error_of(lambda: os.mkdir(f"{point}/dir")) == errno.EEXIST
    assert error_of(lambda: os.rmdir(f"{point}/dir")) == errno.ENOTEMPTY
    assert error_of(lambda: os.rmdir(f"{point}/file")) == errno.ENOTDIR
    assert error_of(lambda: os.unlink(f"{point}/dir")) == errno.EISDIR
    assert error_of(lambda: os.mkfifo(f"{point}/fifo")) == errno.EPERM
    assert error_of(lambda: os.open(f"{point}/file", os.O_CREAT | os.O_EXCL)) == errno.EEXIST
    assert error_of(lambda: os.mkdir(f"{point}/" + "x" * 256)) == errno.ENAMETOOLONG
    assert error_of(lambda: os.rename(f"{point}/file", "/tmp/elsewhere")) == errno.EXDEV
    assert error_of(lambda: os.stat(f"{point}/foreign")) == errno.EXDEV
    assert error_of(lambda: os.mkdir(f"{point}/foreign")) == errno.EXDEV
    with socket.socket(socket.AF_UNIX) as server:
        assert error_of(lambda: server.bind(f"{point}/s")) == errno.EPERM


def test_names_need_not_be_utf8_and_may_be_as_long_as_linux_has_them(rig):
    for name in (b"caf\xe9 \xff", b"n" * 255, "Grüße\n".encode()):
        path = os.path.join(os.fsencode(rig.point), name)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        assert name in os.listdir(os.fsencode(rig.back))
        os.rename(path, path[:-1] + b"!")
        assert os.stat(path[:-1] + b"!").st_size == 0
        os.unlink(path[:-1] + b"!")
    assert os.listdir(rig.back) == []


def test_paths_longer_than_linux_takes_are_refused(rig):
    step = "d" * 250
    at = os.open(rig.point, os.O_RDONLY)
    depth, failed = 0, 0
    while not failed and depth < 40:
        failed = error_of(lambda: os.mkdir(step, dir_fd=at))  # noqa: B023
        if not failed:
            at, old = os.open(step, os.O_RDONLY, dir_fd=at), at
            os.close(old)
            depth += 1
    os.close(at)
    assert (failed, depth) == (errno.ENAMETOOLONG, 16)


def test_open_files_follow_their_names_and_outlive_them(rig):
    (rig.point / "dir").mkdir()
    with open(rig.point / "dir" / "a", "w+b", buffering=0) as file:
        file.write(b"one")
        os.rename(rig.point / "dir", rig.point / "moved")
        assert os.fstat(file.fileno()).st_size == 3
        os.rename(rig.point / "moved" / "a", rig.point / "b")
        assert (rig.point / "b").read_bytes() == b"one"
        os.unlink(rig.point / "b")
        assert os.fstat(file.fileno()).st_nlink == 0
        (rig.point / "b").write_bytes(b"another file")
        assert file.write(b" two") == 4
        assert os.pread(file.fileno(), 100, 0) == b"one two"
        os.ftruncate(file.fileno(), 2)
        os.fchmod(file.fileno(), 0o600)
        assert os.fstat(file.fileno()).st_size == 2
        assert os.stat(rig.point / "b").st_size == 12
        assert os.stat(rig.point / "b").st_ino != os.fstat(file.fileno()).st_ino


def test_a_file_that_is_renamed_over_lives_on_for_those_who_have_it_open(rig):
    (rig.point / "new").write_bytes(b"new")
    (rig.point / "old").write_bytes(b"old!")
    with open(rig.point / "old", "rb", buffering=0) as file:
        os.rename(rig.point / "new", rig.point / "old")
        assert os.fstat(file.fileno()).st_size == 4
        assert file.read() == b"old!"
    assert (rig.point / "old").read_bytes() == b"new"
    assert not (rig.point / "new").exists()


def renameat2(old, new, flags):
    """Call renameat2(2), which Python has no name for; return errno."""
    program = (
        "import ctypes, os, sys; libc = ctypes.CDLL(None, use_errno=True); "
        "old, new = map(os.fsencode, sys.argv[1:3]); "
        "libc.renameat2(-100, old, -100, new, int(sys.argv[3])); "
        "sys.exit(ctypes.get_errno())"
    )
    argv = [sys.executable, "-c", program, old, new, str(flags)]
    return subprocess.run(argv, check=False, timeout=20).returncode


def test_rename_without_replacing_and_exchange(rig):
    (rig.point / "a").write_bytes(b"a")
    (rig.point / "b").write_bytes(b"b")
    assert renameat2(rig.point / "a", rig.point / "b", 1) == errno.EEXIST
    assert renameat2(rig.point / "a", rig.point / "c", 1) == 0
    assert renameat2(rig.point / "b", rig.point / "c", 2) == errno.EINVAL
    assert sorted(os.listdir(rig.back)) == ["b", "c"]


def appending(path):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, b"one")
        os.lseek(fd, 0, os.SEEK_SET)
        return os.write(fd, b"two")
    finally:
        os.close(fd)


def test_appends_go_to_the_end_and_truncating_opens_empty(rig):
    (rig.point / "a").write_bytes(b"before")
    assert appending(rig.point / "a") == 3
    assert (rig.back / "a").read_bytes() == b"onetwo"


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_was_being_made_when_the_daemon_died_is_made_once(rig, when):
    name = rig.point / f"die-{when}"
    outcome = in_thread(lambda: appending(name))
    assert rig.server.wait(20) < 0
    rig.start()
    assert outcome() == 3
    assert (rig.back / name.name).read_bytes() == b"onetwo"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_directory_is_not_claimed_by_who_may_not_have_made_it(rig, when):
    name = rig.point / f"die-{when}"
    outcome = in_thread(lambda: os.mkdir(name))
    assert rig.server.wait(20) < 0
    rig.start()
    result = outcome()
    assert (result if when == "before" else result.errno) == (
        None if when == "before" else errno.EIO
    )
    assert (rig.back / name.name).is_dir()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["unlink", "rename", "link"])
def test_names_move_and_go_once_though_the_daemon_died(rig, when, call):
    name = rig.point / f"die-{when}"
    plain = rig.back / name.name if call == "unlink" else rig.back / "plain"
    plain.write_bytes(b"kept")
    opened = rig.point / plain.name
    with open(rig.point / "other", "wb") as other:
        held = os.open(opened, os.O_RDONLY) if call == "rename" else os.dup(other.fileno())
        calls = {
            "unlink": lambda: os.unlink(name),
            "rename": lambda: os.rename(rig.point / "plain", name),
            "link": lambda: os.link(rig.point / "plain", name),
        }
        outcome = in_thread(calls[call])
        assert rig.server.wait(20) < 0
        rig.start()
        try:
            assert outcome() is None
            if call == "rename":
                assert os.pread(held, 10, 0) == b"kept"
        finally:
            os.close(held)
    expected = {
        "unlink": ["other"], "rename": [name.name, "other"], "link": [name.name, "other", "plain"],
    }  # fmt: skip
    assert sorted(os.listdir(rig.back)) == sorted(expected[call])
