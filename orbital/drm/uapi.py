"""Linux's DRM/KMS interface: numbers and structures, nothing else.

Ref: linux uapi drm/drm.h, drm/drm_mode.h, drm/drm_fourcc.h (6.1).  Names are theirs, of numbers
with the prefix DRM_ left out.  tests/unit/test_drm_uapi.py compares all of it with the headers.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from ctypes import c_char, c_int32, c_uint16, c_uint32, c_uint64
from typing import Final

_WRITE: Final = 1  # _IOC_WRITE, _IOC_READ of asm-generic/ioctl.h
_READ: Final = 2


class drm_version(ctypes.Structure):
    """Which driver it is; the texts go where the pointers lead."""

    _fields_ = [
        ("version_major", c_int32), ("version_minor", c_int32), ("version_patchlevel", c_int32),
        ("name_len", c_uint64), ("name", c_uint64), ("date_len", c_uint64), ("date", c_uint64),
        ("desc_len", c_uint64), ("desc", c_uint64),
    ]  # fmt: skip
    name_len: int
    name: int


class drm_get_cap(ctypes.Structure):
    """Question and answer of GET_CAP."""

    _fields_ = [("capability", c_uint64), ("value", c_uint64)]
    value: int


class drm_set_client_cap(ctypes.Structure):
    """What a client says it understands."""

    _fields_ = [("capability", c_uint64), ("value", c_uint64)]


class drm_gem_close(ctypes.Structure):
    """A handle to let go of."""

    _fields_ = [("handle", c_uint32), ("pad", c_uint32)]


class drm_prime_handle(ctypes.Structure):
    """A buffer's handle, and the dma-buf made of it."""

    _fields_ = [("handle", c_uint32), ("flags", c_uint32), ("fd", c_int32)]
    fd: int


class drm_mode_modeinfo(ctypes.Structure):
    """One timing: kHz, pixels, lines; `vrefresh` in hertz, rounded."""

    _fields_ = [
        ("clock", c_uint32),
        ("hdisplay", c_uint16), ("hsync_start", c_uint16), ("hsync_end", c_uint16),
        ("htotal", c_uint16), ("hskew", c_uint16),
        ("vdisplay", c_uint16), ("vsync_start", c_uint16), ("vsync_end", c_uint16),
        ("vtotal", c_uint16), ("vscan", c_uint16),
        ("vrefresh", c_uint32), ("flags", c_uint32), ("type", c_uint32), ("name", c_char * 32),
    ]  # fmt: skip
    clock: int
    hdisplay: int
    htotal: int
    vdisplay: int
    vtotal: int
    vrefresh: int
    type: int
    name: bytes


class drm_mode_card_res(ctypes.Structure):
    """The ids of what a card has; each list goes where its pointer leads."""

    _fields_ = [
        ("fb_id_ptr", c_uint64), ("crtc_id_ptr", c_uint64), ("connector_id_ptr", c_uint64),
        ("encoder_id_ptr", c_uint64),
        ("count_fbs", c_uint32), ("count_crtcs", c_uint32), ("count_connectors", c_uint32),
        ("count_encoders", c_uint32),
        ("min_width", c_uint32), ("max_width", c_uint32), ("min_height", c_uint32),
        ("max_height", c_uint32),
    ]  # fmt: skip
    count_fbs: int
    count_crtcs: int
    count_connectors: int
    min_width: int
    max_width: int
    min_height: int
    max_height: int


class drm_mode_crtc(ctypes.Structure):
    """A CRTC's frame buffer, mode and connectors: the answer of GETCRTC, the order of SETCRTC."""

    _fields_ = [
        ("set_connectors_ptr", c_uint64), ("count_connectors", c_uint32),
        ("crtc_id", c_uint32), ("fb_id", c_uint32), ("x", c_uint32), ("y", c_uint32),
        ("gamma_size", c_uint32), ("mode_valid", c_uint32), ("mode", drm_mode_modeinfo),
    ]  # fmt: skip
    set_connectors_ptr: int
    count_connectors: int
    crtc_id: int
    fb_id: int
    x: int
    y: int
    mode_valid: int
    mode: drm_mode_modeinfo


class drm_mode_get_encoder(ctypes.Structure):
    """An encoder; bit N of `possible_crtcs` is the card's CRTC N."""

    _fields_ = [
        ("encoder_id", c_uint32), ("encoder_type", c_uint32), ("crtc_id", c_uint32),
        ("possible_crtcs", c_uint32), ("possible_clones", c_uint32),
    ]  # fmt: skip
    possible_crtcs: int


class drm_mode_get_connector(ctypes.Structure):
    """A connector; asked with no room for modes, Linux looks at the plug first."""

    _fields_ = [
        ("encoders_ptr", c_uint64), ("modes_ptr", c_uint64), ("props_ptr", c_uint64),
        ("prop_values_ptr", c_uint64),
        ("count_modes", c_uint32), ("count_props", c_uint32), ("count_encoders", c_uint32),
        ("encoder_id", c_uint32), ("connector_id", c_uint32), ("connector_type", c_uint32),
        ("connector_type_id", c_uint32),
        ("connection", c_uint32), ("mm_width", c_uint32), ("mm_height", c_uint32),
        ("subpixel", c_uint32), ("pad", c_uint32),
    ]  # fmt: skip
    count_modes: int
    count_props: int
    count_encoders: int
    connector_type: int
    connector_type_id: int
    connection: int
    mm_width: int
    mm_height: int


class drm_mode_get_property(ctypes.Structure):
    """What a property is called and may be."""

    _fields_ = [
        ("values_ptr", c_uint64), ("enum_blob_ptr", c_uint64),
        ("prop_id", c_uint32), ("flags", c_uint32), ("name", c_char * 32),
        ("count_values", c_uint32), ("count_enum_blobs", c_uint32),
    ]  # fmt: skip
    flags: int
    name: bytes
    count_values: int


class drm_mode_obj_get_properties(ctypes.Structure):
    """The properties of one object and their values."""

    _fields_ = [
        ("props_ptr", c_uint64), ("prop_values_ptr", c_uint64),
        ("count_props", c_uint32), ("obj_id", c_uint32), ("obj_type", c_uint32),
    ]  # fmt: skip
    count_props: int


class drm_mode_get_blob(ctypes.Structure):
    """A property's value that is bytes."""

    _fields_ = [("blob_id", c_uint32), ("length", c_uint32), ("data", c_uint64)]
    length: int


class drm_mode_create_blob(ctypes.Structure):
    """Bytes that shall be a property's value, and the id they get."""

    _fields_ = [("data", c_uint64), ("length", c_uint32), ("blob_id", c_uint32)]
    blob_id: int


class drm_mode_destroy_blob(ctypes.Structure):
    """A blob to let go of."""

    _fields_ = [("blob_id", c_uint32)]


class drm_mode_fb_cmd2(ctypes.Structure):
    """A frame buffer made of up to four buffers."""

    _fields_ = [
        ("fb_id", c_uint32), ("width", c_uint32), ("height", c_uint32),
        ("pixel_format", c_uint32), ("flags", c_uint32),
        ("handles", c_uint32 * 4), ("pitches", c_uint32 * 4), ("offsets", c_uint32 * 4),
        ("modifier", c_uint64 * 4),
    ]  # fmt: skip
    fb_id: int
    handles: ctypes.Array[c_uint32]
    pitches: ctypes.Array[c_uint32]


class drm_mode_crtc_page_flip(ctypes.Structure):
    """Another frame buffer at the next vertical blank."""

    _fields_ = [
        ("crtc_id", c_uint32), ("fb_id", c_uint32), ("flags", c_uint32), ("reserved", c_uint32),
        ("user_data", c_uint64),
    ]  # fmt: skip


class drm_clip_rect(ctypes.Structure):
    """A rectangle of a frame buffer; `x2` and `y2` are not in it."""

    _fields_ = [("x1", c_uint16), ("y1", c_uint16), ("x2", c_uint16), ("y2", c_uint16)]


class drm_mode_rect(ctypes.Structure):
    """The same, as FB_DAMAGE_CLIPS wants it."""

    _fields_ = [("x1", c_int32), ("y1", c_int32), ("x2", c_int32), ("y2", c_int32)]


class drm_mode_fb_dirty_cmd(ctypes.Structure):
    """Where a frame buffer has changed."""

    _fields_ = [
        ("fb_id", c_uint32), ("flags", c_uint32), ("color", c_uint32), ("num_clips", c_uint32),
        ("clips_ptr", c_uint64),
    ]  # fmt: skip
    fb_id: int
    num_clips: int
    clips_ptr: int


class drm_mode_create_dumb(ctypes.Structure):
    """Memory that can be scanned out and drawn on by a processor."""

    _fields_ = [
        ("height", c_uint32), ("width", c_uint32), ("bpp", c_uint32), ("flags", c_uint32),
        ("handle", c_uint32), ("pitch", c_uint32), ("size", c_uint64),
    ]  # fmt: skip
    handle: int
    pitch: int
    size: int


class drm_mode_map_dumb(ctypes.Structure):
    """Where to map it from."""

    _fields_ = [("handle", c_uint32), ("pad", c_uint32), ("offset", c_uint64)]
    offset: int


class drm_mode_destroy_dumb(ctypes.Structure):
    """A handle of such memory to let go of."""

    _fields_ = [("handle", c_uint32)]


class drm_mode_get_plane_res(ctypes.Structure):
    """The ids of all planes."""

    _fields_ = [("plane_id_ptr", c_uint64), ("count_planes", c_uint32)]
    count_planes: int


class drm_mode_get_plane(ctypes.Structure):
    """A plane: which CRTCs it can be on, which formats it shows."""

    _fields_ = [
        ("plane_id", c_uint32), ("crtc_id", c_uint32), ("fb_id", c_uint32),
        ("possible_crtcs", c_uint32), ("gamma_size", c_uint32), ("count_format_types", c_uint32),
        ("format_type_ptr", c_uint64),
    ]  # fmt: skip
    possible_crtcs: int
    count_format_types: int


class drm_mode_cursor2(ctypes.Structure):
    """The cursor's image or place, or both."""

    _fields_ = [
        ("flags", c_uint32), ("crtc_id", c_uint32), ("x", c_int32), ("y", c_int32),
        ("width", c_uint32), ("height", c_uint32), ("handle", c_uint32),
        ("hot_x", c_int32), ("hot_y", c_int32),
    ]  # fmt: skip
    x: int
    y: int


class drm_mode_atomic(ctypes.Structure):
    """Many properties at once."""

    _fields_ = [
        ("flags", c_uint32), ("count_objs", c_uint32),
        ("objs_ptr", c_uint64), ("count_props_ptr", c_uint64), ("props_ptr", c_uint64),
        ("prop_values_ptr", c_uint64), ("reserved", c_uint64), ("user_data", c_uint64),
    ]  # fmt: skip


class drm_event(ctypes.Structure):
    """The head of what is read from a card."""

    _fields_ = [("type", c_uint32), ("length", c_uint32)]
    type: int
    length: int


class drm_event_vblank(ctypes.Structure):
    """A picture is on the screen, or a vertical blank has come."""

    _fields_ = [
        ("base", drm_event), ("user_data", c_uint64), ("tv_sec", c_uint32), ("tv_usec", c_uint32),
        ("sequence", c_uint32), ("crtc_id", c_uint32),
    ]  # fmt: skip
    base: drm_event
    user_data: int
    tv_sec: int
    tv_usec: int
    sequence: int
    crtc_id: int


def _ioc(direction: int, number: int, kind: type[ctypes.Structure] | type[c_uint32] | None) -> int:
    size = 0 if kind is None else ctypes.sizeof(kind)
    return direction << 30 | size << 16 | ord("d") << 8 | number


IOCTL_VERSION: Final = _ioc(_READ | _WRITE, 0x00, drm_version)
IOCTL_GET_CAP: Final = _ioc(_READ | _WRITE, 0x0C, drm_get_cap)
IOCTL_SET_CLIENT_CAP: Final = _ioc(_WRITE, 0x0D, drm_set_client_cap)
IOCTL_PRIME_HANDLE_TO_FD: Final = _ioc(_READ | _WRITE, 0x2D, drm_prime_handle)
IOCTL_MODE_GETRESOURCES: Final = _ioc(_READ | _WRITE, 0xA0, drm_mode_card_res)
IOCTL_MODE_SETCRTC: Final = _ioc(_READ | _WRITE, 0xA2, drm_mode_crtc)
IOCTL_MODE_GETENCODER: Final = _ioc(_READ | _WRITE, 0xA6, drm_mode_get_encoder)
IOCTL_MODE_GETCONNECTOR: Final = _ioc(_READ | _WRITE, 0xA7, drm_mode_get_connector)
IOCTL_MODE_GETPROPERTY: Final = _ioc(_READ | _WRITE, 0xAA, drm_mode_get_property)
IOCTL_MODE_GETPROPBLOB: Final = _ioc(_READ | _WRITE, 0xAC, drm_mode_get_blob)
IOCTL_MODE_RMFB: Final = _ioc(_READ | _WRITE, 0xAF, c_uint32)
IOCTL_MODE_PAGE_FLIP: Final = _ioc(_READ | _WRITE, 0xB0, drm_mode_crtc_page_flip)
IOCTL_MODE_DIRTYFB: Final = _ioc(_READ | _WRITE, 0xB1, drm_mode_fb_dirty_cmd)
IOCTL_MODE_CREATE_DUMB: Final = _ioc(_READ | _WRITE, 0xB2, drm_mode_create_dumb)
IOCTL_MODE_MAP_DUMB: Final = _ioc(_READ | _WRITE, 0xB3, drm_mode_map_dumb)
IOCTL_MODE_DESTROY_DUMB: Final = _ioc(_READ | _WRITE, 0xB4, drm_mode_destroy_dumb)
IOCTL_MODE_GETPLANERESOURCES: Final = _ioc(_READ | _WRITE, 0xB5, drm_mode_get_plane_res)
IOCTL_MODE_GETPLANE: Final = _ioc(_READ | _WRITE, 0xB6, drm_mode_get_plane)
IOCTL_MODE_ADDFB2: Final = _ioc(_READ | _WRITE, 0xB8, drm_mode_fb_cmd2)
IOCTL_MODE_OBJ_GETPROPERTIES: Final = _ioc(_READ | _WRITE, 0xB9, drm_mode_obj_get_properties)
IOCTL_MODE_CURSOR2: Final = _ioc(_READ | _WRITE, 0xBB, drm_mode_cursor2)
IOCTL_MODE_ATOMIC: Final = _ioc(_READ | _WRITE, 0xBC, drm_mode_atomic)
IOCTL_MODE_CREATEPROPBLOB: Final = _ioc(_READ | _WRITE, 0xBD, drm_mode_create_blob)
IOCTL_MODE_DESTROYPROPBLOB: Final = _ioc(_READ | _WRITE, 0xBE, drm_mode_destroy_blob)

CAP_PRIME: Final = 0x5
CAP_CURSOR_WIDTH: Final = 0x8
CAP_CURSOR_HEIGHT: Final = 0x9
PRIME_CAP_EXPORT: Final = 0x2

CLIENT_CAP_UNIVERSAL_PLANES: Final = 2
CLIENT_CAP_ATOMIC: Final = 3
CLIENT_CAP_CURSOR_PLANE_HOTSPOT: Final = 6

MODE_TYPE_PREFERRED: Final = 1 << 3
MODE_OBJECT_CRTC: Final = 0xCCCC_CCCC
MODE_OBJECT_CONNECTOR: Final = 0xC0C0_C0C0
MODE_OBJECT_PLANE: Final = 0xEEEE_EEEE
MODE_PROP_RANGE: Final = 1 << 1
MODE_PROP_IMMUTABLE: Final = 1 << 2
MODE_PAGE_FLIP_EVENT: Final = 0x01
MODE_ATOMIC_TEST_ONLY: Final = 0x0100
MODE_ATOMIC_NONBLOCK: Final = 0x0200
MODE_ATOMIC_ALLOW_MODESET: Final = 0x0400
MODE_CURSOR_BO: Final = 0x01
MODE_CURSOR_MOVE: Final = 0x02

EVENT_FLIP_COMPLETE: Final = 0x02

FORMAT_XRGB8888: Final = int.from_bytes(b"XR24", "little")  # words 0xXXRRGGBB, little endian
FORMAT_ARGB8888: Final = int.from_bytes(b"AR24", "little")  # the same with alpha, premultiplied


_ioctl: Final = fcntl.ioctl


def call(fd: int, request: int, argument: ctypes.Structure | c_uint32 | int, to: str) -> int:
    """Do one ioctl; `OSError` has its errno and says what it was good for.

    One that a signal has interrupted is done again, as DRM's calls are made to be.
    """
    while True:
        try:
            return _ioctl(fd, request, argument)
        except InterruptedError:
            continue
        except OSError as error:
            number = error.errno or 0
            raise OSError(number, f"cannot {to}: {os.strerror(number)}") from error
