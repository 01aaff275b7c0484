"""A monitor's description: which sizes follow from it, and what is believed."""

from __future__ import annotations

import random

import pytest

from redbear_host.classes import edid
from redbear_host.classes.screen import DisplayMode


def block(**parts: bytes) -> bytearray:
    """Make a first block; `parts` are put at their offsets, `at54` and so on."""
    made = bytearray(128)
    made[:8] = b"\0\xff\xff\xff\xff\xff\xff\0"
    made[38:54] = b"\x01\x01" * 8  # unused standard timings
    for where, data in parts.items():
        at = int(where.removeprefix("at"))
        made[at : at + len(data)] = data
    return sealed(made)


def sealed(made: bytearray) -> bytearray:
    made[127] = -sum(made[:127]) & 0xFF
    return made


# 1920 by 1080 at 60 Hz: 148.5 MHz, 280 columns and 45 rows blank (CTA-861, format 16).
FULL_HD = bytes.fromhex("023a801871382d40582c4500000000000000")


def test_a_detailed_timing_comes_first_and_is_preferred():
    found = edid.modes(bytes(block(at54=FULL_HD, at38=b"\x81\x80", at35=b"\x20\x08")))
    assert found == [
        DisplayMode(1920, 1080, 60000, True),
        DisplayMode(1280, 1024, 60000),  # 0x81: 1280; 5:4
        DisplayMode(640, 480, 60000),
        DisplayMode(1024, 768, 60000),
    ]


def test_extension_blocks_have_detailed_timings_too():
    more = bytearray(128)
    more[0], more[2] = 2, 10
    more[10:28] = FULL_HD
    data = bytes(block(at126=b"\x01")) + bytes(sealed(more))
    assert [mode[:2] for mode in edid.modes(edid.check(data))] == [(1920, 1080)]


@pytest.mark.parametrize("data", [b"", bytes(128), b"\xff" * 128, bytes(block())[:127]])
def test_what_is_no_description_says_nothing(data):
    assert edid.check(data) == b""
    assert edid.modes(edid.check(data)) == []


def test_a_block_with_a_wrong_checksum_ends_it():
    first = bytes(block(at126=b"\x02"))
    broken = bytes(sealed(bytearray(128)))[:-1] + b"\x07"
    assert edid.check(first + broken) == first
    wrong = bytearray(first)
    wrong[20] ^= 1
    assert edid.check(bytes(wrong)) == b""


def test_random_blocks_never_raise():
    chance = random.Random(3)
    for _ in range(500):
        made = bytearray(chance.randbytes(128))
        made[:8] = b"\0\xff\xff\xff\xff\xff\xff\0"
        for mode in edid.modes(bytes(sealed(made))):
            assert mode.width > 0
            assert mode.height > 0
