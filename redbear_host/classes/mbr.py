"""Master boot records and the chain of extended partitions.

Ref: Unified Extensible Firmware Interface Specification, release 2.10, section 5.2 (LBA 0 format).
The chain of extended boot records is in no specification; its layout is the one all partitioning
tools write: each record's first entry is a logical partition, relative to the record, the second
leads to the next record, relative to the start of the extended partition.

Addresses count logical blocks of whatever size the disk has.
"""

from __future__ import annotations

from typing import Final

from redbear_host.bits import Struct, at
from redbear_host.classes.table import Partition, Reads, Table
from redbear_host.errors import DeviceError

SIGNATURE: Final = 0xAA55
GPT_PROTECTIVE: Final = 0xEE
EXTENDED: Final = (0x05, 0x0F, 0x85)  # CHS, LBA, and the one Linux made for itself
MOST_LOGICAL: Final = 128


class PartitionRecord(Struct, size=16):
    """Legacy MBR Partition Record (5.2.1, table 5-2)."""

    BootIndicator: int = at(0, "B")  # 0x80 marks the partition to boot from, anything else is 0
    OSType: int = at(4, "B")  # 0 when unused
    StartingLBA: int = at(8, "I")
    SizeInLBA: int = at(12, "I")


class BootRecord(Struct, size=512):
    """Legacy MBR (5.2.1, table 5-1), and likewise an extended boot record."""

    PartitionRecord: bytes = at(446, "64s")
    Signature: int = at(510, "H")


def records(block: bytes) -> list[PartitionRecord] | None:
    """Return the four records of a boot record; None when `block` does not hold one.

    The signature alone says little, as boot sectors of file systems carry it too; code in the place
    of the table shows in the boot indicators.
    """
    boot = BootRecord.load(block)
    if boot.Signature != SIGNATURE:
        return None
    found = [PartitionRecord.load(boot.PartitionRecord, at) for at in range(0, 64, 16)]
    return found if all(record.BootIndicator in (0, 0x80) for record in found) else None


def is_used(record: PartitionRecord) -> bool:
    """Tell whether a record names blocks (5.2.1: OSType zero or no size means unused)."""
    return record.OSType != 0 and record.SizeInLBA != 0


def read_mbr(found: list[PartitionRecord], block_count: int) -> Reads[Table]:
    """List the partitions of a disk whose block 0 holds the records `found`.

    Primary partitions come first, in the order of their records, then logical ones in the order of
    the chain; the extended partition, a mere container, is left out.  A partition that ends past
    the disk is cut.  Partitions may overlap, as they do on purpose on hybrid CD images.
    """
    partitions: list[Partition] = []
    remarks: list[str] = []
    containers: list[tuple[int, int]] = []
    for index, record in enumerate(found):
        if not is_used(record):
            continue
        first, end = record.StartingLBA, min(record.StartingLBA + record.SizeInLBA, block_count)
        if first >= block_count:
            remarks.append(
                f"MBR record {index} starts at block {first} of a disk with {block_count}"
            )
        elif record.OSType in EXTENDED:
            containers.append((first, end))
        else:
            partitions.append(Partition(first, end - first, f"{record.OSType:#04x}"))
    left = MOST_LOGICAL
    for first, end in containers:
        logical = yield from _chain(first, end, left, remarks)
        left -= len(logical)
        partitions += logical
    return Table("mbr", tuple(partitions), tuple(remarks))


def _chain(start: int, end: int, most: int, remarks: list[str]) -> Reads[list[Partition]]:
    """Follow the boot records from block `start`; what was found before the chain breaks counts."""
    partitions: list[Partition] = []
    seen: set[int] = set()
    here: int | None = start
    while here is not None:
        # A record without a partition is legal, so the records must be bounded as well.
        if here in seen or len(seen) > MOST_LOGICAL or len(partitions) >= most:
            remarks.append(
                f"the extended partition at block {start} loops, or holds too many partitions: "
                f"stopped at block {here} after {len(partitions)}"
            )
            break
        seen.add(here)
        try:
            found = records((yield here, 1))
        except DeviceError as error:
            remarks.append(f"the extended boot record at block {here} is unreadable: {error}")
            break
        if found is None:
            remarks.append(f"there is no extended boot record at block {here}")
            break
        lba, here = here, None
        for record in found[:2]:
            if not is_used(record):
                continue
            if record.OSType in EXTENDED:
                here = start + record.StartingLBA
                if here >= end:
                    remarks.append(f"the boot record at block {lba} leads to block {here}: outside")
                    here = None
                continue
            first = lba + record.StartingLBA
            if first >= end:
                remarks.append(f"the boot record at block {lba} names block {first}: outside")
                continue
            blocks = min(record.SizeInLBA, end - first)
            partitions.append(Partition(first, blocks, f"{record.OSType:#04x}"))
    return partitions
