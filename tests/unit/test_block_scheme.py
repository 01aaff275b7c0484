from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from block_bench import Call

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_FILE
from redbear_host.classes.block import DiskScheme
from redbear_host.classes.mbr import BootRecord, PartitionRecord
from redbear_host.errors import Refused
from redbear_host.models.ramdisk import RamDisk
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import POSITIONED, ROOT

RW = f.O_RDWR


def mbr(*records: tuple[int, int]) -> bytes:
    packed = b"".join(
        bytes(PartitionRecord(OSType=0x83, StartingLBA=first, SizeInLBA=blocks))
        for first, blocks in records
    )
    return bytes(BootRecord(PartitionRecord=packed, Signature=0xAA55))


def settle(scheme: DiskScheme, *disks: RamDisk) -> None:
    """Run until nothing is left to do."""
    for _ in range(1000):
        scheme.end_batch()
        if not any(disk.running for disk in disks):
            return
        for disk in disks:
            disk.end_all()
    raise AssertionError("the disks never come to rest")


def started(*disks: RamDisk, exclusive: bool = True) -> DiskScheme:
    scheme = DiskScheme("disk.test", disks, exclusive=exclusive)
    ready: list[bool] = []
    scheme.load_partitions(lambda: ready.append(True))
    settle(scheme, *disks)
    assert ready == [True]
    return scheme


def opened(scheme: DiskScheme, path: str, flags: int = RW) -> int:
    found = scheme.openat(ROOT, path, flags, 0, Call())
    assert found is not LATER
    assert found.flags == POSITIONED
    return found.handle


def refusal(call: Callable[[], object]) -> int:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.errno


@pytest.fixture
def disks() -> tuple[RamDisk, RamDisk]:
    first, second = RamDisk(64, number=0), RamDisk(32, 4096, number=1)
    first.data[:512] = mbr((8, 16), (24, 99))
    return first, second


@pytest.fixture
def scheme(disks: tuple[RamDisk, RamDisk]) -> DiskScheme:
    return started(*disks)


def test_the_directory_lists_disks_and_partitions_in_order(scheme: DiskScheme) -> None:
    handle = opened(scheme, "", f.O_RDONLY | f.O_DIRECTORY)
    names = [entry.name for entry in scheme.getdents(handle, Call())]
    assert names == ["0", "0p0", "0p1", "1"]
    assert [entry.name for entry in scheme.getdents(ROOT, Call())] == names
    assert len({entry.inode for entry in scheme.getdents(handle, Call())} - {1}) == 4


def test_the_directory_reads_as_lines_of_text(scheme: DiskScheme) -> None:
    handle = opened(scheme, "/", f.O_RDONLY | f.O_STAT)
    assert scheme.read(handle, 99, 0, 0, Call()) == b"0\n0p0\n0p1\n1\n"
    assert scheme.read(handle, 4, 2, 0, Call()) == b"0p0\n"
    assert scheme.read(handle, 4, 12, 0, Call()) == b""
    assert scheme.fsize(handle) == scheme.fsize(ROOT) == 12


@pytest.mark.parametrize("flags", [f.O_RDONLY, f.O_RDWR | f.O_DIRECTORY, 0])
def test_the_directory_is_no_file(scheme: DiskScheme, flags: int) -> None:
    assert refusal(lambda: scheme.openat(ROOT, "", flags, 0, Call())) == e.EISDIR
    assert refusal(lambda: scheme.read(ROOT, 1, 0, 0, Call())) == e.EISDIR


@pytest.mark.parametrize(
    "path",
    ["2", "00", "0p2", "0p", "1p0", "p0", "-1", "0p0p0", "0/0", "\N{ARABIC-INDIC DIGIT ZERO}"],
)
def test_other_names_do_not_exist(scheme: DiskScheme, path: str) -> None:
    assert refusal(lambda: opened(scheme, path)) == e.ENOENT


def test_disks_are_no_directories(scheme: DiskScheme) -> None:
    assert refusal(lambda: opened(scheme, "0", f.O_RDONLY | f.O_DIRECTORY)) == e.ENOTDIR
    handle = opened(scheme, "0")
    assert refusal(lambda: scheme.openat(handle, "", RW, 0, Call())) == e.ENOTDIR
    assert refusal(lambda: scheme.getdents(handle, Call())) == e.ENOTDIR
    assert refusal(lambda: scheme.openat(99, "0", RW, 0, Call())) == e.EBADF


def test_a_directory_handle_is_a_place_to_open_from(scheme: DiskScheme) -> None:
    handle = opened(scheme, "", f.O_RDONLY | f.O_DIRECTORY)
    found = scheme.openat(handle, "0p1", RW, 0, Call())
    assert found is not LATER
    assert scheme.fpath(found.handle) == "/scheme/disk.test/0p1"
    assert scheme.fpath(handle) == "/scheme/disk.test/"


@pytest.mark.parametrize("path", ["", "0", "0p0", "nothing"])
def test_only_root_may_open(scheme: DiskScheme, path: str) -> None:
    flags = f.O_STAT | f.O_DIRECTORY
    assert refusal(lambda: scheme.openat(ROOT, path, flags, 0, Call(uid=1000))) == e.EACCES


@pytest.mark.parametrize(
    ("held", "wanted"), [("0", "0"), ("0", "0p0"), ("0p1", "0"), ("0p0", "0p0")]
)
def test_what_overlaps_may_not_be_open_together(scheme: DiskScheme, held: str, wanted: str) -> None:
    handle = opened(scheme, held, f.O_RDONLY)
    assert refusal(lambda: opened(scheme, wanted, f.O_RDONLY)) == e.ENOLCK
    looked = opened(scheme, wanted, f.O_STAT)
    assert scheme.fstat(looked).st_mode == MODE_FILE | 0o600
    scheme.on_close(handle)
    opened(scheme, wanted)


def test_different_partitions_and_different_disks_may_be_open_together(scheme: DiskScheme) -> None:
    assert len({opened(scheme, name) for name in ("0p0", "0p1", "1")}) == 3


def test_a_look_does_not_keep_others_out_and_may_not_read(scheme: DiskScheme) -> None:
    handle = opened(scheme, "0", f.O_STAT | f.O_RDWR)
    opened(scheme, "0")
    assert refusal(lambda: scheme.read(handle, 512, 0, 0, Call())) == e.EBADF
    assert refusal(lambda: scheme.write(handle, memoryview(bytes(512)), 0, 0, Call())) == e.EBADF


def test_exclusive_opening_is_a_policy_that_can_be_turned_off() -> None:
    scheme = started(RamDisk(64), exclusive=False)
    assert opened(scheme, "0") != opened(scheme, "0")


def test_a_disk_that_cannot_be_written_opens_for_reading_only() -> None:
    scheme = started(RamDisk(64, writable=False))
    assert refusal(lambda: opened(scheme, "0", RW)) == e.EROFS
    handle = opened(scheme, "0", f.O_RDONLY)
    assert refusal(lambda: scheme.write(handle, memoryview(bytes(512)), 0, 0, Call())) == e.EBADF
    assert refusal(lambda: scheme.ftruncate(handle, 0, Call())) == e.EBADF
    assert refusal(lambda: scheme.fallocate(handle, 3, 0, 512, Call())) == e.EBADF


def test_a_handle_for_writing_only_may_not_read(scheme: DiskScheme) -> None:
    handle = opened(scheme, "0", f.O_WRONLY)
    assert refusal(lambda: scheme.read(handle, 512, 0, 0, Call())) == e.EBADF


def test_creating_what_exists_opens_it_unless_it_must_be_new(scheme: DiskScheme) -> None:
    assert refusal(lambda: opened(scheme, "1", RW | f.O_CREAT | f.O_EXCL)) == e.EEXIST
    opened(scheme, "1", RW | f.O_CREAT | f.O_TRUNC)
    assert refusal(lambda: opened(scheme, "7", RW | f.O_CREAT)) == e.ENOENT


def test_stat_tells_sizes_and_blocks(scheme: DiskScheme) -> None:
    stat = scheme.fstat(opened(scheme, "0p0"))
    assert (stat.st_mode, stat.st_nlink) == (MODE_FILE | 0o600, 1)
    assert (stat.st_size, stat.st_blksize, stat.st_blocks) == (16 * 512, 512, 16)
    clamped = opened(scheme, "0p1", f.O_STAT)
    assert scheme.fsize(clamped) == scheme.fstat(clamped).st_size == 40 * 512
    whole = opened(scheme, "1")
    assert (scheme.fstat(whole).st_blksize, scheme.fstat(whole).st_blocks) == (4096, 32)
    assert (scheme.fstatvfs(whole).f_bsize, scheme.fstatvfs(whole).f_blocks) == (4096, 32)
    root = scheme.fstat(ROOT)
    assert (root.st_mode, root.st_ino) == (MODE_DIR | 0o700, 1)
    assert scheme.fstatvfs(ROOT).f_blocks == (64 * 512 + 32 * 4096) // 4096


def test_a_disk_is_always_ready(scheme: DiskScheme) -> None:
    handle = opened(scheme, "0")
    assert scheme.fevent(handle, f.EVENT_READ | f.EVENT_WRITE) == 3
    assert scheme.fevent(handle, f.EVENT_WRITE) == f.EVENT_WRITE


def test_a_closed_handle_is_bad_everywhere(scheme: DiskScheme) -> None:
    handle = opened(scheme, "0")
    scheme.on_close(handle)
    for call in (
        lambda: scheme.read(handle, 512, 0, 0, Call()),
        lambda: scheme.write(handle, memoryview(b""), 0, 0, Call()),
        lambda: scheme.fsync(handle, Call()),
        lambda: scheme.fstat(handle),
        lambda: scheme.fstatvfs(handle),
        lambda: scheme.fsize(handle),
        lambda: scheme.fpath(handle),
        lambda: scheme.getdents(handle, Call()),
        lambda: scheme.fevent(handle, 3),
        lambda: scheme.ftruncate(handle, 0, Call()),
        lambda: scheme.fallocate(handle, 3, 0, 1, Call()),
    ):
        assert refusal(call) == e.EBADF


def test_truncation_is_ignored_but_growing_is_not_possible(
    scheme: DiskScheme, disks: tuple[RamDisk, RamDisk]
) -> None:
    handle = opened(scheme, "0p0")
    scheme.ftruncate(handle, 16 * 512, Call())
    scheme.ftruncate(handle, 0, Call())
    assert scheme.fsize(handle) == 16 * 512
    assert refusal(lambda: scheme.ftruncate(handle, 16 * 512 + 1, Call())) == e.EFBIG


@pytest.mark.parametrize("name", ["nvme", "", "Disk.x"])
def test_the_name_starts_with_disk(name: str) -> None:
    with pytest.raises(ValueError, match="starts with disk"):
        DiskScheme(name, [])


def test_two_disks_of_one_number_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="same number"):
        DiskScheme("disk.x", [RamDisk(8, number=1), RamDisk(8, number=1)])


@pytest.mark.parametrize(("size", "longest"), [(0, 512), (520, 5200), (512, 256), (4096, 6144)])
def test_a_disk_with_impossible_sizes_is_a_mistake(size: int, longest: int) -> None:
    with pytest.raises(ValueError, match="moves at most"):
        DiskScheme("disk.x", [RamDisk(8, size, max_transfer=longest)])


def test_a_disk_without_any_memory_for_transfers_fails_at_the_start() -> None:
    with pytest.raises(MemoryError):
        DiskScheme("disk.x", [RamDisk(8, chunks=1)])


def test_opens_wait_until_the_partitions_are_known(disks: tuple[RamDisk, RamDisk]) -> None:
    scheme = DiskScheme("disk.test", disks)
    order: list[str] = []
    scheme.load_partitions(lambda: order.append("ready"))
    call, missing, gone = Call(), Call(), Call()
    assert scheme.openat(ROOT, "0p0", RW, 0, call) is LATER
    assert scheme.openat(ROOT, "0p7", RW, 0, missing) is LATER
    assert scheme.openat(ROOT, "0p1", RW, 0, gone) is LATER
    gone.give_up()
    assert gone.error == e.ECANCELED
    settle(scheme, *disks)
    assert order == ["ready"]
    assert scheme.fpath(call.result.handle) == "/scheme/disk.test/0p0"
    assert missing.error == e.ENOENT


def test_a_scheme_without_disks_is_ready_at_once() -> None:
    scheme = started()
    assert list(scheme.getdents(ROOT, Call())) == []


def test_an_unreadable_disk_has_no_partitions_and_says_so(
    disks: tuple[RamDisk, RamDisk], caplog: pytest.LogCaptureFixture
) -> None:
    scheme = DiskScheme("disk.test", disks)
    ready: list[bool] = []
    with caplog.at_level(logging.INFO):
        scheme.load_partitions(lambda: ready.append(True))
        scheme.end_batch()
        disks[0].running[0].end(e.EIO)
        settle(scheme, *disks)
    assert ready == [True]
    assert [entry.name for entry in scheme.getdents(ROOT, Call())] == ["0", "1"]
    assert "disk.test/0: reading 1 blocks from block 0 failed with errno 5" in caplog.text


def test_a_table_written_to_the_whole_disk_shows_after_the_close(
    scheme: DiskScheme, disks: tuple[RamDisk, RamDisk]
) -> None:
    whole, written = opened(scheme, "0"), Call()
    scheme.write(whole, memoryview(mbr((8, 8), (16, 8), (24, 8))), 0, 0, written)
    settle(scheme, *disks)
    assert written.result == 512
    scheme.on_close(whole)
    listing, third = Call(), Call()
    assert scheme.openat(ROOT, "", f.O_RDONLY | f.O_DIRECTORY, 0, listing) is LATER
    assert scheme.openat(ROOT, "0p2", RW, 0, third) is LATER
    settle(scheme, *disks)
    names = [entry.name for entry in scheme.getdents(listing.result.handle, Call())]
    assert names == ["0", "0p0", "0p1", "0p2", "1"]
    assert scheme.fsize(third.result.handle) == 8 * 512


def test_nothing_is_read_again_after_a_close_without_writes(
    scheme: DiskScheme, disks: tuple[RamDisk, RamDisk]
) -> None:
    for name in ("0", "0p0"):
        handle = opened(scheme, name)
        call = Call()
        if name == "0p0":
            scheme.write(handle, memoryview(bytes(512)), 0, 0, call)
        else:
            scheme.read(handle, 512, 0, 0, call)
        settle(scheme, *disks)
        assert call.results
        scheme.on_close(handle)
        scheme.end_batch()
        assert disks[0].running == []
    opened(scheme, "0")


def test_only_the_last_writer_to_close_has_the_table_read() -> None:
    disk = RamDisk(64)
    scheme = started(disk, exclusive=False)
    one, two, reader = opened(scheme, "0"), opened(scheme, "0"), opened(scheme, "0", f.O_RDONLY)
    scheme.write(one, memoryview(mbr((8, 8))), 0, 0, Call())
    settle(scheme, disk)
    scheme.on_close(one)
    assert disk.queued == []
    scheme.on_close(two)
    settle(scheme, disk)
    assert [entry.name for entry in scheme.getdents(ROOT, Call())] == ["0", "0p0"]
    scheme.on_close(reader)
    assert disk.queued == []


def test_a_disk_rung_for_only_if_it_has_work(
    scheme: DiskScheme, disks: tuple[RamDisk, RamDisk]
) -> None:
    rung: list[int] = []
    for disk in disks:

        def ring(disk: RamDisk = disk) -> None:
            rung.append(disk.number)
            RamDisk.flush_queue(disk)

        disk.flush_queue = ring  # type: ignore[method-assign]
    scheme.end_batch()
    assert rung == []
    handle = opened(scheme, "1")
    calls = [Call() for _ in range(3)]
    for call in calls:
        scheme.read(handle, 4096, 0, 0, call)
    scheme.end_batch()
    scheme.end_batch()
    assert rung == [1]
    settle(scheme, *disks)
    assert [len(call.result) for call in calls] == [4096] * 3
