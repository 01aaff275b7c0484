"""What the partition table parsers share: what they ask for and what they find.

A parser is a generator.  It yields `(block, count)` for the blocks it wants to see, always inside
the disk, and is sent exactly that many bytes; where the disk could not read them, `DeviceError` is
thrown in instead.  So the same parser runs on bytes in a test and on a disk that answers later.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple, TypeAlias, TypeVar, cast

from redbear_host.errors import DeviceError

T = TypeVar("T")
Reads: TypeAlias = Generator[tuple[int, int], bytes, T]


class Partition(NamedTuple):
    """A run of blocks; never empty, never past the end of its disk."""

    first: int
    blocks: int
    kind: str  # GPT: the type GUID; MBR: the OSType byte as "0x83"
    name: str = ""  # GPT only


class Table(NamedTuple):
    """What is on a disk; partition M of a scheme is `partitions[M]`."""

    kind: str  # "gpt", "mbr", or "" when there is no table to be trusted
    partitions: tuple[Partition, ...] = ()
    remarks: tuple[str, ...] = ()  # what a log should say about it: sentences


def guid(raw: bytes) -> str:
    """Spell a GUID as UEFI does: three little-endian fields, then bytes (UEFI 2.10, appendix A)."""
    fields = (raw[3::-1], raw[5:3:-1], raw[7:5:-1], raw[8:10], raw[10:16])
    return "-".join(field.hex() for field in fields).upper()


def solve(reads: Reads[T], read: Callable[[int, int], bytes]) -> T:
    """Run a parser over a disk that answers at once: `read(block, count)` or `DeviceError`."""
    try:
        block, count = next(reads)
        while True:
            try:
                found = read(block, count)
            except DeviceError as error:
                block, count = reads.throw(error)
            else:
                block, count = reads.send(found)
    except StopIteration as end:
        return cast("T", end.value)
