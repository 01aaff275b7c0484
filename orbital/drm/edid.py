"""What a monitor says of itself.

Ref: VESA E-EDID 1.4, section 3: 128 bytes, of which four blocks of 18 at 54 hold timings or texts.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_HEADER: Final = bytes((0, 255, 255, 255, 255, 255, 255, 0))
_BLOCK: Final = 128
_DESCRIPTORS: Final = range(54, 126, 18)
_NAME: Final = 0xFC  # tag of a descriptor: the product's name
_SERIAL: Final = 0xFF


class Monitor(NamedTuple):
    """Who made it and what it is called; empty where it does not say."""

    maker: str  # three letters
    product: int
    name: str
    serial: str


def read(data: bytes) -> Monitor | None:
    """Read the first block; None for what is no EDID, or has a wrong sum."""
    block = data[:_BLOCK]
    if len(block) < _BLOCK or block[:8] != _HEADER or sum(block) & 0xFF:
        return None
    letters = int.from_bytes(block[8:10], "big")  # three of five bits, 1 is A
    maker = "".join(chr(ord("@") + (letters >> shift & 31)) for shift in (10, 5, 0))
    texts = {_NAME: "", _SERIAL: ""}
    for place in _DESCRIPTORS:
        head, tag = block[place : place + 3], block[place + 3]
        if head == bytes(3) and tag in texts:
            text = block[place + 5 : place + 18].split(b"\n", 1)[0]
            texts[tag] = text.decode("cp437").strip()
    return Monitor(maker, int.from_bytes(block[10:12], "little"), texts[_NAME], texts[_SERIAL])
