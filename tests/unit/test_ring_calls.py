"""What each call of a ring's client becomes, and what comes back."""

from __future__ import annotations

import os
import struct

import pytest
from ring_rig import NO_OFFSET, RawClient, Rig
from ring_scheme import Toy

from redbear_host.abi import dirent
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.sqe import Opcode as Op
from redbear_host.abi.stat import Stat, StatVfs
from redbear_host.scheme import listings

# -- opening -----------------------------------------------------------------------------------


def test_an_open_is_relative_to_the_root_and_says_whether_there_is_an_offset(
    rig: Rig, client: RawClient, toy: Toy
) -> None:
    flags = f.O_RDWR | f.O_NONBLOCK
    args = (0, *client.place(64, b"/./dir/../file/"), flags, f.O_NONBLOCK)
    assert rig.full(client, Op.OPEN_AT, *args, tag=7) == (0, 1, 7, 1)
    assert toy.log == [("openat", 0, "file", flags, f.O_NONBLOCK)]
    assert rig.full(client, Op.OPEN_AT, 0, *client.place(64, b"queue"), 0, 0) == (0, 0, 1, 2)


def test_an_open_below_a_directory_gets_the_schemes_number_for_it(
    rig: Rig, client: RawClient, toy: Toy
) -> None:
    rig.open(client, b"file")
    directory = rig.open(client, b"dir")
    rig.call(client, Op.CLOSE, 1)
    assert rig.call(client, Op.OPEN_AT, directory, *client.place(0, b"file"), 0, 0) == 3
    assert toy.log[-1] == ("openat", 2, "file", 0, 0)


def test_the_caller_is_who_the_socket_says(rig: Rig, client: RawClient, toy: Toy) -> None:
    assert rig.open(client, b"file") == 1  # put() claims to be 0xBAD
    assert toy.callers[0] == (os.getpid(), os.getuid(), os.getgid())


def test_the_opens_of_2025_start_from_the_root(rig: Rig, client: RawClient, toy: Toy) -> None:
    flags = f.O_RDONLY | f.O_NONBLOCK
    assert rig.call(client, Op.OPEN, *client.place(0, b"file"), flags) == 1
    assert toy.log[-1] == ("openat", 0, "file", flags, f.O_NONBLOCK)
    assert rig.call(client, Op.UNLINK, *client.place(0, b"x/y")) == 0
    assert toy.log[-1] == ("unlinkat", 0, "x/y", 0)
    assert rig.call(client, Op.RMDIR, *client.place(0, b"x")) == 0
    assert toy.log[-1] == ("unlinkat", 0, "x", f.AT_REMOVEDIR)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (b"absent", e.ENOENT),
        (b"..", e.EACCES),
        (b"dir/../../file", e.EACCES),
        (b"f\xffile", e.EINVAL),
        (b"\xed\xa0\x80", e.EINVAL),  # half a surrogate pair
        (b"a\0b", e.EINVAL),
        (b"a" * 4097, e.ENAMETOOLONG),
    ],
)
def test_a_path_that_cannot_be_is_refused(
    rig: Rig, client: RawClient, path: bytes, error: int
) -> None:
    assert rig.open(client, path) == -error


@pytest.mark.parametrize(
    ("at", "size", "error"),
    [
        (65536, 1, e.EFAULT),
        (65530, 7, e.EFAULT),
        (1 << 63, 1, e.EFAULT),
        ((1 << 64) - 1, 2, e.EFAULT),
        (0, (1 << 64) - 1, e.ENAMETOOLONG),
    ],
)
def test_a_path_outside_the_arena_is_refused(
    rig: Rig, client: RawClient, at: int, size: int, error: int
) -> None:
    assert rig.call(client, Op.OPEN_AT, 0, at, size, 0, 0) == -error


@pytest.mark.parametrize("flags", [0x1000, 1 << 32, (1 << 64) - 1])
def test_open_flags_that_mean_nothing_are_refused(rig: Rig, client: RawClient, flags: int) -> None:
    assert rig.open(client, b"file", flags) == -e.EINVAL
    assert rig.open(client, b"file", 0, flags) == -e.EINVAL


def test_a_dup_with_a_name_opens_and_one_without_is_the_clients_affair(
    rig: Rig, client: RawClient, toy: Toy
) -> None:
    handle = rig.open(client, b"queue")
    assert rig.call(client, Op.DUP, handle, *client.place(0, b"listen")) == 2
    assert toy.open == {1: "queue", 2: "queue+listen"}
    assert rig.call(client, Op.DUP, handle, 0, 0) == -e.EINVAL
    assert rig.call(client, Op.DUP, handle, 0, 5000) == -e.ENAMETOOLONG


def test_a_close_reaches_the_scheme_once(rig: Rig, client: RawClient, toy: Toy) -> None:
    handle = rig.open(client, b"file")
    assert rig.call(client, Op.CLOSE, handle) == 0
    assert rig.call(client, Op.CLOSE, handle) == -e.EBADF
    assert toy.log.count(("on_close", 1)) == 1


def test_a_close_message_is_not_answered(rig: Rig, client: RawClient, toy: Toy) -> None:
    handle = rig.open(client, b"file")
    client.put(Op.CLOSE_MSG, 0, handle)
    client.put(Op.CLOSE_MSG, 0, 99)
    client.put(Op.DETACH, 0, handle)
    assert rig.call(client, Op.FSIZE, handle) == -e.EBADF
    assert toy.open == {}


def test_the_root_is_only_a_place_to_start_from(rig: Rig, client: RawClient) -> None:
    """No scheme expects to be asked to read its root's number, so no client may make it crash."""
    can_start = {Op.OPEN_AT, Op.UNLINK_AT, Op.OPEN, Op.RMDIR, Op.UNLINK}
    silent = {Op.CANCEL, Op.CLOSE_MSG, Op.DETACH}
    missing = {Op.REQUEST_MMAP, Op.MREMAP, Op.MSYNC}
    for opcode in set(Op.__members__.values()) - can_start - silent:
        result = rig.call(client, opcode, 0, 0, 1, 1, 0)
        expected = e.ENOSYS if opcode in missing else e.EBADF
        assert result == -(e.EINVAL if opcode is Op.SENDFD else expected), opcode


@pytest.mark.parametrize("opcode", [Op.REQUEST_MMAP, Op.MREMAP, Op.MSYNC, 35, 200, 255])
def test_an_opcode_nobody_knows_is_enosys(rig: Rig, client: RawClient, opcode: int) -> None:
    assert rig.call(client, opcode, 1, 2, 3, 4, 5, 6) == -e.ENOSYS


# -- bytes -------------------------------------------------------------------------------------


def test_a_read_lands_where_the_client_wants_it(rig: Rig, client: RawClient) -> None:
    handle = rig.open(client, b"file")
    client.place(4096, b"#" * 64)
    assert rig.call(client, Op.READ, handle, 4100, 4, 5, 0) == 4
    assert client.payload(4096, 16) == b"####is i########"
    assert rig.call(client, Op.READ, handle, 4100, 64, 1000, 0) == 0


def test_a_write_is_taken_from_where_the_client_put_it(
    rig: Rig, client: RawClient, toy: Toy
) -> None:
    handle = rig.open(client, b"file")
    assert rig.call(client, Op.WRITE, handle, *client.place(8000, b"WAS"), 5, 0) == 3
    assert toy.data.startswith(b"what WAS")


def test_a_stream_has_no_places(rig: Rig, client: RawClient, toy: Toy) -> None:
    stream, file = rig.open(client, b"queue"), rig.open(client, b"file")
    toy.queue.append(b"abc")
    assert rig.call(client, Op.READ, stream, 0, 8, 0, 0) == -e.ESPIPE
    assert rig.call(client, Op.READ, stream, 0, 8, NO_OFFSET, 0) == 3
    assert rig.call(client, Op.READ, file, 0, 8, NO_OFFSET, 0) == -e.EINVAL
    assert rig.call(client, Op.READ, file, 0, 8, 1 << 63, 0) == -e.EINVAL
    assert rig.call(client, Op.WRITE, stream, 0, 8, 9, 0) == -e.ESPIPE


@pytest.mark.parametrize("name", [b"file", b"queue", b"dir", b"map", b"fds"])
def test_what_is_only_looked_at_gives_and_takes_nothing(
    rig: Rig, client: RawClient, toy: Toy, name: bytes
) -> None:
    flags = f.O_STAT | f.O_RDWR
    at, size = client.place(0, name)
    handle = rig.call(client, Op.OPEN_AT, 0, at, size, flags, 0)
    old = rig.call(client, Op.OPEN, at, size, flags)
    assert 0 < handle < old
    toy.queue.append(b"for others")
    log, data, queue = list(toy.log), bytes(toy.data), list(toy.queue)
    for one in (handle, old):
        for call in (
            *((Op.READ, one, 0, 8, 0, 0), (Op.READ, one, 0, 8, NO_OFFSET, 0)),
            *((Op.WRITE, one, 0, 8, 0, 0), (Op.WRITE, one, 0, 8, NO_OFFSET, 0)),
            *((Op.CALL, one, 0, 8), (Op.MMAP_PREP, one, 4096, f.PROT_READ, 0)),
            *((Op.FTRUNCATE, one, 0), (Op.FSYNC, one), (Op.GETDENTS, one, 0, 4096, 24, 0)),
            *((Op.RECVFD, one, 0, 1), (Op.DUP, one, 0, 4), (Op.FEVENT, one, f.EVENT_READ)),
        ):
            assert rig.call(client, *call) == -e.EBADF, call
        assert rig.call(client, Op.FSTAT, one, 4096, 1024) == 0
        assert rig.call(client, Op.FPATH, one, 4096, 64) > 0
    assert (toy.log, bytes(toy.data), toy.queue) == (log, data, queue)
    below = rig.call(client, Op.OPEN_AT, handle, *client.place(0, b"file"), f.O_RDONLY, 0)
    assert below > 0, "a path may start from it"
    assert rig.call(client, Op.READ, below, 0, 8, 0, 0) == 8


@pytest.mark.parametrize("opcode", [Op.READ, Op.WRITE])
def test_a_buffer_outside_the_arena_is_refused(
    rig: Rig, client: RawClient, toy: Toy, opcode: int
) -> None:
    handle = rig.open(client, b"file")
    before = bytes(toy.data)
    for at, size in ((65536, 1), (0, 65537), ((1 << 64) - 4, 8), (8, (1 << 64) - 1)):
        expected = -e.EFAULT if opcode == Op.READ or size <= 1 << 20 else None
        result = rig.call(client, opcode, handle, at, size, 0, 0)
        assert result == (expected or -e.EFAULT)
    assert toy.data == before
    assert rig.call(client, opcode, handle, 0, 1, 0, 1) == -e.EINVAL  # flags


def test_a_transfer_is_cut_to_a_mebibyte(rig: Rig, toy: Toy) -> None:
    client = rig.connect(arena=4 << 20)
    handle = rig.open(client, b"file")
    assert rig.call(client, Op.WRITE, handle, 0, 3 << 20, 0, 0) == 1 << 20
    assert rig.call(client, Op.READ, handle, 0, 3 << 20, 0, 0) == 1 << 20
    assert rig.call(client, Op.CALL, handle, 0, 3 << 20) == -e.EINVAL


def test_a_call_goes_in_and_comes_out(rig: Rig, client: RawClient, toy: Toy) -> None:
    handle = rig.open(client, b"file")
    assert rig.call(client, Op.CALL, handle, *client.place(0, b"abc"), 10, 20, 30) == 63
    assert client.payload(0, 3) == b"cba"
    assert toy.log[-1] == ("call", b"abc", (10, 20, 30))


def test_an_error_is_the_schemes(rig: Rig, client: RawClient) -> None:
    again, interrupted = rig.open(client, b"again"), rig.open(client, b"intr")
    assert rig.call(client, Op.READ, again, 0, 8, NO_OFFSET, 0) == -e.EAGAIN
    assert rig.call(client, Op.READ, interrupted, 0, 8, NO_OFFSET, 0) == -e.EIO


def test_a_bug_of_the_scheme_is_eio_for_the_call_and_the_end_of_the_daemon(
    rig: Rig, client: RawClient
) -> None:
    handle = rig.open(client, b"bug")
    client.put(Op.READ, 9, handle, 0, 8, NO_OFFSET, 0)
    client.ring()
    with pytest.raises(ZeroDivisionError):
        rig.turn()
    assert client.taken() == [(0, 0, 9, -e.EIO)]


# -- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("std", [False, True])
def test_facts_come_in_redoxs_format(rig: Rig, client: RawClient, std: bool) -> None:
    handle = rig.open(client, b"file")

    def ask(opcode: int, kind: int, at: int, size: int) -> int:
        if std:
            return rig.call(client, Op.STD_FS_CALL, handle, at, size, kind)
        return rig.call(client, opcode, handle, at, size)

    assert ask(Op.FSTAT, 4, 256, 104) == 0
    found = Stat.load(client.payload(256, 104))
    assert (found.st_mode, found.st_size, found.st_ino) == (0x81A0, 19, 1)
    assert ask(Op.FSTATVFS, 5, 512, 32) == 0
    assert StatVfs.load(client.payload(512, 32)) == StatVfs(
        f_bsize=512, f_blocks=3, f_bfree=2, f_bavail=1
    )
    assert ask(Op.FSTAT, 4, 256, 103) == -e.EINVAL
    assert ask(Op.FSTATVFS, 5, 256, 31) == -e.EINVAL
    assert ask(Op.FSTAT, 4, 65536 - 103, 104) == -e.EFAULT


def test_changes_reach_the_scheme_in_both_forms(rig: Rig, client: RawClient, toy: Toy) -> None:
    handle = rig.open(client, b"file")
    times = client.place(0, struct.pack("<qi4xqi4x", -1, 5, 7, 999_999_999))
    del toy.log[:]
    rig.call(client, Op.FCHMOD, handle, 0o600)
    rig.call(client, Op.FCHOWN, handle, 1000, 0xFFFF_FFFF)
    rig.call(client, Op.FTRUNCATE, handle, 1 << 40)
    rig.call(client, Op.FUTIMENS, handle, *times)
    rig.call(client, Op.FSYNC, handle)
    old, toy.log = toy.log, []
    rig.call(client, Op.STD_FS_CALL, handle, 0, 0, 1, 0o600)
    rig.call(client, Op.STD_FS_CALL, handle, 0, 0, 2, 1000, 0xFFFF_FFFF)
    rig.call(client, Op.STD_FS_CALL, handle, 0, 0, 7, 1 << 40)
    rig.call(client, Op.STD_FS_CALL, handle, *times, 8)
    rig.call(client, Op.STD_FS_CALL, handle, 0, 0, 6)
    assert toy.log == old
    assert old == [
        ("fchmod", 0o600),
        ("fchown", 1000, 0xFFFF_FFFF),
        ("ftruncate", 1 << 40),
        ("futimens", [(-1, 5), (7, 999_999_999)]),
        ("fsync", "file"),
    ]


def test_numbers_that_no_file_has_are_refused(rig: Rig, client: RawClient, toy: Toy) -> None:
    handle = rig.open(client, b"file")
    del toy.log[:]
    assert rig.call(client, Op.FCHMOD, handle, 0x10000) == -e.EINVAL
    assert rig.call(client, Op.FCHOWN, handle, 1 << 32, 0) == -e.EINVAL
    assert rig.call(client, Op.FTRUNCATE, handle, 1 << 63) == -e.EINVAL
    assert rig.call(client, Op.FUTIMENS, handle, 0, 17) == -e.EINVAL
    assert rig.call(client, Op.FUTIMENS, handle, 0, 1 << 40) == -e.EINVAL
    bad = client.place(0, struct.pack("<qi4x", 1, 1_000_000_000))
    assert rig.call(client, Op.FUTIMENS, handle, *bad) == -e.EINVAL
    bad = client.place(0, struct.pack("<qi4x", 1 << 62, 0))
    assert rig.call(client, Op.FUTIMENS, handle, *bad) == -e.EINVAL
    assert rig.call(client, Op.STD_FS_CALL, handle, 0, 0, 12) == -e.EOPNOTSUPP
    assert rig.call(client, Op.STD_FS_CALL, handle, 0, 0, 99) == -e.EOPNOTSUPP
    assert rig.call(client, Op.STD_FS_CALL, handle, 0, 0, 1 << 8 | 4) == -e.EINVAL
    assert toy.log == []


def test_names_reach_the_scheme(rig: Rig, client: RawClient, toy: Toy) -> None:
    handle = rig.open(client, b"file")
    path = client.place(0, b"/new/name")
    assert rig.call(client, Op.FRENAME, handle, *path) == 0
    assert toy.log[-1] == ("frename", "file", "new/name")
    assert rig.call(client, Op.FLINK, handle, *path) == 0
    assert toy.log[-1] == ("flink", "file", "new/name")
    assert rig.call(client, Op.UNLINK_AT, 0, *path, f.AT_REMOVEDIR) == 0
    assert toy.log[-1] == ("unlinkat", 0, "new/name", f.AT_REMOVEDIR)
    assert rig.call(client, Op.UNLINK_AT, 0, *path, 0x201) == -e.EINVAL
    assert rig.call(client, Op.FPATH, handle, 128, 100) == 16
    assert client.payload(128, 16) == b"/scheme/toy/file"
    assert rig.call(client, Op.FPATH, handle, 128, 15) == -e.ENAMETOOLONG
    assert rig.call(client, Op.FPATH, handle, 65530, 16) == -e.EFAULT
    assert rig.call(client, Op.FCNTL, handle, 3, 4) == 7
    assert rig.call(client, Op.FSIZE, handle) == 19


@pytest.mark.parametrize("std", [False, True])
def test_a_directory_is_listed_piece_by_piece(rig: Rig, client: RawClient, std: bool) -> None:
    handle = rig.open(client, b"dir")

    def ask(size: int, opaque: int, header: int = 19) -> int:
        if std:
            return rig.call(client, Op.STD_FS_CALL, handle, 0, size, 3, header, opaque)
        return rig.call(client, Op.GETDENTS, handle, 0, size, header, opaque)

    found = []
    place = 0
    while size := ask(100, place):
        assert 0 < size <= 100
        for entry in dirent.unpack(client.payload(0, size)):
            found.append((entry.name, entry.kind, entry.inode))
            place = entry.next_opaque_id
    assert found == [(f"entry{number}", f.DT_REG, number) for number in range(10)]
    assert ask(20, 0) == -e.EINVAL
    assert ask(100, 0, 20) == -e.EINVAL
    assert ask(100, (1 << 64) - 1) == 0
    assert ask(65537, 0) == -e.EFAULT


def test_listings_have_a_bound_and_one_that_gave_way_is_made_again(
    rig: Rig, client: RawClient, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "ENTRIES_MOST", 2 * len(toy.entries))
    handles = [rig.open(client, b"dir") for _ in range(3)]
    for handle in handles:
        assert rig.call(client, Op.GETDENTS, handle, 0, 100, 19, 0) > 0
    assert len(rig.door.listings) == 2 * len(toy.entries)
    for handle in handles:
        size = rig.call(client, Op.GETDENTS, handle, 0, 4096, 19, 2)
        names = [entry.name for entry in dirent.unpack(client.payload(0, size))]
        assert names == [entry.name for entry in toy.entries[2:]]
        assert rig.call(client, Op.CLOSE, handle) == 0
    assert len(rig.door.listings) == 0


def test_a_listing_is_that_of_its_beginning_and_shows_only_text(
    rig: Rig, client: RawClient, toy: Toy
) -> None:
    handle = rig.open(client, b"dir")
    toy.entries = [*toy.entries[:1], toy.entries[1]._replace(name="b\udcff"), *toy.entries[2:]]
    size = rig.call(client, Op.GETDENTS, handle, 0, 4096, 19, 0)
    names = [entry.name for entry in dirent.unpack(client.payload(0, size))]
    assert names == ["entry0", *(f"entry{number}" for number in range(2, 10))]
    toy.entries = []
    size = rig.call(client, Op.GETDENTS, handle, 0, 4096, 19, 8)
    assert [entry.name for entry in dirent.unpack(client.payload(0, size))] == ["entry9"]
    assert rig.call(client, Op.GETDENTS, handle, 0, 4096, 19, 0) == 0
