from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from fuzzing import rounds
from hypothesis import given
from hypothesis import strategies as st
from partition_tools import run, table_of

from redbear_host.classes.mbr import MOST_LOGICAL, BootRecord, PartitionRecord
from redbear_host.classes.table import Table

Record = tuple[int, int, int]  # type, first block, blocks


def boot(*records: Record, signature: int = 0xAA55) -> bytes:
    packed = b"".join(
        bytes(PartitionRecord(OSType=kind, StartingLBA=first, SizeInLBA=blocks))
        for kind, first, blocks in records
    )
    return bytes(BootRecord(PartitionRecord=packed, Signature=signature))


def disk(blocks: int, records: dict[int, bytes], size: int = 512) -> bytearray:
    image = bytearray(blocks * size)
    for block, record in records.items():
        image[block * size : block * size + 512] = record
    return image


def spans(table: Table) -> list[tuple[int, int]]:
    return [(one.first, one.blocks) for one in table.partitions]


def test_primary_and_logical_partitions_by_sfdisk_read_as_sfdisk_reads_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(32 << 20))
    script = "label: dos\n,2MiB,L\n,16MiB,E\n,1MiB,S\n,2MiB,L\n,3MiB,c\n,1MiB,L\n,4MiB,L\n"
    run("sfdisk", "-q", str(path), script=script)
    found = json.loads(run("sfdisk", "--json", str(path)))["partitiontable"]["partitions"]
    expected = [(one["start"], one["size"], int(one["type"], 16)) for one in found]
    assert len(expected) == 7
    table = table_of(path.read_bytes())
    assert (table.kind, table.remarks) == ("mbr", ())
    assert [(one.first, one.blocks, int(one.kind, 16)) for one in table.partitions] == [
        one for one in expected if one[2] != 5
    ]


def test_blocks_of_4096_bytes_are_what_the_table_counts(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(32 << 20))
    script = "o\nn\np\n1\n\n+2M\nn\ne\n2\n\n\nn\nl\n\n+3M\nn\nl\n\n+4M\nw\n"
    run("fdisk", "-b", "4096", str(path), script=script.replace("nn\nl\n", "nn\n"))
    lines = run("fdisk", "-b", "4096", "-l", "-o", "Start,Sectors,Id", str(path)).splitlines()
    rows = lines[next(n for n, line in enumerate(lines) if line.startswith("Start")) + 1 :]
    expected = [tuple(row.split()) for row in rows]
    assert len(expected) == 4
    table = table_of(path.read_bytes(), 4096)
    assert [(str(one.first), str(one.blocks), one.kind[2:]) for one in table.partitions] == [
        one for one in expected if one[2] != "5"
    ]


def test_a_disk_without_a_signature_has_no_table() -> None:
    assert table_of(disk(64, {0: boot((0x83, 8, 8), signature=0)})) == Table("")


def test_the_boot_sector_of_a_file_system_is_no_table() -> None:
    sector = bytearray(boot((0x83, 8, 8)))
    sector[446:510] = b"This is not a bootable disk.  Please insert a bootable floppy an"
    assert table_of(disk(64, {0: bytes(sector)})) == Table("")


def test_a_partition_that_ends_past_the_disk_is_cut() -> None:
    assert spans(table_of(disk(64, {0: boot((0x83, 32, 0xFFFFFFFF))}))) == [(32, 32)]


def test_a_partition_that_starts_past_the_disk_is_left_out_with_a_remark() -> None:
    table = table_of(disk(64, {0: boot((0x83, 64, 1), (0x83, 8, 8))}))
    assert spans(table) == [(8, 8)]
    assert table.remarks == ("MBR record 0 starts at block 64 of a disk with 64",)


def test_overlapping_partitions_as_on_hybrid_images_are_all_listed() -> None:
    table = table_of(disk(64, {0: boot((0x17, 0, 64), (0xEF, 4, 8))}))
    assert spans(table) == [(0, 64), (4, 8)]


def test_logical_partitions_come_after_all_primary_ones() -> None:
    image = disk(
        100,
        {
            0: boot((0x0F, 20, 60), (0x83, 2, 8)),
            20: boot((0x83, 1, 9), (0x05, 10, 30)),
            30: boot((0x82, 2, 8)),
        },
    )
    assert spans(table_of(image)) == [(2, 8), (21, 9), (32, 8)]


def test_a_boot_record_that_only_leads_on_is_legal() -> None:
    image = disk(
        100,
        {0: boot((0x85, 20, 60)), 20: boot((0, 0, 0), (0x05, 10, 30)), 30: boot((0x83, 1, 5))},
    )
    table = table_of(image)
    assert (spans(table), table.remarks) == ([(31, 5)], ())


@pytest.mark.parametrize("back", [0, 10])
def test_a_chain_that_loops_ends(back: int) -> None:
    image = disk(
        100,
        {
            0: boot((0x05, 20, 60)),
            20: boot((0x83, 1, 5), (0x05, 10, 30)),
            30: boot((0x83, 1, 5), (0x05, back, 30)),
        },
    )
    table = table_of(image)
    assert spans(table) == [(21, 5), (31, 5)]
    assert "loops" in table.remarks[0]


@pytest.mark.parametrize("used", [True, False])
def test_a_chain_ends_at_128_partitions_and_as_many_boot_records(used: bool) -> None:
    records = {0: boot((0x05, 1, 999))}
    for link in range(400):
        logical = (0x83, 1, 1) if used else (0, 0, 0)
        records[1 + 2 * link] = boot(logical, (0x05, 2 * link + 2, 2))
    table = table_of(disk(1000, records))
    assert len(table.partitions) == (MOST_LOGICAL if used else 0)
    assert "too many" in table.remarks[0]


def test_two_extended_partitions_share_the_bound() -> None:
    records = {0: boot((0x05, 1, 499), (0x0F, 500, 499))}
    for start in (1, 500):
        for link in range(100):
            after = ((0x05, 2 * link + 2, 2),) if link < 99 else ()
            records[start + 2 * link] = boot((0x83, 1, 1), *after)
    assert len(table_of(disk(1000, records)).partitions) == MOST_LOGICAL


def test_a_broken_chain_keeps_what_came_before_the_break() -> None:
    image = disk(100, {0: boot((0x05, 20, 60)), 20: boot((0x83, 1, 5), (0x05, 10, 30))})
    table = table_of(image)
    assert spans(table) == [(21, 5)]
    assert table.remarks == ("there is no extended boot record at block 30",)


def test_an_unreadable_boot_record_keeps_what_came_before_it() -> None:
    image = disk(100, {0: boot((0x05, 20, 60)), 20: boot((0x83, 1, 5), (0x05, 10, 30))})
    table = table_of(image, bad=(30,))
    assert spans(table) == [(21, 5)]
    assert "block 30 is unreadable" in table.remarks[0]


def test_logical_partitions_outside_their_container_are_left_out_or_cut() -> None:
    image = disk(
        100,
        {
            0: boot((0x05, 20, 30)),
            20: boot((0x83, 1, 99), (0x05, 10, 9)),
            30: boot((0x83, 20, 5), (0x05, 30, 9)),
        },
    )
    table = table_of(image)
    assert spans(table) == [(21, 29)]
    assert len(table.remarks) == 2


def test_an_unreadable_first_block_means_no_partitions_and_a_reason() -> None:
    table = table_of(disk(64, {0: boot((0x83, 8, 8))}), bad=(0,))
    assert (table.partitions, table.remarks) == ((), ("block 0 cannot be read",))


@pytest.mark.fuzz
def test_thousands_of_random_chains_end_and_stay_on_the_disk() -> None:
    rng = random.Random(21)
    kinds = (0, 0x05, 0x0F, 0x85, 0x83, 0x83, 0xEE)
    numbers = (0, 1, 2, 7, 20, 63, 64, 0x7FFFFFFF, 0xFFFFFFFF)
    blocks = (0, 1, 2, 3, 7, 8, 20, 21, 27, 40, 63)
    found = 0
    image = bytearray()
    for turn in range(rounds(10_000)):
        if turn % 20 == 0:
            records = {
                block: boot(
                    *(
                        (rng.choice(kinds), rng.choice(numbers), rng.choice(numbers))
                        for _ in range(rng.randint(1, 4))
                    ),
                    signature=0xAA55 if rng.random() < 0.95 else 0,
                )
                for block in blocks
            }
            image = disk(64, records)
        for _ in range(4):  # damage to one of the four records of a block, or to its signature
            at = rng.choice(blocks) * 512 + rng.randrange(446, 512)
            image[at] = rng.choice((0, 1, 5, 20, 0x0F, 0x80, 0x83, 0xEE, 0xFF, rng.randrange(256)))
        image[510:512] = b"\x55\xaa"
        table = table_of(image)
        found += len(table.partitions)
        for one in table.partitions:
            assert 0 <= one.first < one.first + one.blocks <= 64
    assert found > 1000


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 200)), max_size=4))
def test_every_primary_record_is_read_back_in_order(runs: list[tuple[int, int]]) -> None:
    image = disk(64, {0: boot(*((0x83, first, blocks) for first, blocks in runs))})
    assert spans(table_of(image)) == [(first, min(blocks, 64 - first)) for first, blocks in runs]
