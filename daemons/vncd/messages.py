"""The messages of the Remote Framebuffer protocol, as bytes.

Ref: RFC 6143; for what came after it the community's description of the protocol
(github.com/rfbproto/rfbproto): extended desktop size, fence, continuous updates, cursor with alpha,
QEMU's extended keys.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from redbear_host.classes.screen import Area

VERSION: Final = b"RFB 003.008\n"
VERSIONS: Final = {b"RFB 003.007\n": 7, b"RFB 003.008\n": 8}  # all others are spoken to as 3.3
CHALLENGE_SIZE: Final = 16
TEXT_MOST: Final = 64  # bytes of a fence's payload


class Security(IntEnum):
    """How a viewer shows who he is."""

    INVALID = 0
    NONE = 1
    VNC = 2


class Say(IntEnum):
    """What a viewer says: the first byte of his messages."""

    SET_PIXEL_FORMAT = 0
    SET_ENCODINGS = 2
    UPDATE_REQUEST = 3
    KEY = 4
    POINTER = 5
    CUT_TEXT = 6
    CONTINUOUS_UPDATES = 150
    FENCE = 248
    SET_DESKTOP_SIZE = 251
    QEMU = 255


class Encoding(IntEnum):
    """How pixels travel, and what a viewer understands beyond them."""

    RAW = 0
    ZLIB = 6
    ZRLE = 16
    DESKTOP_SIZE = -223
    CURSOR = -239
    QEMU_KEYS = -258
    EXTENDED_DESKTOP_SIZE = -308
    FENCE = -312
    CONTINUOUS_UPDATES = -313
    ALPHA_CURSOR = -314


class Reason(IntEnum):
    """Who wanted another size: the x of an extended desktop size."""

    SERVER = 0
    THIS_CLIENT = 1
    OTHER_CLIENT = 2


class Outcome(IntEnum):
    """What became of a wish for another size: its y."""

    DONE = 0
    PROHIBITED = 1
    NO_RESOURCES = 2
    INVALID = 3


FENCE_REQUEST: Final = 1 << 31
FENCE_KNOWN: Final = 0b111  # block before, block after, sync next: we do all in order anyway

SECURITY_OK: Final = struct.pack(">I", 0)
END_OF_CONTINUOUS_UPDATES: Final = bytes((150,))

PIXEL_FORMAT: Final = struct.Struct(">3x16s")
ENCODINGS: Final = struct.Struct(">xH")
UPDATE_REQUEST: Final = struct.Struct(">BHHHH")
KEY: Final = struct.Struct(">B2xI")
POINTER: Final = struct.Struct(">BHH")
CUT_TEXT: Final = struct.Struct(">3xi")
CONTINUOUS_UPDATES: Final = struct.Struct(">BHHHH")
FENCE: Final = struct.Struct(">3xIB")
DESKTOP_SIZE: Final = struct.Struct(">xHHBx")
QEMU_KEY: Final = struct.Struct(">BHII")  # kind, pressed, key symbol, scancode
SCREEN: Final = struct.Struct(">IHHHHI")  # id, x, y, width, height, flags

_U32: Final = struct.Struct(">I")
_INIT: Final = struct.Struct(">HH16sI")
_UPDATE: Final = struct.Struct(">BxH")
_RECTANGLE: Final = struct.Struct(">HHHHi")
_COLOURS: Final = struct.Struct(">BxHH")


def text(what: str) -> bytes:
    """Return a text with its length before it."""
    data = what.encode()
    return _U32.pack(len(data)) + data


def failed(why: str) -> bytes:
    """Return a SecurityResult of RFB 3.8 that says why not."""
    return _U32.pack(1) + text(why)


def server_init(width: int, height: int, pixel_format: bytes, name: str) -> bytes:
    """Return ServerInit."""
    data = name.encode()
    return _INIT.pack(width, height, pixel_format, len(data)) + data


def update(rectangles: int) -> bytes:
    """Return the head of a FramebufferUpdate; its rectangles follow."""
    return _UPDATE.pack(0, rectangles)


def rectangle(area: Area, encoding: int) -> bytes:
    """Return the head of a rectangle; its data follow."""
    return _RECTANGLE.pack(*area, encoding)


def sized(data: bytes) -> bytes:
    """Return data as ZRLE and Zlib have it: its length first."""
    return _U32.pack(len(data)) + data


def extended_size(reason: Reason, outcome: Outcome, width: int, height: int) -> bytes:
    """Return the rectangle that tells a size: of one screen, which is the whole."""
    head = rectangle(Area(reason, outcome, width, height), Encoding.EXTENDED_DESKTOP_SIZE)
    return head + b"\x01\0\0\0" + SCREEN.pack(0, 0, 0, width, height, 0)


def fence(flags: int, payload: bytes) -> bytes:
    """Return a ServerFence."""
    return bytes((Say.FENCE, 0, 0, 0)) + _U32.pack(flags) + bytes((len(payload),)) + payload


def colours(entries: Sequence[tuple[int, int, int]]) -> bytes:
    """Return SetColourMapEntries, from index 0."""
    rows = b"".join(struct.pack(">HHH", *entry) for entry in entries)
    return _COLOURS.pack(1, 0, len(entries)) + rows
