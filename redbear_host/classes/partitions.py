"""Which partition table a disk has: GPT, MBR or none.

Ref: Unified Extensible Firmware Interface Specification, release 2.10, sections 5.2.1 and 5.2.3.
"""

from __future__ import annotations

from typing import Final

from redbear_host.classes import gpt, mbr
from redbear_host.classes.table import Reads, Table
from redbear_host.errors import DeviceError, ProtocolError

__all__ = ["read_table"]

SMALLEST_BLOCK: Final = mbr.BootRecord.size


def read_table(block_size: int, block_count: int) -> Reads[Table]:
    """Find the partitions; never raises, whatever the disk holds: what is wrong becomes a remark.

    An MBR that uses a record and protects no GPT is what its tools see as well, so it counts, and
    an old GPT behind it does not.  The backup of a GPT is looked for only where the MBR says that
    there is a GPT: on a disk wiped at its start, partitions must not rise from the dead.
    """
    remarks: list[str] = []
    if block_size < SMALLEST_BLOCK or block_count < 1:
        return Table("", (), (f"{block_count} blocks of {block_size} bytes hold no table",))
    try:
        block = yield 0, 1
        found = mbr.records(block)
        used = [record for record in found or () if mbr.is_used(record)]
        protected = any(record.OSType == mbr.GPT_PROTECTIVE for record in used)
        if found is not None and used and not protected:
            return (yield from mbr.read_mbr(found, block_count))
        partitions = yield from gpt.read_gpt(
            block_size, block_count, use_backup=protected, remarks=remarks
        )
    except gpt.Missing:
        if not protected:
            return Table("")  # an empty disk, or one that is all file system
        return Table("", (), (*remarks, "the MBR protects a GPT, but there is none"))
    except (ProtocolError, DeviceError) as error:
        return Table("", (), (*remarks, str(error)))
    if not protected:
        remarks.append("the GPT has no protective MBR")
    return Table("gpt", partitions, tuple(remarks))
