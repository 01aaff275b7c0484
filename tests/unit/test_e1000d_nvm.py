"""e1000d's reading of the card's memory, and of the manifest that names the cards."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.e1000d.nvm import checksum_holds, hardware_address
from daemons.e1000d.part import PARTS
from redbear_host.errors import Stuck
from redbear_host.manifest import installed, named

# The first words of an 82540EM's EEPROM; the last is what makes all 64 add up to BABAh.
WORDS = [0x0E00, 0x690C, 0x3321, 0x0D20, 0xFFFF, 0xFFFF, 0x0000, 0x0000, *[0] * 55]
WORDS.append((0xBABA - sum(WORDS)) & 0xFFFF)


def test_the_address_is_the_first_three_words_low_byte_first() -> None:
    assert hardware_address(WORDS.__getitem__, "card") == bytes.fromhex("000e0c692133")
    assert checksum_holds(WORDS)


@given(st.integers(0, 63), st.integers(1, 0xFFFF))
def test_one_wrong_word_shows(index: int, change: int) -> None:
    words = list(WORDS)
    words[index] ^= change
    assert not checksum_holds(words)


@given(st.binary(min_size=128, max_size=128))
def test_whatever_is_in_the_memory_an_address_is_a_cards_or_there_is_none(raw: bytes) -> None:
    words = struct.unpack("<64H", raw)
    mac = hardware_address(words.__getitem__, "card")
    assert mac is None or (mac == raw[:6] and not mac[0] & 1 and any(mac))


def test_a_memory_that_does_not_answer_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    def read(word: int) -> int:
        raise Stuck(f"word {word} does not come")

    assert hardware_address(read, "the card") is None
    assert "the card: its EEPROM cannot be read: word 0 does not come" in caplog.text


def test_the_manifest_names_the_cards_the_driver_knows() -> None:
    match = named("e1000d", installed()).match
    assert match is not None
    assert match.ids == {(0x8086, device) for device in PARTS}
