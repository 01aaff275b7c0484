"""The GPU device of virtio: its configuration, and what goes through its two queues.

Ref: OASIS, Virtual I/O Device (VIRTIO) Version 1.2, 5.7.  Lengths are in bytes, places and sizes
in pixels.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from redbear_host.bits import RO, WO, Bits, Block, SpecEnum, Struct, at, bits, ro, wo

VENDOR: Final = 0x1AF4
DEVICE: Final = 0x1050
SCANOUTS_MOST: Final = 16        # VIRTIO_GPU_MAX_SCANOUTS
EDID_MOST: Final = 1024

FEATURE_EDID: Final = 1          # VIRTIO_GPU_F_EDID (5.7.3)


class Queue(IntEnum):
    """Its queues (5.7.2)."""

    CONTROL = 0
    CURSOR = 1


class Events(Bits):
    """What has happened (5.7.4.1)."""

    DISPLAY: bool = bits(0)      # a display has another size, or is there, or has gone


class Count(Bits):
    """A number."""

    VALUE: int = bits(31, 0)


class Config(Block):
    """virtio_gpu_config (5.7.4)."""

    EVENTS_READ: RO[Events] = ro(0x0, Events)
    EVENTS_CLEAR: WO[Events] = wo(0x4, Events)
    NUM_SCANOUTS: RO[Count] = ro(0x8, Count)


class Type(SpecEnum):
    """virtio_gpu_ctrl_type: commands, and what is answered (5.7.6.7)."""

    GET_DISPLAY_INFO = 0x100
    RESOURCE_CREATE_2D = 0x101
    RESOURCE_UNREF = 0x102
    SET_SCANOUT = 0x103
    RESOURCE_FLUSH = 0x104
    TRANSFER_TO_HOST_2D = 0x105
    RESOURCE_ATTACH_BACKING = 0x106
    RESOURCE_DETACH_BACKING = 0x107
    GET_EDID = 0x10A
    UPDATE_CURSOR = 0x300
    MOVE_CURSOR = 0x301
    OK_NODATA = 0x1100
    OK_DISPLAY_INFO = 0x1101
    OK_EDID = 0x1104
    ERR_UNSPEC = 0x1200
    ERR_OUT_OF_MEMORY = 0x1201
    ERR_INVALID_SCANOUT_ID = 0x1202
    ERR_INVALID_RESOURCE_ID = 0x1203
    ERR_INVALID_CONTEXT_ID = 0x1204
    ERR_INVALID_PARAMETER = 0x1205


class Format(IntEnum):
    """virtio_gpu_formats, by the order of their bytes in memory (5.7.6.8)."""

    B8G8R8A8_UNORM = 1
    B8G8R8X8_UNORM = 2


class Header(Struct, size=24):
    """virtio_gpu_ctrl_hdr (5.7.6.7); a response begins with it as well."""

    type: int = at(0, "I")
    flags: int = at(4, "I")
    fence_id: int = at(8, "Q")
    ctx_id: int = at(16, "I")


class GetEdid(Struct, size=32):
    """virtio_gpu_get_edid."""

    type: int = at(0, "I")
    scanout: int = at(24, "I")


class ResourceCreate2d(Struct, size=40):
    """virtio_gpu_resource_create_2d."""

    type: int = at(0, "I")
    resource_id: int = at(24, "I")
    format: int = at(28, "I")
    width: int = at(32, "I")
    height: int = at(36, "I")


class ResourceUnref(Struct, size=32):
    """virtio_gpu_resource_unref; it lets go of its backing as well."""

    type: int = at(0, "I")
    resource_id: int = at(24, "I")


class AttachBacking(Struct, size=48):
    """virtio_gpu_resource_attach_backing, with one virtio_gpu_mem_entry."""

    type: int = at(0, "I")
    resource_id: int = at(24, "I")
    nr_entries: int = at(28, "I")
    addr: int = at(32, "Q")
    length: int = at(40, "I")


class SetScanout(Struct, size=48):
    """virtio_gpu_set_scanout; resource 0 switches it off."""

    type: int = at(0, "I")
    x: int = at(24, "I")
    y: int = at(28, "I")
    width: int = at(32, "I")
    height: int = at(36, "I")
    scanout_id: int = at(40, "I")
    resource_id: int = at(44, "I")


class ResourceFlush(Struct, size=48):
    """virtio_gpu_resource_flush."""

    type: int = at(0, "I")
    x: int = at(24, "I")
    y: int = at(28, "I")
    width: int = at(32, "I")
    height: int = at(36, "I")
    resource_id: int = at(40, "I")


class TransferToHost2d(Struct, size=56):
    """virtio_gpu_transfer_to_host_2d; `offset` of the first pixel in the backing."""

    type: int = at(0, "I")
    x: int = at(24, "I")
    y: int = at(28, "I")
    width: int = at(32, "I")
    height: int = at(36, "I")
    offset: int = at(40, "Q")
    resource_id: int = at(48, "I")


class UpdateCursor(Struct, size=56):
    """virtio_gpu_update_cursor, also of MOVE_CURSOR; resource 0 hides it."""

    type: int = at(0, "I")
    scanout_id: int = at(24, "I")
    x: int = at(28, "I")
    y: int = at(32, "I")
    resource_id: int = at(40, "I")
    hot_x: int = at(44, "I")
    hot_y: int = at(48, "I")


class DisplayOne(Struct, size=24):
    """virtio_gpu_display_one: where a display lies beside others, and its size."""

    x: int = at(0, "I")
    y: int = at(4, "I")
    width: int = at(8, "I")
    height: int = at(12, "I")
    enabled: int = at(16, "I")
    flags: int = at(20, "I")


class EdidHead(Struct, size=32):
    """The beginning of virtio_gpu_resp_edid; the blocks follow."""

    type: int = at(0, "I")
    length: int = at(24, "I")


DISPLAY_INFO_SIZE: Final = Header.size + SCANOUTS_MOST * DisplayOne.size
REQUEST_ROOM: Final = 128        # no request of ours is longer
