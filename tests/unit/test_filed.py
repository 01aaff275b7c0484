from __future__ import annotations

import gc
import mmap
import os
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemons.filed.callers import Callers
from daemons.filed.facts import describe
from daemons.filed.root import open_root
from daemons.filed.scheme import FileScheme
from redbear_host import linux
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR, MODE_FILE, MODE_SYMLINK, TimeSpec
from redbear_host.errors import ConfigError, Refused
from redbear_host.sandbox.numbers import number_of, running_architecture
from redbear_host.scheme.request import Caller, Request, Unheard
from redbear_host.scheme.scheme import CACHED, POSITIONED, ROOT

ME = Caller(os.getpid(), os.geteuid(), os.getegid())
LOOK = f.O_STAT | f.O_RDONLY
_RENAME_EXCHANGE = 2  # linux/fs.h
MAKE = f.O_CREAT | f.O_EXCL


class Call(Request):
    """A client's call; `replayed` as a successor finds one in the journal."""

    def __init__(self, replayed: bool = False) -> None:
        super().__init__()
        self.caller = ME
        self.replayed = replayed

    def answer(self, result: Any, /) -> None:
        raise AssertionError("filed answers at once")

    def refuse(self, errno: int, /) -> None:
        raise AssertionError("filed answers at once")


class Served:
    """The scheme over a directory, with the calls tests make most."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        self.callers = Callers.open()
        self.scheme = FileScheme(self.root, self.callers)

    def close(self) -> None:
        self.scheme.close()
        self.callers.close()
        os.close(self.root)

    def open(self, path: str, flags: int, parent: int = ROOT, replayed: bool = False) -> int:
        return self.scheme.openat(parent, path, flags, 0, Call(replayed)).handle

    def read(self, handle: int, size: int = 4096, offset: int = 0) -> bytes:
        return bytes(self.scheme.read(handle, size, offset, 0, Call()))

    def write(self, handle: int, data: bytes, offset: int = 0, flags: int = 0) -> int:
        return self.scheme.write(handle, memoryview(data), offset, flags, Call())

    def symlink(self, path: str, target: str) -> int:
        handle = self.open(path, MAKE | f.O_SYMLINK | f.O_WRONLY | 0o777)
        self.write(handle, os.fsencode(target))
        return handle


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    folder = tmp_path / "served"
    folder.mkdir()
    (tmp_path / "secret").write_text("outside")
    gc.collect()  # what other tests left is let go before we count
    descriptors = len(os.listdir("/proc/self/fd"))
    it = Served(folder)
    yield it
    it.close()
    assert len(os.listdir("/proc/self/fd")) == descriptors  # whatever was refused, none is left


def refusal(call: Any, *arguments: Any) -> int:
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value.errno


# -- opening ---------------------------------------------------------------------------------------


def test_a_file_is_made_written_and_read(served: Served) -> None:
    handle = served.open("new", MAKE | f.O_RDWR | 0o640)
    assert served.write(handle, b"hello world") == 11
    assert served.write(handle, b"W", 6) == 1
    assert served.read(handle, 5, 6) == b"World"
    assert served.read(handle, 5, 11) == b""
    found = os.stat(served.folder / "new")
    assert stat.S_IMODE(found.st_mode) & ~0o640 == 0
    assert found.st_uid == ME.uid
    assert served.scheme.fsize(handle) == 11


def test_what_is_there_is_not_made_again(served: Served) -> None:
    (served.folder / "old").write_text("content")
    assert refusal(served.open, "old", MAKE | f.O_RDWR | 0o600) == e.EEXIST
    assert served.read(served.open("old", f.O_CREAT | f.O_RDWR | 0o600)) == b"content"
    assert served.read(served.open("old", f.O_TRUNC | f.O_RDWR)) == b""


@pytest.mark.parametrize(
    ("path", "flags", "errno"),
    [
        ("none", f.O_RDONLY, e.ENOENT),
        ("none", LOOK, e.ENOENT),
        ("none/below", f.O_CREAT | f.O_RDWR, e.ENOENT),
        ("file/below", f.O_RDONLY, e.ENOTDIR),
        ("file", f.O_RDONLY | f.O_DIRECTORY, e.ENOTDIR),
        ("folder", f.O_RDONLY, e.EISDIR),
        ("folder", f.O_RDWR | f.O_DIRECTORY, e.EISDIR),
        ("folder", MAKE | f.O_RDWR | f.O_DIRECTORY | 0o700, e.EEXIST),
        ("", MAKE | f.O_RDWR | f.O_DIRECTORY | 0o700, e.EBUSY),
        ("link", f.O_RDONLY, e.ELOOP),
        ("link/below", f.O_RDONLY, e.ELOOP),
        ("link", MAKE | f.O_SYMLINK | f.O_WRONLY, e.EEXIST),
        ("file", f.O_RDONLY | f.O_SYMLINK, e.EINVAL),
        ("fifo", f.O_RDONLY, e.ENXIO),
        ("fifo", f.O_WRONLY, e.ENXIO),
        ("socket", f.O_RDWR, e.ENXIO),
        ("a\0b", LOOK, e.EINVAL),
        ("\ud800", LOOK, e.EINVAL),
        ("x" * 256, LOOK, e.ENAMETOOLONG),
        ("x/" * 2500, LOOK, e.ENAMETOOLONG),
    ],
)
def test_an_open_that_cannot_be_is_refused_as_linux_does(
    served: Served, path: str, flags: int, errno: int
) -> None:
    (served.folder / "file").touch()
    (served.folder / "folder").mkdir()
    (served.folder / "link").symlink_to("folder")
    os.mkfifo(served.folder / "fifo")
    with socket.socket(socket.AF_UNIX) as made:
        folder = os.open(served.folder, os.O_PATH)
        made.bind(f"/proc/self/fd/{folder}/socket")
        os.close(folder)
        assert refusal(served.open, path, flags) == errno


def test_looking_has_no_effect_and_shows_a_link_itself(served: Served) -> None:
    os.mkfifo(served.folder / "fifo")
    (served.folder / "link").symlink_to("nowhere")
    assert served.scheme.fstat(served.open("fifo", LOOK)).st_mode & 0xF000 == 0x1000
    link = served.open("link", LOOK | f.O_CREAT | f.O_TRUNC | 0o777)
    assert served.scheme.fstat(link).st_mode & 0xF000 == MODE_SYMLINK
    assert served.scheme.fstat(link).st_size == len("nowhere")
    assert not (served.folder / "nowhere").exists()
    assert refusal(served.write, served.open("fifo", LOOK), b"x") in (e.EINVAL, e.EBADF)


def test_only_a_file_with_one_name_may_be_kept_in_pages(served: Served) -> None:
    (served.folder / "one").touch()
    (served.folder / "two").touch()
    os.link(served.folder / "two", served.folder / "too")
    one = served.scheme.openat(ROOT, "one", f.O_RDWR, 0, Call())
    two = served.scheme.openat(ROOT, "two", f.O_RDWR, 0, Call())
    root = served.scheme.openat(ROOT, "", f.O_RDONLY | f.O_DIRECTORY, 0, Call())
    assert one.flags == POSITIONED | CACHED
    assert two.flags == POSITIONED
    assert root == (root.handle, POSITIONED, -1)
    assert os.fstat(one.backing).st_ino == os.stat(served.folder / "one").st_ino


def test_a_directory_is_made_and_listed(served: Served) -> None:
    folder = served.open("sub", MAKE | f.O_DIRECTORY | f.O_RDONLY | 0o755)
    inner = served.open("inner", MAKE | f.O_RDWR | 0o600, folder)
    served.symlink("sub/link", "inner")
    (served.folder / "sub" / "odd").mkdir()
    os.mkfifo(served.folder / "sub" / "fifo")
    found = {one.name: one.kind for one in served.scheme.getdents(folder, Call())}
    assert found == {
        "inner": f.DT_REG,
        "link": f.DT_LNK,
        "odd": f.DT_DIR,
        "fifo": f.DT_UNKNOWN,
    }
    again = {one.name: one.inode for one in served.scheme.getdents(folder, Call())}
    assert again["inner"] == served.scheme.fstat(inner).st_ino
    assert refusal(served.scheme.getdents, inner, Call()) == e.ENOTDIR


def test_names_are_bytes_and_none_is_lost(served: Served) -> None:
    raw = b"caf\xe9 \xff"
    fd = os.open(os.fsencode(served.folder) + b"/" + raw, os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(fd, b"latin")
    os.close(fd)
    root = served.open("", f.O_RDONLY | f.O_DIRECTORY)
    (entry,) = served.scheme.getdents(root, Call())
    assert entry.name.encode("utf-8", "surrogateescape") == raw
    assert served.read(served.open(entry.name, f.O_RDONLY)) == b"latin"


def test_a_directory_that_may_not_be_read_is_still_made(served: Served) -> None:
    handle = served.open("shut", MAKE | f.O_DIRECTORY | f.O_RDONLY | 0o0)
    assert served.scheme.fstat(handle).st_mode == MODE_DIR


def test_links_are_made_read_and_never_followed(served: Served) -> None:
    link = served.symlink("link", "../secret")
    assert os.readlink(served.folder / "link") == "../secret"
    assert served.read(link) == b"../secret"
    again = served.open("link", f.O_RDONLY | f.O_SYMLINK | f.O_NOFOLLOW)
    assert served.read(again, 3, 2) == b"/se"
    assert refusal(served.open, "link", f.O_RDONLY) == e.ELOOP
    assert served.write(again, b"../secret") == 9  # as a successor does
    assert refusal(served.write, again, b"/etc/passwd") == e.EINVAL
    assert refusal(served.symlink, "nul", "a\0b") == e.EINVAL


# -- confinement -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "sub/../../secret",
        "sub/../../../../../../etc/passwd",
        "up/secret",
        "sub/up/secret",
        "etc/passwd",
        "passwd",
        "proc/self/root/etc/passwd",
        "self/etc/passwd",
        "escape",
    ],
)
@pytest.mark.parametrize("flags", [f.O_RDONLY, f.O_RDWR | f.O_CREAT | 0o600, LOOK])
def test_no_path_leads_out(served: Served, path: str, flags: int) -> None:
    folder = served.folder
    (folder / "sub").mkdir()
    (folder / "up").symlink_to("..")
    (folder / "sub" / "up").symlink_to(folder.parent)
    (folder / "etc").symlink_to("/etc")
    (folder / "passwd").symlink_to("/etc/passwd")
    (folder / "proc").symlink_to("/proc")
    (folder / "self").symlink_to("/proc/self/root")
    (folder / "escape").symlink_to("../secret")
    if flags == LOOK and "/" not in path:
        handle = served.open(path, flags)
        assert served.scheme.fstat(handle).st_mode & 0xF000 == MODE_SYMLINK
    else:
        assert refusal(served.open, path, flags) in (e.EXDEV, e.ELOOP)
    assert (folder.parent / "secret").read_text() == "outside"
    assert sorted(os.listdir(folder.parent)) == ["secret", "served"]


def test_nothing_is_made_moved_or_removed_outside(served: Served) -> None:
    (served.folder / "file").touch()
    (served.folder / "up").symlink_to("..")
    file = served.open("file", f.O_RDWR)
    out = (e.EXDEV, e.ELOOP)
    for name in ("../new", "up/new"):
        assert refusal(served.open, name, MAKE | f.O_DIRECTORY | f.O_RDONLY | 0o700) in out
        assert refusal(served.symlink, name, "x") in out
        assert refusal(served.scheme.frename, file, name, Call()) in out
        assert refusal(served.scheme.flink, file, name, Call()) in out
    for name in ("../secret", "up/secret"):
        assert refusal(served.scheme.unlinkat, ROOT, name, 0, Call()) in out
    assert sorted(os.listdir(served.folder.parent)) == ["secret", "served"]
    for name, flags in (("..", f.AT_REMOVEDIR), (".", f.AT_REMOVEDIR), ("", f.AT_REMOVEDIR)):
        assert refusal(served.scheme.unlinkat, ROOT, name, flags, Call()) in (
            *(e.EBUSY, e.EINVAL, e.ENOTEMPTY),
        )


def test_a_directory_moved_out_of_the_root_leads_nowhere(served: Served) -> None:
    (served.folder / "sub").mkdir()
    (served.folder / "sub" / "file").write_text("inside")
    sub = served.open("sub", f.O_RDONLY | f.O_DIRECTORY)
    assert served.read(served.open("file", f.O_RDONLY, sub)) == b"inside"
    (served.folder / "sub").rename(served.folder.parent / "moved")
    (served.folder.parent / "moved" / "file").write_text("outside now")
    assert refusal(served.open, "file", f.O_RDONLY, sub) == e.ESTALE
    assert refusal(served.open, "../secret", f.O_RDONLY, sub) == e.ESTALE
    (served.folder / "sub").mkdir()  # another of that name is not the one that was opened
    assert refusal(served.open, "file", f.O_RDONLY | f.O_CREAT | 0o600, sub) == e.ESTALE
    assert refusal(served.scheme.unlinkat, sub, "file", 0, Call()) == e.ESTALE


def test_what_swaps_a_directory_for_a_link_during_walks_wins_nothing(served: Served) -> None:
    (served.folder.parent / "out").mkdir()
    (served.folder.parent / "out" / "file").write_text("outside")
    (served.folder / "in").mkdir()
    (served.folder / "in" / "file").write_text("inside")
    (served.folder / "link").symlink_to(served.folder.parent / "out")
    names = (-1, bytes(served.folder / "in"), -1, bytes(served.folder / "link"))
    swap = number_of("renameat2", running_architecture())
    pid = os.fork()
    if pid == 0:  # swaps the two names until it is killed
        while True:
            linux.syscall(swap, *names, _RENAME_EXCHANGE)
    try:
        seen: dict[object, int] = {}
        deadline = time.monotonic() + 30
        while sum(seen.values()) < 5000 or (len(seen) < 2 and time.monotonic() < deadline):
            try:
                handle = served.open("in/file", f.O_RDONLY)
            except Refused as refused:
                seen[refused.errno] = seen.get(refused.errno, 0) + 1
                continue
            content = served.read(handle)
            seen[content] = seen.get(content, 0) + 1
            served.scheme.on_close(handle)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert set(seen) == {b"inside", e.ELOOP}


def test_hard_links_are_the_file_itself(served: Served) -> None:
    (served.folder / "file").write_text("one")
    file = served.open("file", f.O_RDWR)
    served.scheme.flink(file, "other", Call())
    served.write(served.open("other", f.O_WRONLY), b"two")
    assert served.read(file) == b"two"
    assert served.scheme.fstat(file).st_nlink == 2


# -- names -----------------------------------------------------------------------------------------


def test_a_renamed_file_keeps_its_handles_and_their_names(served: Served) -> None:
    (served.folder / "old").mkdir()
    (served.folder / "old" / "file").write_text("content")
    (served.folder / "older").touch()
    folder = served.open("old", LOOK)
    file = served.open("old/file", f.O_RDWR)
    neighbour = served.open("older", f.O_RDWR)
    served.scheme.frename(folder, "new", Call())
    assert served.read(file) == b"content"
    assert served.scheme.fpath(file) == "/scheme/file/new/file"
    assert served.scheme.fpath(neighbour) == "/scheme/file/older"
    served.scheme.frename(file, "new/again", Call())
    assert os.listdir(served.folder / "new") == ["again"]


def test_a_removed_file_keeps_working_but_cannot_be_named(served: Served) -> None:
    file = served.open("file", MAKE | f.O_RDWR | 0o600)
    served.scheme.unlinkat(ROOT, "file", 0, Call())
    assert served.write(file, b"still") == 5
    assert served.read(file) == b"still"
    assert served.scheme.fstat(file).st_nlink == 0
    assert refusal(served.scheme.frename, file, "back", Call()) == e.ESTALE
    (served.folder / "file").write_text("another")
    assert refusal(served.scheme.flink, file, "back", Call()) == e.ESTALE


def test_directories_and_files_are_removed_each_in_its_way(served: Served) -> None:
    (served.folder / "folder").mkdir()
    (served.folder / "file").touch()
    remove = served.scheme.unlinkat
    assert refusal(remove, ROOT, "folder", 0, Call()) == e.EISDIR
    assert refusal(remove, ROOT, "file", f.AT_REMOVEDIR, Call()) == e.ENOTDIR
    assert refusal(remove, ROOT, "none", 0, Call()) == e.ENOENT
    (served.folder / "folder" / "inner").touch()
    assert refusal(remove, ROOT, "folder", f.AT_REMOVEDIR, Call()) == e.ENOTEMPTY
    folder = served.open("folder", f.O_RDONLY | f.O_DIRECTORY)
    remove(folder, "inner", 0, Call())
    remove(ROOT, "folder", f.AT_REMOVEDIR, Call())
    remove(ROOT, "file", 0, Call())
    assert os.listdir(served.folder) == []


# -- after a crash ---------------------------------------------------------------------------------


def test_a_successor_takes_a_file_for_made_only_if_it_looks_so(served: Served) -> None:
    flags = MAKE | f.O_RDWR | 0o600
    (served.folder / "made").touch()
    (served.folder / "used").write_text("somebody's")
    (served.folder / "folder").mkdir()
    assert served.write(served.open("made", flags, replayed=True), b"x") == 1
    assert refusal(served.open, "made", flags) == e.EEXIST
    for name in ("used", "folder"):
        with pytest.raises(Refused):
            served.open(name, flags, replayed=True)
    assert served.scheme.fstat(served.open("fresh", flags, replayed=True)).st_size == 0


def test_a_successor_takes_a_directory_for_made_only_if_it_looks_so(served: Served) -> None:
    flags = MAKE | f.O_DIRECTORY | f.O_RDONLY | 0o755
    (served.folder / "made").mkdir()
    (served.folder / "used" / "inner").mkdir(parents=True)
    assert served.scheme.fstat(served.open("made", flags, replayed=True)).st_nlink <= 2
    assert refusal(served.open, "used", flags, ROOT, True) == e.EEXIST
    assert refusal(served.open, "made", flags) == e.EEXIST


@pytest.mark.parametrize("access", [f.O_RDWR, f.O_WRONLY])
@pytest.mark.skipif(ME.uid != 0, reason="who is not root cannot become it; see tests/lab")
def test_a_successor_appends_once(served: Served, access: int) -> None:
    (served.folder / "log").write_text("one\n")
    handle = served.open("log", access)

    def again(data: bytes, offset: int) -> int:
        return served.scheme.write(handle, memoryview(data), offset, f.O_APPEND, Call(True))

    assert again(b"two\n", 4) == 4  # it had not
    assert again(b"two\n", 4) == 4  # it had
    assert (served.folder / "log").read_text() == "one\ntwo\n"
    assert refusal(again, b"six\n", 4) == e.EIO  # something else stands there: nobody knows
    assert (served.folder / "log").read_text() == "one\ntwo\n"


@pytest.mark.skipif(ME.uid != 0, reason="who is not root cannot become it; see tests/lab")
def test_a_handle_outlives_the_permission_it_was_opened_with(served: Served) -> None:
    (served.folder / "file").write_text("content")
    (served.folder / "file").chmod(0o400)
    opened = served.scheme.openat(ROOT, "file", f.O_RDWR, 0, Unheard(ME))
    assert served.scheme.write(opened.handle, memoryview(b"C"), 0, 0, Call()) == 1


# -- bytes and facts -------------------------------------------------------------------------------


def test_appending_is_the_flag_of_each_write(served: Served) -> None:
    file = served.open("file", MAKE | f.O_RDWR | 0o600)
    served.write(file, b"one")
    served.write(file, b"two", 0, f.O_APPEND)
    served.write(file, b"O", 0, f.O_FSYNC)
    assert served.read(file) == b"Onetwo"
    log = served.open("file", f.O_WRONLY | f.O_APPEND)
    twin = served.scheme.dup(log, b"", Call()).handle
    served.write(log, b"3", 0, f.O_APPEND | f.O_FSYNC)
    served.write(twin, b"4", 0, f.O_APPEND)
    served.write(log, b"N", 1)  # fcntl(2) has taken the flag away
    served.write(twin, b"E", 2)
    served.write(log, b"5", 0, f.O_APPEND)
    assert served.read(file) == b"ONEtwo345"


def test_what_a_handle_was_not_opened_for_is_refused(served: Served) -> None:
    (served.folder / "file").write_text("content")
    reader, writer = served.open("file", f.O_RDONLY), served.open("file", f.O_WRONLY)
    folder = served.open("", f.O_RDONLY | f.O_DIRECTORY)
    assert refusal(served.write, reader, b"x") == e.EBADF
    assert refusal(served.read, writer) == e.EBADF
    assert refusal(served.read, folder) == e.EISDIR
    assert refusal(served.read, 9999) == e.EBADF
    assert refusal(served.write, 9999, b"x") == e.EBADF
    assert refusal(served.read, reader, 10, 1 << 64) == e.EINVAL
    assert refusal(served.write, writer, b"x", (1 << 64) - 1) == e.EINVAL
    assert refusal(served.scheme.ftruncate, reader, 1, Call()) == e.EINVAL
    assert refusal(served.scheme.ftruncate, writer, 1 << 63, Call()) == e.EFBIG


def test_a_read_beyond_a_mebibyte_is_short(served: Served) -> None:
    (served.folder / "big").write_bytes(bytes(range(256)) * 8192)
    handle = served.open("big", f.O_RDONLY)
    assert len(served.read(handle, 1 << 22)) == 1 << 20
    assert served.read(handle, 1 << 22, (1 << 21) - 3) == b"\xfd\xfe\xff"


def test_length_and_holes_are_the_hosts(served: Served) -> None:
    file = served.open("file", MAKE | f.O_RDWR | 0o600)
    served.write(file, b"x" * 8192)
    served.scheme.fallocate(file, 3, 0, 4096, Call())  # FALLOC_FL_PUNCH_HOLE | KEEP_SIZE
    assert served.read(file, 8192) == bytes(4096) + b"x" * 4096
    served.scheme.ftruncate(file, 4097, Call())
    assert (served.folder / "file").stat().st_size == 4097
    served.scheme.fallocate(file, 0, 0, 10000, Call())
    assert served.scheme.fsize(file) == 10000
    served.scheme.fsync(file, Call())
    assert refusal(served.scheme.fallocate, file, 0, 1 << 63, 1, Call()) == e.EFBIG


def test_times_and_modes_change_by_a_handle_that_only_looks(served: Served) -> None:
    (served.folder / "file").touch(0o600)
    file = served.open("file", LOOK)
    served.scheme.fchmod(file, 0o4711, Call())
    assert stat.S_IMODE((served.folder / "file").stat().st_mode) == 0o4711
    times = (TimeSpec(tv_sec=-5, tv_nsec=7), TimeSpec(tv_sec=1_000_000_000, tv_nsec=999))
    served.scheme.futimens(file, times, Call())
    found = (served.folder / "file").stat()
    assert found.st_mtime_ns == 1_000_000_000_000_000_999
    assert found.st_atime_ns == -5_000_000_000 + 7
    shown = served.scheme.fstat(file)
    assert (shown.st_mtime, shown.st_mtime_nsec, shown.st_atime) == (1_000_000_000, 999, 0)
    omit = TimeSpec(tv_sec=0, tv_nsec=(1 << 30) - 2)
    served.scheme.futimens(file, (omit, omit), Call())
    assert (served.folder / "file").stat().st_mtime_ns == found.st_mtime_ns
    served.scheme.fchown(file, 0xFFFF_FFFF, 0xFFFF_FFFF, Call())


def test_a_links_own_times_and_owner_are_meant(served: Served) -> None:
    (served.folder / "file").touch()
    before = (served.folder / "file").stat().st_mtime_ns
    link = served.symlink("link", "file")
    served.scheme.futimens(link, (TimeSpec(tv_sec=1), TimeSpec(tv_sec=2)), Call())
    assert (served.folder / "link").lstat().st_mtime == 2
    assert (served.folder / "file").stat().st_mtime_ns == before
    served.scheme.fchown(link, ME.uid, ME.gid, Call())
    assert refusal(served.scheme.fchmod, link, 0o600, Call()) == e.EOPNOTSUPP


def test_the_volume_is_the_hosts(served: Served) -> None:
    found = served.scheme.fstatvfs(served.open("", LOOK))
    host = os.statvfs(served.folder)
    assert (found.f_bsize, found.f_blocks) == (host.f_frsize, host.f_blocks)
    assert 0 < found.f_bavail <= found.f_bfree <= found.f_blocks


def test_facts_round_blocks_up_and_hide_block_devices() -> None:
    made = (0o060644, 5, 6, 1, 7, 8, 100, 1, 2, 3, 1.5, 2.5, 3.5)
    found = os.stat_result(
        made,
        {"st_blksize": 4096, "st_blocks": 1, "st_atime_ns": 0, "st_mtime_ns": 0, "st_ctime_ns": 0},
    )
    shown = describe(found)
    assert shown.st_mode == MODE_CHR | 0o644
    assert shown.st_blocks == 1


def test_dup_opens_the_same_once_more(served: Served) -> None:
    file = served.open("file", MAKE | f.O_RDWR | 0o600)
    twin = served.scheme.dup(file, b"", Call()).handle
    served.write(file, b"same")
    served.scheme.on_close(file)
    assert served.read(twin) == b"same"
    assert refusal(served.scheme.dup, twin, b"name", Call()) == e.EINVAL
    assert served.scheme.fstat(twin).st_mode & 0xF000 == MODE_FILE


def test_mapping_hands_out_the_file_to_whoever_may(served: Served) -> None:
    (served.folder / "file").write_bytes(b"x" * mmap.PAGESIZE * 2)
    both, reader = served.open("file", f.O_RDWR), served.open("file", f.O_RDONLY)
    writer, looker = served.open("file", f.O_WRONLY), served.open("file", LOOK)
    prep = served.scheme.mmap_prep
    shared = f.MAP_SHARED | f.PROT_READ | f.PROT_WRITE
    mapped = prep(both, mmap.PAGESIZE, 100, shared, Call())
    with mmap.mmap(mapped.fd, mmap.PAGESIZE, offset=mapped.offset) as memory:
        memory[:5] = b"hello"
    assert served.read(reader, 5, mmap.PAGESIZE) == b"hello"
    assert prep(reader, 0, 1, f.MAP_PRIVATE | f.PROT_READ | f.PROT_WRITE, Call()).offset == 0
    assert refusal(prep, reader, 0, 1, shared, Call()) == e.EACCES
    assert refusal(prep, writer, 0, 1, shared, Call()) == e.EACCES
    assert refusal(prep, both, 0, 1, shared | f.PROT_EXEC, Call()) == e.EACCES
    assert refusal(prep, both, 1, 1, shared, Call()) == e.EINVAL
    assert refusal(prep, both, 0, 0, shared, Call()) == e.EINVAL
    assert refusal(prep, looker, 0, 1, f.PROT_READ, Call()) == e.ENODEV


def test_a_root_that_is_none_is_said_with_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong in ("", str(tmp_path / "none"), str(tmp_path / "file")):
        with pytest.raises(ConfigError) as caught:
            open_root(wrong)
        assert "--file DIR" in caught.value.hint


def test_a_process_lends_its_groups_to_nobody_elses_calls() -> None:
    """It may have got the number of a caller that has ended, or be a set-user-id program by now."""
    other = subprocess.Popen(
        ["sleep", "60"], user=1000, group=1000, extra_groups=[4242], stdin=subprocess.DEVNULL
    )
    callers = Callers.open()
    try:
        for uid, groups in ((1000, (4242,)), (1001, ()), (1000, (4242,))):
            assert callers._groups_of(Caller(other.pid, uid, 1000)) == groups
    finally:
        callers.close()
        other.kill()
        other.wait()
