from __future__ import annotations

import random
from pathlib import Path
from zlib import crc32

import pytest
from fuzzing import rounds
from hypothesis import given
from hypothesis import strategies as st
from partition_tools import run, table_of

from redbear_host.classes.gpt import GptEntry, GptHeader
from redbear_host.classes.mbr import BootRecord, PartitionRecord
from redbear_host.classes.table import Table, guid

LINUX = bytes.fromhex("af3dc60f838472478e793d69d8477de4")
ENTRIES = 16


def referee(image: Path, size: int) -> list[tuple[int, int, str, str]]:
    columns = "Start,Sectors,Type-UUID,Name"
    lines = run("fdisk", "-b", str(size), "-l", "-o", columns, str(image)).splitlines()
    rows = lines[next(n for n, line in enumerate(lines) if line.startswith("Start")) + 1 :]
    cells = [row.split(maxsplit=3) for row in rows if row[:1] in (" ", *"123456789")]
    return [(int(one[0]), int(one[1]), one[2], " ".join(one[3:])) for one in cells]


@pytest.fixture(scope="module")
def sgdisk_image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gpt") / "disk.img"
    path.write_bytes(bytes(16 << 20))
    made = ("-n1:2048:+1M", "-t1:ef00", "-c1:EFI", "-n4:0:+3M", "-c4:größer", "-n2:0:0", "-t2:8200")
    run("sgdisk", "-o", *made, str(path))
    assert referee(path, 512) == [tuple(one) for one in table_of(path.read_bytes()).partitions]
    return path.read_bytes()


@pytest.fixture
def by_sgdisk(sgdisk_image: bytes) -> bytearray:
    return bytearray(sgdisk_image)


def protective(blocks: int, size: int) -> bytes:
    record = PartitionRecord(OSType=0xEE, StartingLBA=1, SizeInLBA=min(blocks - 1, 0xFFFFFFFF))
    boot = BootRecord(PartitionRecord=bytes(record), Signature=0xAA55)
    return bytes(boot).ljust(size, b"\0")


def seal(header: GptHeader) -> bytes:
    header.HeaderCRC32 = 0
    header.HeaderCRC32 = crc32(bytes(header))
    return bytes(header)


def build(
    *entries: tuple[int, int], size: int = 512, blocks: int = 64, **change: int | bytes
) -> bytearray:
    """Make a small disk with a GPT; `change` sets members of both headers before the checksum."""
    array = b"".join(
        bytes(
            GptEntry(
                PartitionTypeGUID=LINUX,
                UniquePartitionGUID=bytes([number]) * 16,
                StartingLBA=first,
                EndingLBA=last,
                PartitionName=f"part {number}".encode("utf-16-le"),
            )
        )
        for number, (first, last) in enumerate(entries)
    ).ljust(ENTRIES * 128, b"\0")
    room = -(-len(array) // size)
    image = bytearray(blocks * size)
    image[:size] = protective(blocks, size)
    for mine, other, start in ((1, blocks - 1, 2), (blocks - 1, 1, blocks - 1 - room)):
        header = GptHeader(
            Signature=b"EFI PART",
            Revision=0x10000,
            HeaderSize=92,
            MyLBA=mine,
            AlternateLBA=other,
            FirstUsableLBA=2 + room,
            LastUsableLBA=blocks - 2 - room,
            PartitionEntryLBA=start,
            NumberOfPartitionEntries=ENTRIES,
            SizeOfPartitionEntry=128,
            PartitionEntryArrayCRC32=crc32(array),
        )
        for member, value in change.items():
            setattr(header, member, value)
        image[mine * size : mine * size + 92] = seal(header)
        image[start * size : start * size + len(array)] = array
    return image


def spans(table: Table) -> list[tuple[int, int]]:
    return [(one.first, one.blocks) for one in table.partitions]


def test_a_disk_by_sgdisk_reads_as_fdisk_reads_it_without_remarks(by_sgdisk: bytearray) -> None:
    table = table_of(by_sgdisk)
    assert table.kind == "gpt"
    assert table.remarks == ()
    assert [one.name for one in table.partitions] == ["EFI", "", "größer"]
    assert table.partitions[0].kind == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
    assert (table.partitions[0].first, table.partitions[0].blocks) == (2048, 2048)


def test_a_damaged_primary_header_falls_back_to_the_backup(by_sgdisk: bytearray) -> None:
    whole = table_of(by_sgdisk)
    by_sgdisk[512 + 40] ^= 1
    table = table_of(by_sgdisk)
    assert table.partitions == whole.partitions
    assert "block 1 is damaged: header checksum" in table.remarks[0]


def test_a_wiped_primary_header_falls_back_to_the_backup(by_sgdisk: bytearray) -> None:
    whole = table_of(by_sgdisk)
    by_sgdisk[512:1024] = bytes(512)
    assert table_of(by_sgdisk).partitions == whole.partitions


def test_a_damaged_primary_array_falls_back_to_the_backup(by_sgdisk: bytearray) -> None:
    whole = table_of(by_sgdisk)
    by_sgdisk[2 * 512 + 32] ^= 1
    table = table_of(by_sgdisk)
    assert table.partitions == whole.partitions
    assert "entries' checksum" in table.remarks[0]


def test_both_headers_damaged_are_refused_with_two_reasons(by_sgdisk: bytearray) -> None:
    by_sgdisk[512 + 40] ^= 1
    by_sgdisk[-512 + 40] ^= 1
    table = table_of(by_sgdisk)
    assert (table.kind, table.partitions) == ("", ())
    assert sum("header checksum" in remark for remark in table.remarks) == 2


def test_a_disk_that_was_enlarged_still_finds_the_backup_it_was_given(
    by_sgdisk: bytearray,
) -> None:
    whole = table_of(by_sgdisk)
    larger = by_sgdisk + bytes(1 << 20)
    larger[2 * 512] ^= 1
    assert table_of(larger).partitions == whole.partitions


def test_a_disk_that_was_cut_short_is_refused(by_sgdisk: bytearray) -> None:
    table = table_of(by_sgdisk[: 8 << 20])
    assert table.partitions == ()
    assert "usable blocks" in table.remarks[0]


def test_blocks_of_4096_bytes_read_as_fdisk_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(32 << 20))
    run("fdisk", "-b", "4096", str(path), script="g\nn\n\n\n+2M\nn\n\n\n+4M\nn\n\n\n\nw\n")
    image = bytearray(path.read_bytes())
    whole = table_of(image, 4096)
    assert [tuple(one) for one in whole.partitions] == referee(path, 4096)
    assert whole.remarks == ()
    image[4096] ^= 1
    assert table_of(image, 4096).partitions == whole.partitions
    assert table_of(image, 512).partitions == (), "it is no table for other blocks"


@pytest.mark.parametrize("size", [512, 4096])
def test_the_builder_of_these_tests_makes_sound_tables(tmp_path: Path, size: int) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(build((10, 19), (20, 20), size=size))
    assert referee(path, size) == [
        tuple(one) for one in table_of(path.read_bytes(), size).partitions
    ]


@pytest.mark.parametrize("bad", [(1,), (2,), (5,), (1, 2)])
def test_an_unreadable_primary_falls_back_to_the_backup(bad: tuple[int, ...]) -> None:
    table = table_of(build((10, 19)), bad=bad)
    assert spans(table) == [(10, 10)]
    assert "cannot be read" in table.remarks[0]


@pytest.mark.parametrize("bad", [(0,), (1, 63), (3, 60)])
def test_an_unreadable_disk_has_no_partitions_and_says_why(bad: tuple[int, ...]) -> None:
    table = table_of(build((10, 19)), bad=bad)
    assert (table.kind, table.partitions) == ("", ())
    assert "cannot be read" in table.remarks[0]


def test_a_backup_alone_is_not_believed_where_the_mbr_says_nothing_of_a_gpt() -> None:
    image = build((10, 19))
    image[:1024] = bytes(1024)
    assert table_of(image) == Table("")


def test_a_gpt_without_protective_mbr_counts_and_is_remarked_upon() -> None:
    image = build((10, 19))
    image[:512] = bytes(512)
    table = table_of(image)
    assert spans(table) == [(10, 10)]
    assert table.remarks == ("the GPT has no protective MBR",)


def test_an_mbr_that_uses_a_record_outranks_an_old_gpt() -> None:
    image = build((10, 19))
    record = bytes(PartitionRecord(OSType=0x83, StartingLBA=8, SizeInLBA=16))
    image[:512] = bytes(BootRecord(PartitionRecord=record, Signature=0xAA55))
    table = table_of(image)
    assert (table.kind, spans(table)) == ("mbr", [(8, 16)])


def test_a_protective_mbr_without_a_gpt_is_remarked_upon() -> None:
    image = bytearray(64 * 512)
    image[:512] = protective(64, 512)
    table = table_of(image)
    assert (table.kind, table.partitions) == ("", ())
    assert table.remarks[-1] == "the MBR protects a GPT, but there is none"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"Revision": 0x20000}, "revision"),
        ({"HeaderSize": 91}, "header of 91"),
        ({"HeaderSize": 513}, "header of 513"),
        ({"MyLBA": 5}, "belongs to block 5"),
        ({"FirstUsableLBA": 1}, "usable blocks 1"),
        ({"FirstUsableLBA": 59}, "usable blocks 59"),
        ({"LastUsableLBA": 64}, "usable blocks"),
        ({"LastUsableLBA": 1 << 63}, "usable blocks"),
        ({"SizeOfPartitionEntry": 64}, "entries of 64"),
        ({"SizeOfPartitionEntry": 192}, "entries of 192"),
        ({"SizeOfPartitionEntry": 0}, "entries of 0"),
        ({"NumberOfPartitionEntries": 0}, "0 partition entries"),
        ({"NumberOfPartitionEntries": 8193}, "8193 partition entries"),
        ({"NumberOfPartitionEntries": 0xFFFFFFFF}, "partition entries"),
        ({"PartitionEntryLBA": 0}, "entries in blocks 0"),
        ({"PartitionEntryLBA": 62}, "entries in blocks 62"),
        ({"PartitionEntryLBA": (1 << 64) - 1}, "entries in blocks"),
        ({"PartitionEntryLBA": 8}, "in usable blocks"),
        ({"PartitionEntryArrayCRC32": 1}, "entries' checksum"),
    ],
)
def test_a_sealed_header_with_nonsense_is_refused(change: dict[str, int], why: str) -> None:
    table = table_of(build((10, 19), **change))
    assert table.partitions == ()
    assert any(why in remark for remark in table.remarks), table.remarks


@pytest.mark.parametrize(
    "entries",
    [
        ((5, 9),),
        ((50, 60),),
        ((19, 10),),
        ((10, 1 << 63),),
        ((10, 19), (19, 20)),
        ((10, 30), (12, 13)),
    ],
)
def test_entries_outside_the_usable_blocks_or_overlapping_are_refused(
    entries: tuple[tuple[int, int], ...],
) -> None:
    table = table_of(build(*entries))
    assert (table.kind, table.partitions) == ("", ())
    assert len(table.remarks) == 3


def test_guids_are_spelt_as_the_specification_spells_them() -> None:
    assert guid(LINUX) == "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


@pytest.mark.parametrize("blocks", [0, 1, 2, 3])
def test_a_tiny_disk_has_no_partitions(blocks: int) -> None:
    assert table_of(protective(1, 512) * blocks).partitions == ()
    assert table_of(bytes(512 * blocks)).partitions == ()


def test_a_protected_disk_of_two_blocks_is_read_within_its_bounds() -> None:
    image = build((10, 19))
    assert table_of(image[:1024]).partitions == ()


@pytest.mark.fuzz
@pytest.mark.parametrize("size", [512, 4096])
def test_thousands_of_damaged_tables_neither_crash_nor_name_blocks_off_the_disk(
    size: int,
) -> None:
    rng = random.Random(20)
    sound = build((10, 19), (20, 20), (30, 40), size=size)
    blocks = len(sound) // size
    spots = [*range(446, 512), *range(size, size + 92), *range(2 * size, 2 * size + 512)]
    spots += [*range(len(sound) - size, len(sound) - size + 92)]
    accepted = refused = 0
    for _ in range(rounds(12_000) // 2):
        image = bytearray(sound)
        for _ in range(rng.randint(1, 4)):
            image[rng.choice(spots)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        if rng.random() < 0.8:  # let most of the nonsense pass the checksums
            for lba in (1, blocks - 1):
                header = GptHeader.load(image, lba * size)
                start = header.PartitionEntryLBA * size
                length = header.NumberOfPartitionEntries * header.SizeOfPartitionEntry
                if length < len(image):
                    array = bytes(image[start : start + length])
                    header.PartitionEntryArrayCRC32 = crc32(array)
                image[lba * size : lba * size + 92] = seal(header)
        table = table_of(image, size)
        for one in table.partitions:
            assert 0 <= one.first < one.first + one.blocks <= blocks
        if table.kind == "gpt":
            accepted += 1
        else:
            refused += 1
            assert table.kind == "mbr" or table.partitions == ()
    assert accepted > 300
    assert refused > 300


@given(st.binary(max_size=8192), st.sampled_from([512, 1024, 4096]))
def test_any_bytes_are_read_without_a_crash(garbage: bytes, size: int) -> None:
    blocks = len(garbage) // size
    for one in table_of(garbage, size).partitions:
        assert one.first + one.blocks <= blocks


@given(st.lists(st.tuples(st.integers(6, 57), st.integers(1, 12)), max_size=8))
def test_every_table_without_overlap_is_read_back(runs: list[tuple[int, int]]) -> None:
    entries: list[tuple[int, int]] = []
    end = 6
    for first, blocks in sorted(runs):
        if first >= end and first + blocks <= 58:
            entries.append((first, first + blocks - 1))
            end = first + blocks
    table = table_of(build(*reversed(entries)))
    assert spans(table) == [(first, last - first + 1) for first, last in reversed(entries)]
