"""GUID partition tables.

Ref: Unified Extensible Firmware Interface Specification, release 2.10, section 5.3.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

from redbear_host.bits import Struct, at
from redbear_host.classes.table import Partition, Reads, guid
from redbear_host.errors import DeviceError, ProtocolError

SIGNATURE: Final = b"EFI PART"
REVISION_MAJOR: Final = 1
PRIMARY_LBA: Final = 1
MOST_ARRAY_BYTES: Final = 1 << 20  # sixty-four times what the specification asks for
UNUSED: Final = bytes(16)  # PartitionTypeGUID of an entry that is not used


class GptHeader(Struct, size=92):
    """GPT Header (5.3.2, table 5-5)."""

    Signature: bytes = at(0, "8s")
    Revision: int = at(8, "I")
    HeaderSize: int = at(12, "I")
    HeaderCRC32: int = at(16, "I")  # over HeaderSize bytes, this member taken as zero
    MyLBA: int = at(24, "Q")
    AlternateLBA: int = at(32, "Q")
    FirstUsableLBA: int = at(40, "Q")
    LastUsableLBA: int = at(48, "Q")  # the last itself
    DiskGUID: bytes = at(56, "16s")
    PartitionEntryLBA: int = at(72, "Q")
    NumberOfPartitionEntries: int = at(80, "I")
    SizeOfPartitionEntry: int = at(84, "I")  # 128 times a power of two
    PartitionEntryArrayCRC32: int = at(88, "I")


class GptEntry(Struct, size=128):
    """GPT Partition Entry (5.3.3, table 5-6)."""

    PartitionTypeGUID: bytes = at(0, "16s")
    UniquePartitionGUID: bytes = at(16, "16s")
    StartingLBA: int = at(32, "Q")
    EndingLBA: int = at(40, "Q")  # the last itself
    Attributes: int = at(48, "Q")
    PartitionName: bytes = at(56, "72s")  # UTF-16, ended by a zero unless it fills the member


class Missing(ProtocolError):
    """No block where a GPT header belongs carries its signature."""


def read_gpt(
    block_size: int, block_count: int, *, use_backup: bool, remarks: list[str]
) -> Reads[tuple[Partition, ...]]:
    """List the partitions in the order of their entries; unused entries are skipped.

    The primary table is taken if it passes every check of 5.3.2, else (`use_backup`) the first good
    one of the backup it points to and the one in the last block; each table that failed leaves a
    sentence in `remarks`.  Raises `Missing` where no block carries a signature, `ProtocolError`
    where none of the tables is sound.
    """
    last = block_count - 1
    places = [PRIMARY_LBA, last] if use_backup and last > PRIMARY_LBA else [PRIMARY_LBA]
    missing = True
    while places:
        lba = places.pop(0)
        if lba > last:
            break
        try:
            block = yield lba, 1
            header = GptHeader.load(block)
            if header.Signature != SIGNATURE:
                remarks.append(f"there is no GPT at block {lba}")
                continue
            missing = False
            if use_backup and lba == PRIMARY_LBA < header.AlternateLBA < last:
                # Even from a damaged header: what is found there has to prove itself as well.
                places.insert(0, header.AlternateLBA)
            _check_header(header, block, lba, block_count)
            return (yield from _read_array(header, block_size))
        except (ProtocolError, DeviceError) as error:
            missing = False
            remarks.append(f"the GPT at block {lba} is damaged: {error}")
    raise (Missing if missing else ProtocolError)("no block holds a sound GPT")


def _check_header(header: GptHeader, block: bytes, lba: int, block_count: int) -> None:
    if header.Revision >> 16 != REVISION_MAJOR:
        raise ProtocolError(f"revision {header.Revision:#010x} is not known")
    if not GptHeader.size <= header.HeaderSize <= len(block):
        raise ProtocolError(f"a header of {header.HeaderSize} bytes")
    crc = crc32(block[20 : header.HeaderSize], crc32(bytes(4), crc32(block[:16])))
    if crc != header.HeaderCRC32:
        raise ProtocolError(f"header checksum {crc:#010x}, not {header.HeaderCRC32:#010x}")
    if header.MyLBA != lba:
        raise ProtocolError(f"the header belongs to block {header.MyLBA}")
    first, last = header.FirstUsableLBA, header.LastUsableLBA
    if not PRIMARY_LBA < first <= last < block_count:
        raise ProtocolError(f"usable blocks {first} to {last} of a disk with {block_count}")
    size, number = header.SizeOfPartitionEntry, header.NumberOfPartitionEntries
    if size < GptEntry.size or size & size - 1:
        raise ProtocolError(f"partition entries of {size} bytes")
    if not 0 < size * number <= MOST_ARRAY_BYTES:
        raise ProtocolError(f"{number} partition entries of {size} bytes")
    start, end = header.PartitionEntryLBA, _array_end(header, len(block))
    if start <= PRIMARY_LBA or end > block_count or start <= lba < end:
        raise ProtocolError(f"partition entries in blocks {start} to {end - 1}")
    if start <= last and first < end:
        raise ProtocolError(f"partition entries in usable blocks, {start} to {end - 1}")


def _array_end(header: GptHeader, block_size: int) -> int:
    """Return the block after the last that holds partition entries."""
    size = header.SizeOfPartitionEntry * header.NumberOfPartitionEntries
    return header.PartitionEntryLBA + (size + block_size - 1) // block_size


def _read_array(header: GptHeader, block_size: int) -> Reads[tuple[Partition, ...]]:
    start, step = header.PartitionEntryLBA, header.SizeOfPartitionEntry
    array = yield start, _array_end(header, block_size) - start
    array = array[: step * header.NumberOfPartitionEntries]
    crc = crc32(array)
    if crc != header.PartitionEntryArrayCRC32:
        raise ProtocolError(
            f"entries' checksum {crc:#010x}, not {header.PartitionEntryArrayCRC32:#010x}"
        )
    partitions: list[Partition] = []
    for offset in range(0, len(array), step):
        if array[offset : offset + 16] == UNUSED:
            continue
        entry = GptEntry.load(array, offset)
        first, last = entry.StartingLBA, entry.EndingLBA
        if not header.FirstUsableLBA <= first <= last <= header.LastUsableLBA:
            raise ProtocolError(
                f"entry {offset // step} holds blocks {first} to {last}, usable are "
                f"{header.FirstUsableLBA} to {header.LastUsableLBA}"
            )
        name = entry.PartitionName.decode("utf-16-le", "replace").partition("\0")[0]
        kind = guid(entry.PartitionTypeGUID)
        partitions.append(Partition(first, last - first + 1, kind, name))
    end = 0
    for partition in sorted(partitions):
        if partition.first < end:
            raise ProtocolError(f"two entries hold block {partition.first}")
        end = partition.first + partition.blocks
    return tuple(partitions)
