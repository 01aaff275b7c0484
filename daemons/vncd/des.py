"""The block cipher of VNC authentication, and nothing else: DES, one block, encryption only.

Ref: FIPS PUB 46-3.  56 bits of key have not kept a secret since 1998; RFC 6143 §7.2.2 wants them
all the same.  A challenge is two blocks, so speed is no matter and the tables are used as printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

BLOCK: Final = 8  # bytes, of a key as well

_INITIAL: Final = [first - 8 * i for first in (58, 60, 62, 64, 57, 59, 61, 63) for i in range(8)]
_FINAL: Final = [_INITIAL.index(place) + 1 for place in range(1, 65)]
_EXPAND: Final = [(4 * row + i - 1) % 32 + 1 for row in range(8) for i in range(6)]
_PERMUTE: Final = (
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10,
    2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
)  # fmt: skip
_CHOICE_1: Final = (
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3,
    60, 52, 44, 36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37,
    29, 21, 13, 5, 28, 20, 12, 4,
)  # fmt: skip
_CHOICE_2: Final = (
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
    41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
)  # fmt: skip
_SHIFTS: Final = (1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1)
_SUBSTITUTE: Final = tuple(
    bytes.fromhex("".join(f"0{digit}" for digit in box))
    for box in (
        "e4d12fb83a6c59070f74e2d1a6cb953841e8d62bfc973a50fc8249175b3ea06d",
        "f18e6b34972dc05a3d47f28ec01a69b50e7ba4d158c6932fd8a13f42b67c05e9",
        "a09e63f51dc7b428d709346a285ecbf1d6498f30b12c5ae71ad069874fe3b52c",
        "7de3069a1285bc4fd8b56f03472c1ae9a690cb7df13e52843f06a1d8945bc72e",
        "2c417ab6853fd0e9eb2c47d150fa3986421bad78f9c5630eb8c71e2d6f09a453",
        "c1af92680d34e75baf427c9561de0b389ef528c3704a1db6432c95fabe17608d",
        "4b2ef08d3c975a61d0b7491ae35c2f8614bdc37eaf6805926bd814a7950fe23c",
        "d2846fb1a93e50c71fd8a374c56b0e927b419ce206adf35821e74a8dfc90356b",
    )
)  # each as the table is printed: four rows of sixteen


def encrypt(key: bytes, block: bytes) -> bytes:
    """Encrypt one block of 8 bytes with a key of 8, whose lowest bits (parity) do not count."""
    bits = _pick(_bits(block), _INITIAL)
    left, right = bits[:32], bits[32:]
    for round_key in _schedule(key):
        left, right = right, [a ^ b for a, b in zip(left, _mix(right, round_key), strict=True)]
    text = "".join(map(str, _pick(right + left, _FINAL)))
    return int(text, 2).to_bytes(BLOCK, "big")


def _schedule(key: bytes) -> list[list[int]]:
    halves = _pick(_bits(key), _CHOICE_1)
    left, right = halves[:28], halves[28:]
    keys = []
    for shift in _SHIFTS:
        left, right = left[shift:] + left[:shift], right[shift:] + right[:shift]
        keys.append(_pick(left + right, _CHOICE_2))
    return keys


def _mix(half: Sequence[int], key: Sequence[int]) -> list[int]:
    mixed = [a ^ b for a, b in zip(_pick(half, _EXPAND), key, strict=True)]
    found: list[int] = []
    for number, box in enumerate(_SUBSTITUTE):
        a, b, c, d, e, f = mixed[6 * number : 6 * number + 6]
        value = box[32 * a + 16 * f + 8 * b + 4 * c + 2 * d + e]
        found += (value >> 3, value >> 2 & 1, value >> 1 & 1, value & 1)
    return _pick(found, _PERMUTE)


def _bits(data: bytes) -> list[int]:
    return [byte >> place & 1 for byte in data for place in range(7, -1, -1)]


def _pick(bits: Sequence[int], places: Sequence[int]) -> list[int]:
    """Return the bits at `places`, which are counted from 1 as in the standard."""
    return [bits[place - 1] for place in places]
