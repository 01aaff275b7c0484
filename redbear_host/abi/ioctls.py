"""Linux's ioctls of block devices: their numbers, and what memory of the caller each one names.

Ref: Linux uapi headers linux/fs.h, scsi/sg.h, linux/hdreg.h, linux/nvme_ioctl.h; records are those
of 64-bit programs.  tests/unit compares numbers and sizes with the headers installed.

Most of these numbers are older than the convention that encodes a size, so a FUSE file gets their
argument as a bare address.  `LAYOUTS` says for each what lies there; `ranges` says what else a
filled-in record points at.  The shim's copier moves those bytes and no others.
"""

from __future__ import annotations

from enum import Enum
from struct import Struct
from typing import Final, NamedTuple

BLKROGET: Final = 0x125E
BLKRRPART: Final = 0x125F
BLKGETSIZE: Final = 0x1260
BLKFLSBUF: Final = 0x1261
BLKRAGET: Final = 0x1263
BLKSECTGET: Final = 0x1267
BLKSSZGET: Final = 0x1268
BLKDISCARD: Final = 0x1277
BLKIOMIN: Final = 0x1278
BLKIOOPT: Final = 0x1279
BLKALIGNOFF: Final = 0x127A
BLKPBSZGET: Final = 0x127B
BLKDISCARDZEROES: Final = 0x127C
BLKSECDISCARD: Final = 0x127D
BLKROTATIONAL: Final = 0x127E
BLKZEROOUT: Final = 0x127F
BLKBSZGET: Final = 0x8008_1270  # says 8 bytes, and is 4
BLKGETSIZE64: Final = 0x8008_1272

HDIO_GETGEO: Final = 0x0301
HDIO_GET_IDENTITY: Final = 0x030D

SG_SET_TIMEOUT: Final = 0x2201
SG_GET_TIMEOUT: Final = 0x2202
SG_EMULATED_HOST: Final = 0x2203
SG_GET_RESERVED_SIZE: Final = 0x2272
SG_SET_RESERVED_SIZE: Final = 0x2275
SG_GET_SG_TABLESIZE: Final = 0x227F
SG_GET_VERSION_NUM: Final = 0x2282
SG_IO: Final = 0x2285
SCSI_IOCTL_GET_IDLUN: Final = 0x5382
SCSI_IOCTL_GET_BUS_NUMBER: Final = 0x5386

NVME_IOCTL_ID: Final = 0x4E40
NVME_IOCTL_ADMIN_CMD: Final = 0xC048_4E41
NVME_IOCTL_IO_CMD: Final = 0xC048_4E43
NVME_IOCTL_ADMIN64_CMD: Final = 0xC050_4E47
NVME_IOCTL_IO64_CMD: Final = 0xC050_4E48

MOST_DATA: Final = 1 << 20  # bytes that one command may move
MOST_COMMAND: Final = 32  # bytes of a SCSI command

# struct sg_io_hdr: interface_id dxfer_direction cmd_len mx_sb_len iovec_count dxfer_len dxferp cmdp
# sbp timeout flags pack_id pad usr_ptr
SG_IN: Final = Struct("=iiBBHIQQQIIi4xQ")
# and behind it: status masked_status msg_status sb_len_wr host_status driver_status resid duration
# info
SG_OUT: Final = Struct("=BBBBHHiII")
SG_BYTES: Final = 88
SG_INTERFACE: Final = ord("S")
SG_NONE, SG_TO_DEV, SG_FROM_DEV, SG_TO_FROM_DEV = -1, -2, -3, -4
SG_FLAG_MMAP_IO: Final = 4

# struct nvme_passthru_cmd and _cmd64: opcode flags nsid cdw2 cdw3 metadata addr metadata_len
# data_len cdw10 … cdw15 timeout_ms, then the result: 4 bytes, or 4 of padding and 8
NVME_IN: Final = Struct("=BB2xIIIQQII6II")
NVME_BYTES: Final = 72
NVME64_BYTES: Final = 80
RANGE: Final = Struct("=QQ")  # BLKDISCARD, BLKZEROOUT: first byte, bytes
GEOMETRY: Final = Struct("=BBH4xQ")  # struct hd_geometry: heads sectors cylinders start


class Layout(NamedTuple):
    """What lies at an ioctl's argument: `size` bytes, of which a part goes back to the caller."""

    size: int  # bytes that are read
    out_at: int  # where what goes back begins
    out_size: int


def _in(size: int) -> Layout:
    return Layout(size, 0, 0)


def _out(size: int) -> Layout:
    return Layout(0, 0, size)


_SG: Final = Layout(SG_BYTES, SG_IN.size, SG_OUT.size)
_NVME: Final = Layout(NVME_BYTES, NVME_IN.size, 4)
_NVME64: Final = Layout(NVME64_BYTES, NVME64_BYTES - 8, 8)

LAYOUTS: Final[dict[int, Layout]] = {
    BLKROGET: _out(4),
    BLKGETSIZE: _out(8),
    BLKRAGET: _out(8),
    BLKSECTGET: _out(2),
    BLKSSZGET: _out(4),
    BLKDISCARD: _in(RANGE.size),
    BLKSECDISCARD: _in(RANGE.size),
    BLKZEROOUT: _in(RANGE.size),
    BLKIOMIN: _out(4),
    BLKIOOPT: _out(4),
    BLKALIGNOFF: _out(4),
    BLKPBSZGET: _out(4),
    BLKDISCARDZEROES: _out(4),
    BLKROTATIONAL: _out(2),
    HDIO_GETGEO: _out(GEOMETRY.size),
    HDIO_GET_IDENTITY: _out(512),
    SG_SET_TIMEOUT: _in(4),
    SG_EMULATED_HOST: _out(4),
    SG_GET_RESERVED_SIZE: _out(4),
    SG_SET_RESERVED_SIZE: _in(4),
    SG_GET_SG_TABLESIZE: _out(4),
    SG_GET_VERSION_NUM: _out(4),
    SG_IO: _SG,
    SCSI_IOCTL_GET_IDLUN: _out(8),
    SCSI_IOCTL_GET_BUS_NUMBER: _out(4),
    NVME_IOCTL_ADMIN_CMD: _NVME,
    NVME_IOCTL_IO_CMD: _NVME,
    NVME_IOCTL_ADMIN64_CMD: _NVME64,
    NVME_IOCTL_IO64_CMD: _NVME64,
}


class Way(Enum):
    """Which way a command's data goes."""

    NONE = 0
    OUT = 1  # from the caller to the device
    IN = 2
    BOTH = 3


class Ranges(NamedTuple):
    """What a record points at: addresses in the caller's memory, and bytes there."""

    way: Way = Way.NONE
    data: tuple[int, int] = (0, 0)
    command: tuple[int, int] = (0, 0)  # a SCSI command, only read
    sense: tuple[int, int] = (0, 0)  # sense data, only written


NOTHING: Final = Ranges()


def ranges(command: int, head: bytes) -> Ranges | None:
    """Return what the record `head` of ioctl `command` names; None for what nobody may ask.

    That is a scattered transfer, metadata, or more bytes than `MOST_DATA`.
    """
    if command == SG_IO:
        return _sg_ranges(head)
    if LAYOUTS.get(command) in (_NVME, _NVME64):
        return _nvme_ranges(head)
    return NOTHING


def _sg_ranges(head: bytes) -> Ranges | None:
    interface, direction, cdb_size, sense_size, scattered, size, data, cdb, sense, _, flags, *_ = (
        SG_IN.unpack_from(head)
    )
    if (
        interface != SG_INTERFACE
        or scattered
        or flags & SG_FLAG_MMAP_IO
        or not 0 < cdb_size <= MOST_COMMAND
        or size > MOST_DATA
    ):
        return None
    way = Way.NONE
    if size:
        if direction == SG_TO_DEV:
            way = Way.OUT
        elif direction == SG_FROM_DEV:
            way = Way.IN
        elif direction == SG_TO_FROM_DEV:
            way = Way.BOTH
        else:
            return None
    return Ranges(way, (data, size), (cdb, cdb_size), (sense, sense_size))


def _nvme_ranges(head: bytes) -> Ranges | None:
    opcode, _, _, _, _, metadata, data, metadata_size, size, *_ = NVME_IN.unpack_from(head)
    if metadata or metadata_size or size > MOST_DATA:
        return None
    if not size:
        return NOTHING
    # The two low bits of an opcode say which way its data goes (NVMe 2.0c, 3.1): none, to the
    # device, to the host, both.  Linux takes "none" with data for a read.
    way = (Way.IN, Way.OUT, Way.IN, Way.BOTH)[opcode & 3]
    return Ranges(way, (data, size))
