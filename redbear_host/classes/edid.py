"""What a monitor says of itself, and which sizes follow from it.

Ref: VESA Enhanced EDID Standard, Release A, Revision 2 ("E-EDID"): 3.8 (established timings), 3.9
(standard timings), 3.10.2 (detailed timings); CTA-861-G, 7.5 (the extension's detailed timings).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from redbear_host.classes.screen import DisplayMode

BLOCK: Final = 128  # bytes
BLOCKS_MOST: Final = 8  # that we look at

# What most monitors can show (VESA Display Monitor Timing).
STANDARD: Final = tuple(
    DisplayMode(*size)
    for size in (
        (640, 480), (800, 600), (1024, 768), (1152, 864), (1280, 720), (1280, 800), (1280, 960),
        (1280, 1024), (1440, 900), (1600, 900), (1600, 1200), (1680, 1050), (1920, 1080),
        (1920, 1200), (2048, 1152), (2560, 1440), (2560, 1600), (3840, 2160),
    )
)  # fmt: skip

_HEADER: Final = b"\0\xff\xff\xff\xff\xff\xff\0"
_EXTENSIONS: Final = 126
_ESTABLISHED: Final = 35
_STANDARD: Final = 38
_DETAILED: Final = 54
_DETAILED_SIZE: Final = 18
_CTA: Final = 2  # tag of an extension

# Bits of bytes 35 and 36, the highest first: width, height, hertz (E-EDID 3.8).
_ESTABLISHED_TIMINGS: Final = (
    (720, 400, 70), (720, 400, 88), (640, 480, 60), (640, 480, 67),
    (640, 480, 72), (640, 480, 75), (800, 600, 56), (800, 600, 60),
    (800, 600, 72), (800, 600, 75), (832, 624, 75), (1024, 768, 87),
    (1024, 768, 60), (1024, 768, 70), (1024, 768, 75), (1280, 1024, 75),
)  # fmt: skip
_ASPECTS: Final = ((10, 16), (3, 4), (4, 5), (9, 16))  # height to width (E-EDID 3.9)


def read(byte: Callable[[int], int], room: int) -> bytes:
    """Read the blocks of a window of `room` bytes; nothing where there is no such thing.

    What a block's checksum does not hold for ends it.
    """
    found = b""
    blocks = 1
    while len(found) < min(blocks, BLOCKS_MOST) * BLOCK and len(found) + BLOCK <= room:
        block = bytes(byte(len(found) + index) for index in range(BLOCK))
        if not is_whole(block, first=not found):
            break
        found += block
        blocks = 1 + found[_EXTENSIONS]
    return found


def check(data: bytes) -> bytes:
    """Return as many blocks as hold together; nothing for what is no EDID."""
    return read(data.__getitem__, len(data))


def is_whole(block: bytes, *, first: bool) -> bool:
    """Tell whether a block's checksum holds, and its header if it is the first."""
    return sum(block) % 256 == 0 and (not first or block.startswith(_HEADER))


def modes(data: bytes) -> list[DisplayMode]:
    """Return the sizes in checked blocks; the first is what the monitor prefers."""
    found = list(_detailed(data[_DETAILED:_EXTENSIONS])) if data else []
    for start in range(BLOCK, len(data), BLOCK):
        block = data[start : start + BLOCK]
        if block[0] == _CTA and 4 <= block[2] < BLOCK:
            found += _detailed(block[block[2] : BLOCK - 1])
    if data:
        found += _standard(data[_STANDARD:_DETAILED])
        found += _established(data[_ESTABLISHED] << 8 | data[_ESTABLISHED + 1])
    return once(found)


def once(found: Iterable[DisplayMode]) -> list[DisplayMode]:
    """Keep the first of each size; of those, the very first is preferred."""
    sizes: dict[tuple[int, int], DisplayMode] = {}
    for mode in found:
        first = not sizes
        sizes.setdefault((mode.width, mode.height), mode._replace(preferred=first))
    return list(sizes.values())


def _detailed(data: bytes) -> Iterator[DisplayMode]:
    for at in range(0, len(data) - _DETAILED_SIZE + 1, _DETAILED_SIZE):
        it = data[at : at + _DETAILED_SIZE]
        clock = (it[0] | it[1] << 8) * 10_000  # hertz
        width, height = it[2] | (it[4] & 0xF0) << 4, it[5] | (it[7] & 0xF0) << 4
        if not clock or not width or not height:
            continue  # a descriptor of something else
        across = width + (it[3] | (it[4] & 0xF) << 8)
        down = height + (it[6] | (it[7] & 0xF) << 8)
        yield DisplayMode(width, height, clock * 1000 // (across * down))


def _standard(data: bytes) -> Iterator[DisplayMode]:
    for at in range(0, len(data), 2):
        if data[at] > 1:
            width = (data[at] + 31) * 8
            height, per = _ASPECTS[data[at + 1] >> 6]
            yield DisplayMode(width, width * height // per, (data[at + 1] % 64 + 60) * 1000)


def _established(bits: int) -> Iterator[DisplayMode]:
    for index, (width, height, hertz) in enumerate(_ESTABLISHED_TIMINGS):
        if bits & 0x8000 >> index:
            yield DisplayMode(width, height, hertz * 1000)
