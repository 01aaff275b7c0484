"""What a card says is read whole, also what is no flip; a pipe stands for the card."""

from __future__ import annotations

import os
import struct

import pytest

from orbital.drm import uapi
from orbital.drm.card import Card

VBLANK = 1  # DRM_EVENT_VBLANK


@pytest.fixture
def pipe():
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    card = Card.__new__(Card)  # without asking it who it is
    card.fd = reader
    yield card, writer
    os.close(reader)
    os.close(writer)


def event(user_data, kind=uapi.EVENT_FLIP_COMPLETE, length=32):
    return struct.pack("=IIQIIII", kind, length, user_data, 1, 2, 3, 4).ljust(length, b"\0")


def test_one_flip_is_told_by_what_was_said_with_it(pipe):
    card, writer = pipe
    os.write(writer, event(1 << 40 | 7))
    assert card.read_flips() == [1 << 40 | 7]
    assert card.read_flips() == []


def test_other_events_are_none(pipe):
    card, writer = pipe
    os.write(writer, event(3, VBLANK))
    assert card.read_flips() == []
    os.write(writer, event(3, VBLANK) + event(4) + event(5, VBLANK, 48) + event(6))
    assert card.read_flips() == [4, 6]


def test_of_many_none_is_lost(pipe):
    card, writer = pipe
    os.write(writer, b"".join(map(event, range(20))))
    assert card.read_flips() + card.read_flips() + card.read_flips() == list(range(20))


def test_what_is_cut_off_or_has_no_length_ends_the_reading(pipe):
    card, writer = pipe
    os.write(writer, event(1) + event(2)[:20])
    assert card.read_flips() == [1]
    os.write(writer, event(1) + bytes(32))
    assert card.read_flips() == [1]
