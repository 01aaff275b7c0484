"""audiod's arithmetic: formats, queues and the sum, bit by bit."""

from __future__ import annotations

import errno
import os
import struct

import numpy as np
import pytest
from asked import errno_of

from daemons.audiod import store as st
from daemons.audiod.format import Format, to_frames
from daemons.audiod.mixer import Mixer
from daemons.audiod.player import Player
from daemons.audiod.store import QUEUE, SLOTS, Store
from daemons.audiod.stream import Stream, factor
from redbear_host.abi import errno as e
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Caller

RATE = 44100
ME = Caller(1, 1000, 1000)


def stream(store, slot=0, spelling="44100", *, full=True, number=None):
    made = Stream(number or slot + 1, Format.parse(spelling), ME)
    made.attach(store, slot, RATE)
    made.filling = not full
    return made


def noise(count, seed=1):
    return np.random.default_rng(seed).integers(-32768, 32768, (count, 2), np.int16)


def put(one, frames):
    return one.write(memoryview(frames.astype("<i2").tobytes()))


def mixed(*streams, volume=100, block=512):
    raw, _ = Mixer(block).mix(streams, volume)
    return np.frombuffer(raw, "<i2").reshape(-1, 2)


def test_one_stream_at_full_volume_is_itself_and_silence_follows():
    one, frames = stream(Store.fresh()), noise(300)
    put(one, frames)
    found = mixed(one)
    assert np.array_equal(found[:300], frames)
    assert not found[300:].any()
    assert one.level == 300  # it counts as played when the card has it


def test_volume_is_cubed_and_cut_towards_zero_as_redox_does():
    one, frames = stream(Store.fresh()), noise(512)
    put(one, frames)
    wanted = np.trunc(frames.astype(np.float32) * np.float32(0.125)).astype(np.int16)
    assert np.array_equal(mixed(one, volume=50), wanted)
    one.volume = 50
    assert np.array_equal(mixed(one), wanted)
    assert not mixed(one, volume=0).any()
    assert (factor(100), factor(50), factor(0)) == (1.0, 0.125, 0.0)


def test_what_is_too_loud_together_is_clipped_and_does_not_wrap():
    store = Store.fresh()
    loud = [stream(store, slot) for slot in range(3)]
    for one in loud:
        put(one, np.tile(np.array([30000, -30000], np.int16), (512, 1)))
    mixer = Mixer(512)
    raw, parts = mixer.mix(loud, 100)
    assert set(struct.unpack("<1024h", raw)) == {32767, -32768}
    assert mixer.clipped == 1
    assert parts == [(one, 512) for one in loud]


def test_streams_that_cancel_out_are_not_clipped_on_the_way():
    store = Store.fresh()
    three = [stream(store, slot) for slot in range(3)]
    for one, value in zip(three, (30000, 30000, -30000), strict=True):
        put(one, np.full((512, 2), value, np.int16))
    assert (mixed(*three) == 30000).all()


def test_a_queue_takes_what_there_is_room_for_and_no_more():
    one = stream(Store.fresh())
    frames = noise(QUEUE + 100)
    assert put(one, frames) == QUEUE * 4
    assert put(one, frames) == 0
    one.take(512, 512)
    assert put(one, frames[QUEUE:]) == 100 * 4
    assert one.level == QUEUE - 412


def test_any_way_to_cut_bytes_leaves_the_frames_as_they_are():
    random = np.random.default_rng(5)
    one, frames = stream(Store.fresh()), noise(3000)
    left = memoryview(frames.tobytes())
    while left:
        left = left[one.write(left[: int(random.integers(1, 23))]) :]
    found = np.concatenate(one.peek(QUEUE))
    assert np.array_equal(found, frames)


def test_a_ring_goes_round_without_a_seam():
    one, frames = stream(Store.fresh()), noise(5 * QUEUE + 77)
    left, heard = memoryview(frames.tobytes()), []
    while left or one.level:
        left = left[one.write(left[:7001]) :]
        heard.append(mixed(one)[: min(512, one.level)])
        one.take(min(512, one.level), 512)
    assert np.array_equal(np.concatenate(heard), frames)


def test_a_successor_finds_what_was_queued_the_cut_frame_and_the_volume():
    store, frames = Store.fresh(), noise(1000)
    one = stream(store, 7, number=99)
    one.write(memoryview(frames.tobytes()[:3999]))
    one.volume = 30
    one.take(100, 100)
    assert list(store.taken()) == [7]
    again = stream(store, 7, number=99)
    assert (again.level, again.volume) == (899, 30)
    assert again.write(memoryview(frames.tobytes()[3999:])) == 1
    assert np.array_equal(np.concatenate(again.peek(QUEUE)), frames[100:])
    again.detach()
    assert list(store.taken()) == []


def test_indexes_that_cannot_be_make_an_empty_queue():
    store = Store.fresh()
    one = stream(store, 3)
    put(one, noise(10))
    store.words(3)[2] = 10**15
    assert stream(store, 3).level == 0


def test_all_slots_can_be_used_and_are_apart():
    store = Store.fresh()
    for slot in range(SLOTS):
        assert store.free() == slot
        put(stream(store, slot), np.full((2, 2), slot + 1, np.int16))
    assert store.free() is None
    assert all((store.ring(slot)[:2] == slot + 1).all() for slot in range(SLOTS))


@pytest.mark.parametrize(
    ("spelling", "meant"),
    [
        ("48000", "48000-s16-2"),
        ("48000,1", "48000-s16-1"),
        ("96000-s24", "96000-s24-2"),
        ("8000-u8-1", "8000-u8-1"),
        ("192000-f32-8", "192000-f32-8"),
    ],
)
def test_formats_have_short_names(spelling, meant):
    assert str(Format.parse(spelling)) == meant
    assert Format.parse(meant) == Format.parse(spelling)


@pytest.mark.parametrize(
    "spelling",
    ["", "x", "3999", "384001", "44100,0", "44100,9", "44100-s8", "44100-s16-0", "44100,2-s16",
     "٤٤١٠٠", "44100-s16-2 ", "-44100", "44100-s16-", "9" * 99],
)  # fmt: skip
def test_what_is_no_format_is_refused(spelling):
    with pytest.raises(ValueError, match=r"format|within|there is"):
        Format.parse(spelling)


@pytest.mark.parametrize(
    ("kind", "data", "wanted"),
    [
        ("u8", bytes([0, 128, 255, 192]), [-32768, 0, 32512, 16384]),
        ("s16", struct.pack("<4h", -32768, 0, 32767, 5), [-32768, 0, 32767, 5]),
        ("s24", b"\x00\x00\x80" b"\x00\x00\x00" b"\xff\xff\x7f" b"\x00\x01\x00",
         [-32768, 0, 32767, 1]),
        ("s32", struct.pack("<4i", -(2**31), 0, 2**31 - 1, 65536), [-32768, 0, 32767, 1]),
        ("f32", struct.pack("<4f", -1, float("nan"), float("inf"), 0.5), [-32768, 0, 32767, 16384]),
    ],
)  # fmt: skip
def test_each_kind_of_sample_becomes_16_bits(kind, data, wanted):
    found = Format(44100, kind, 2).frames(data)
    assert found.reshape(-1).tolist() == wanted


def test_one_channel_is_heard_on_both_sides_and_six_are_folded_without_clipping():
    assert Format(44100, "s16", 1).frames(struct.pack("<2h", 3, -4)).tolist() == [[3, 3], [-4, -4]]
    full = struct.pack("<6h", *[32767] * 6)
    assert Format(44100, "s16", 6).frames(full).tolist() == [[32767, 32767]]
    left = struct.pack("<6h", 32767, 0, 0, 0, 0, 0)
    ((on_left, on_right),) = Format(44100, "s16", 6).frames(left)
    assert on_left > 8000
    assert on_right == 0


def heard_now(one):
    count = min(512, one.level)
    frames = mixed(one)[:count]
    one.take(count, count)
    return frames


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 96000])
def test_another_rate_comes_out_as_long_and_as_loud_as_it_went_in(rate):
    seconds, hertz = 0.5, 1000
    one = stream(Store.fresh(), spelling=f"{rate}-f32-1")
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    left, heard = memoryview(wave.astype("<f4").tobytes()), []
    while left:
        left = left[one.write(left[:3333]) :]
        assert one.level <= QUEUE + 4096
        heard.append(heard_now(one))
    end = one.finish()
    while one.level:
        heard.append(heard_now(one))
    assert one.head == end
    found = np.concatenate(heard)
    assert abs(len(found) - seconds * RATE) <= 2
    middle = found[2000:-2000, 0] / 32768
    wanted = 0.5 * np.sin(2 * np.pi * hertz * np.arange(2000, len(found) - 2000) / RATE)
    assert np.abs(middle - wanted).max() < 0.002


def test_what_is_resampled_is_taken_in_small_parts():
    one = stream(Store.fresh(), spelling="384000-f32-8")
    taken = one.write(memoryview(bytes(1 << 20)))
    assert taken == 2048 * 384_000 // 44_100 * 32


def test_one_user_has_so_much_mixed_and_no_more():
    player = Player(Loop(), Store.fresh(), 50, lambda pid: (pid, "x"))
    for spelling, most in (("44100", 64), ("48000", 64), ("48000-s16-8", 16), ("384000-f32-8", 2)):
        opened = [player.open(Format.parse(spelling), Caller(1, 1000, 0), 0) for _ in range(65)]
        taken = [one for one in opened if not errno_of(player.write, one, memoryview(b"x"), 1)]
        assert len(taken) == most
        assert errno_of(player.write, opened[-1], memoryview(b"x"), 1) == e.EMFILE
        other = player.open(Format.parse(spelling), Caller(2, 1001, 0), 0)
        assert player.write(other, memoryview(b"x"), 2) == 1
        for one in (*taken, other):
            player.close(one)
        assert not player.streams


class Refusing:
    """A connection to a card that refuses whatever is to be played."""

    name, is_open = "audiohw", True

    def __init__(self):
        self.writes = 0

    def perform(self, call, done):
        self.writes += 1
        done(OSError(errno.EIO, os.strerror(errno.EIO)))


def test_a_card_that_refuses_for_long_is_asked_again_and_does_not_fill_the_log(caplog):
    wire = Refusing()
    loop = Loop()
    player = Player(loop, Store.fresh(), 50, lambda pid: (pid, "x"))
    player._wire = wire
    player._on_open(wire, 1, b"")
    one = player.open(Format(), ME, 0)
    player.write(one, memoryview(bytes(4 * QUEUE)), 1)
    for _ in range(3):
        player._retry(wire)
    assert wire.writes == 4
    assert caplog.text.count("audiohw") == 1
    player._on_taken(wire, [], 0)
    assert caplog.text.count("audiohw") == 2, "it has played in between"


class Slow:
    """A connection to a card that takes a block when it is told to."""

    name, is_open = "audiohw", True

    def __init__(self):
        self.hand = []

    def perform(self, call, done):
        self.hand.append(done)

    def take(self):
        self.hand.pop(0)(0)


def test_a_stream_that_ran_dry_may_be_closed_while_the_card_has_a_block():
    wire, store = Slow(), Store.fresh()
    player = Player(Loop(), store, 50, lambda pid: (pid, "x"))
    player._wire = wire
    player._on_open(wire, 1, b"")
    one = player.open(Format(), ME, 0)
    player.write(one, memoryview(bytes(4 * 2048)), 1)  # whole blocks: enough to begin at once
    for _ in range(4):
        wire.take()
    assert one.level == 0
    assert wire.hand, "it is due again, and has nothing"
    player.close(one)
    other = player.open(Format(), ME, 0)
    player.write(other, memoryview(bytes(4 * 100)), 1)
    assert other.slot == 0, "it has the slot of the one that is closed"
    wire.take()
    assert list(player.streams) == [other.number]
    assert store.words(0)[st.HEAD] == 0
    assert (other.head, other.level) == (0, 100)


def test_rounding_is_to_the_nearest_and_stays_within_16_bits():
    floats = np.array([[1.0, -1.0], [0.6 / 32768, -0.6 / 32768]], np.float32)
    assert to_frames(floats).tolist() == [[32767, -32768], [1, -1]]
