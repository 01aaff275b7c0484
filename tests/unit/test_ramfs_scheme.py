"""ramfs's scheme, called directly: permissions, room, names, mappings."""

from __future__ import annotations

import mmap
import os
import time

import pytest

from daemons.ramfs.scheme import RamScheme
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, TimeSpec
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller, Unheard
from redbear_host.scheme.scheme import ROOT

SIZE = 1 << 20
NEW = f.O_CREAT | f.O_RDWR
ADMIN, ALICE, BOB, FRIEND = (
    Unheard(Caller(1, uid, gid)) for uid, gid in [(0, 0), (1000, 1000), (1001, 1001), (1002, 1000)]
)


@pytest.fixture
def scheme():
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    yield RamScheme(SIZE, proc)
    os.close(proc)


def make(scheme, path, mode=0o644, who=ADMIN, data=b""):
    """Make a file and return its handle."""
    handle = scheme.openat(ROOT, path, NEW | f.O_EXCL | mode, 0, who).handle
    if data:
        assert scheme.write(handle, memoryview(data), 0, 0, who) == len(data)
    return handle


def make_directory(scheme, path, mode=0o755, who=ADMIN):
    scheme.on_close(scheme.openat(ROOT, path, f.O_CREAT | f.O_DIRECTORY | mode, 0, who).handle)


def make_link(scheme, path, target, who=ADMIN):
    flags = f.O_CREAT | f.O_SYMLINK | f.O_WRONLY
    handle = scheme.openat(ROOT, path, flags | 0o777, 0, who).handle
    scheme.write(handle, memoryview(target), 0, 0, who)
    scheme.on_close(handle)


def errno_of(call, *arguments):
    try:
        call(*arguments)
    except Refused as refusal:
        return refusal.errno
    return 0


def opened(scheme, path, flags, who):
    """Open and close; return errno."""
    try:
        scheme.on_close(scheme.openat(ROOT, path, flags, 0, who).handle)
    except Refused as refusal:
        return refusal.errno
    return 0


def room_left(scheme):
    handle = scheme.openat(ROOT, "", f.O_STAT, 0, ADMIN).handle
    found = scheme.fstatvfs(handle)
    scheme.on_close(handle)
    return found.f_bfree


@pytest.mark.parametrize(
    ("mode", "who", "flags", "expected"),
    [
        (0o600, ALICE, f.O_RDWR, 0),
        (0o600, BOB, f.O_RDONLY, e.EACCES),
        (0o640, FRIEND, f.O_RDONLY, 0),
        (0o640, FRIEND, f.O_WRONLY, e.EACCES),
        (0o604, FRIEND, f.O_RDONLY, e.EACCES),
        (0o604, BOB, f.O_RDONLY, 0),
        (0o000, ADMIN, f.O_RDWR, 0),
        (0o000, ALICE, f.O_RDONLY, e.EACCES),
        (0o000, BOB, f.O_STAT, 0),
    ],
)
def test_permissions_are_the_owners_the_groups_or_the_others(scheme, mode, who, flags, expected):
    scheme.on_close(make(scheme, "file", mode, ALICE))
    assert opened(scheme, "file", flags, who) == expected


def test_directories_must_be_searchable_and_writable(scheme):
    make_directory(scheme, "dir", 0o700, ALICE)
    scheme.on_close(make(scheme, "dir/file", 0o666, ALICE))
    assert opened(scheme, "dir/file", f.O_RDONLY, BOB) == e.EACCES
    assert opened(scheme, "dir/file", f.O_STAT, BOB) == e.EACCES
    handle = scheme.openat(ROOT, "dir", f.O_STAT, 0, ALICE).handle
    scheme.fchmod(handle, 0o755, ALICE)
    assert opened(scheme, "dir/file", f.O_RDWR, BOB) == 0
    assert errno_of(make, scheme, "dir/new", 0o644, BOB) == e.EACCES
    assert errno_of(scheme.unlinkat, ROOT, "dir/file", 0, BOB) == e.EACCES


def test_in_a_sticky_directory_everyone_removes_only_their_own(scheme):
    scheme.on_close(make(scheme, "alices", 0o666, ALICE))
    assert errno_of(scheme.unlinkat, ROOT, "alices", 0, BOB) == e.EPERM
    handle = scheme.openat(ROOT, "alices", f.O_STAT, 0, BOB).handle
    assert errno_of(scheme.frename, handle, "bobs", BOB) == e.EPERM
    assert errno_of(scheme.unlinkat, ROOT, "alices", 0, ALICE) == 0


def test_only_owners_change_modes_times_and_groups_and_only_root_owners(scheme):
    make(scheme, "file", 0o4755, ALICE)
    handle = scheme.openat(ROOT, "file", f.O_STAT, 0, ALICE).handle
    times = (TimeSpec(tv_sec=5, tv_nsec=6), TimeSpec(tv_sec=7, tv_nsec=8))
    keep = 0xFFFF_FFFF
    assert errno_of(scheme.fchmod, handle, 0o777, BOB) == e.EPERM
    assert errno_of(scheme.futimens, handle, times, BOB) == e.EPERM
    assert errno_of(scheme.fchown, handle, 1001, keep, ALICE) == e.EPERM
    assert errno_of(scheme.fchown, handle, keep, 1001, ALICE) == e.EPERM
    now = (TimeSpec(tv_sec=int(time.time()), tv_nsec=0),) * 2
    assert errno_of(scheme.futimens, handle, now, BOB) == e.EACCES  # as Linux has it: no permission
    scheme.fchmod(handle, 0o4757, ALICE)
    assert errno_of(scheme.futimens, handle, now, BOB) == 0
    scheme.fchmod(handle, 0o4755, ALICE)
    scheme.futimens(handle, times, ALICE)
    scheme.fchown(handle, keep, 1000, ALICE)
    found = scheme.fstat(handle)
    assert (found.st_atime, found.st_mtime, found.st_mtime_nsec) == (5, 7, 8)
    assert found.st_mode & 0o7777 == 0o755  # set-user-id does not outlive a change of owner
    scheme.fchown(handle, 0, 0, ADMIN)
    assert (scheme.fstat(handle).st_uid, scheme.fstat(handle).st_gid) == (0, 0)


def test_a_set_group_id_directory_gives_its_group_to_what_is_made_in_it(scheme):
    make_directory(scheme, "ours", 0o2777, ALICE)
    handle = make(scheme, "ours/file", 0o644, BOB)
    make_directory(scheme, "ours/dir", 0o755, BOB)
    inner = scheme.fstat(scheme.openat(ROOT, "ours/dir", f.O_STAT, 0, BOB).handle)
    assert scheme.fstat(handle).st_gid == 1000
    assert (inner.st_gid, inner.st_mode) == (1000, MODE_DIR | 0o2755)


def test_a_write_without_room_is_short_and_the_next_one_enospc(scheme):
    before = room_left(scheme)
    handle = make(scheme, "file")
    count = scheme.write(handle, memoryview(bytes(2 * SIZE)), 0, 0, ADMIN)
    assert SIZE - 8192 < count < SIZE
    assert errno_of(scheme.write, handle, memoryview(b"x"), count, 0, ADMIN) == e.ENOSPC
    assert errno_of(scheme.ftruncate, handle, SIZE, ADMIN) == e.ENOSPC
    assert errno_of(make, scheme, "other") == e.ENOSPC
    assert room_left(scheme) == 0
    scheme.unlinkat(ROOT, "file", 0, ADMIN)
    assert room_left(scheme) == 0  # it is open
    scheme.on_close(handle)
    assert room_left(scheme) == before


def test_names_take_room_so_that_there_cannot_be_endless_ones(scheme):
    made = 0
    while errno_of(lambda n: scheme.on_close(make(scheme, f"{n}")), made) == 0:
        made += 1
    assert made == SIZE // 512 - 1
    scheme.unlinkat(ROOT, "0", 0, ADMIN)
    handle = scheme.openat(ROOT, "1", f.O_STAT, 0, ADMIN).handle
    scheme.flink(handle, "again", ADMIN)
    assert errno_of(scheme.flink, handle, "third", ADMIN) == e.ENOSPC


def test_mappings_share_their_bytes_with_reads_and_writes(scheme):
    handle = make(scheme, "file", 0o644, ALICE, b"before" + bytes(5000))
    mapped = scheme.mmap_prep(handle, 4096, 4096, f.PROT_READ | f.PROT_WRITE | f.MAP_SHARED, ALICE)
    assert mapped.offset == 4096
    with mmap.mmap(mapped.fd, 5006) as view:
        assert view[:6] == b"before"
        view[:5] = b"AFTER"
        assert scheme.read(handle, 6, 0, 0, ALICE) == b"AFTERe"
        scheme.write(handle, memoryview(b"!"), 1, 0, ALICE)
        assert view[:3] == b"A!T"
    scheme.ftruncate(handle, 3, ALICE)
    assert scheme.read(handle, 100, 0, 0, ALICE) == b"A!T"
    scheme.write(handle, memoryview(b"end"), 10, 0, ALICE)
    assert scheme.read(handle, 100, 0, 0, ALICE) == b"A!T" + bytes(7) + b"end"


def test_who_may_only_read_gets_no_descriptor_that_writes(scheme):
    make(scheme, "file", 0o644, ALICE, b"content")
    handle = scheme.openat(ROOT, "file", f.O_RDONLY, 0, BOB).handle
    both = f.PROT_READ | f.PROT_WRITE
    assert errno_of(scheme.mmap_prep, handle, 0, 7, both | f.MAP_SHARED, BOB) == e.EACCES
    mapped = scheme.mmap_prep(handle, 0, 7, both | f.MAP_PRIVATE, BOB)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(mapped.fd, b"x", 0)
    with mmap.mmap(mapped.fd, 7, mmap.MAP_SHARED, mmap.PROT_READ) as view:
        assert view[:] == b"content"
    assert errno_of(scheme.mmap_prep, handle, 1, 1, f.PROT_READ, BOB) == e.EINVAL


def test_links_are_followed_inside_and_nowhere_else(scheme):
    make_directory(scheme, "dir")
    make(scheme, "dir/file", data=b"content")
    for name, target in [
        (b"to-file", b"dir/file"), (b"to-dir", b"dir/."), (b"out", b"/etc/passwd"),
        (b"dir/up", b"../dir/file"), (b"above", b"../x"), (b"loop", b"loop"), (b"caf\xe9", b"dir"),
    ]:  # fmt: skip
        make_link(scheme, os.fsdecode(name), target)
    for path in ("to-file", "to-dir/file", "dir/up", "to-dir/up", os.fsdecode(b"caf\xe9/file")):
        handle = scheme.openat(ROOT, path, f.O_RDONLY, 0, ALICE).handle
        assert scheme.read(handle, 100, 0, 0, ALICE) == b"content"
    assert opened(scheme, "out", f.O_RDONLY, ALICE) == e.EXDEV
    assert opened(scheme, "above", f.O_RDONLY, ALICE) == e.EXDEV
    assert opened(scheme, "loop", f.O_RDONLY, ALICE) == e.ELOOP
    assert opened(scheme, "to-file", f.O_RDONLY | f.O_NOFOLLOW, ALICE) == e.ELOOP
    handle = scheme.openat(ROOT, "out", f.O_RDONLY | f.O_SYMLINK, 0, ALICE).handle
    assert scheme.read(handle, 100, 0, 0, ALICE) == b"/etc/passwd"
    handle = scheme.openat(ROOT, "to-file", f.O_WRONLY | f.O_SYMLINK, 0, ADMIN).handle
    assert errno_of(scheme.write, handle, memoryview(b"elsewhere"), 0, 0, ADMIN) == e.EINVAL


def test_a_renamed_directory_takes_all_below_it_along(scheme):
    make_directory(scheme, "a")
    make_directory(scheme, "a/b")
    file = make(scheme, "a/b/file")
    handle = scheme.openat(ROOT, "a", f.O_STAT, 0, ADMIN).handle
    assert errno_of(scheme.frename, handle, "a/b/a", ADMIN) == e.EINVAL
    inside = scheme.openat(ROOT, "a/b/file", f.O_STAT, 0, ADMIN).handle
    assert errno_of(scheme.frename, inside, "a", ADMIN) == e.ENOTEMPTY
    scheme.frename(handle, "z", ADMIN)
    assert scheme.fpath(file) == "/scheme/ramfs/z/b/file"
    assert scheme.fpath(handle) == "/scheme/ramfs/z"
    assert opened(scheme, "a/b", f.O_STAT, ADMIN) == e.ENOENT
    names = scheme.getdents(scheme.openat(ROOT, "z", f.O_RDONLY, 0, ADMIN).handle, ADMIN)
    assert [(entry.name, entry.kind) for entry in names] == [("b", f.DT_DIR)]


def test_nothing_can_be_made_in_a_directory_that_was_removed(scheme):
    make_directory(scheme, "dir")
    inside = scheme.openat(ROOT, "dir", f.O_RDONLY | f.O_DIRECTORY, 0, ADMIN).handle
    scheme.unlinkat(ROOT, "dir", f.AT_REMOVEDIR, ADMIN)
    assert errno_of(scheme.openat, inside, "new", NEW, 0, ADMIN) == e.ENOENT
    assert scheme.fstat(inside).st_nlink == 0


def test_the_root_stays_and_unknown_handles_are_bad(scheme):
    assert errno_of(scheme.unlinkat, ROOT, "", f.AT_REMOVEDIR, ADMIN) == e.EBUSY
    for call, arguments in [
        (scheme.fstat, ()), (scheme.fsize, ()), (scheme.fpath, ()), (scheme.fstatvfs, ()),
        (scheme.fevent, (1,)), (scheme.read, (1, 0, 0, ADMIN)), (scheme.ftruncate, (0, ADMIN)),
        (scheme.write, (memoryview(b""), 0, 0, ADMIN)), (scheme.getdents, (ADMIN,)),
        (scheme.dup, (b"", ADMIN)), (scheme.fcntl, (1, 0, ADMIN)), (scheme.flink, ("x", ADMIN)),
    ]:  # fmt: skip
        assert errno_of(call, 99, *arguments) == e.EBADF
