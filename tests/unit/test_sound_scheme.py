"""The scheme `audiohw`, on ihdad's driver and the modelled card: what clients may do, and get."""

from __future__ import annotations

import random

import pytest
from asked import Asked, Posted, errno_of, opened
from ihdad_bench import PERIOD, Bench, sub_buffer

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.classes.sound import SoundScheme
from redbear_host.classes.soundcard import BUFFER, FRAMES
from redbear_host.models.hda import Fault, Misdeed
from redbear_host.scheme.scheme import POSITIONED, ROOT


class Rig(Bench):
    """A card and its scheme, and the events it has posted."""

    def __init__(self):
        super().__init__()
        self.start()
        self.scheme = SoundScheme("audiohw", self.card)
        self.posted = Posted(self.scheme)

    def open(self, flags=f.O_WRONLY, **caller):
        if not hasattr(self, "scheme"):
            return super().open()
        return opened(self.scheme, "", flags, **caller)

    def put(self, handle, data):
        return self.scheme.write(handle, memoryview(data), 0, 0, Asked())

    def put_errno(self, handle, data):
        return errno_of(self.scheme.write, handle, memoryview(data), 0, 0, Asked())

    def get(self, handle, size=1 << 20, offset=0):
        return bytes(self.scheme.read(handle, size, offset, 0, Asked()))

    def get_errno(self, handle, size=4096):
        return errno_of(self.scheme.read, handle, size, 0, 0, Asked())

    def dup(self, handle, name):
        return self.scheme.dup(handle, name.encode(), Asked()).handle

    def facts(self, handle, name):
        lines = self.get(self.dup(handle, name)).decode().splitlines()
        return {key: int(value) for key, value in map(str.split, lines)}


@pytest.fixture
def rig():
    return Rig()


def test_the_root_plays_and_everyone_but_root_only_looks(rig):
    handle = rig.open()
    assert rig.put(handle, sub_buffer(0)) == BUFFER
    assert errno_of(opened, rig.scheme, "", f.O_WRONLY, 1000) == e.EACCES
    looked = opened(rig.scheme, "", f.O_STAT, 1000)
    assert rig.scheme.fstat(looked).st_mode == 0x2000 | 0o600
    assert rig.put_errno(looked, sub_buffer(0)) == e.EBADF
    assert rig.scheme.fpath(handle) == "/scheme/audiohw"
    assert errno_of(opened, rig.scheme, "", f.O_DIRECTORY) == e.ENOTDIR


def test_the_path_is_ignored_as_on_redox(rig):
    handle = opened(rig.scheme, "whatever/0", f.O_WRONLY)
    assert rig.put(handle, sub_buffer(0)) == BUFFER


@pytest.mark.parametrize("size", [0, 1, 3, 2047, 2049, 4098])
def test_what_is_no_whole_frames_is_refused_and_nothing_of_it_is_heard(rig, size):
    handle = rig.open()
    assert rig.put_errno(handle, b"\1" * size) == e.EINVAL
    rig.pass_time(0.05)
    assert not any(rig.model.heard)


def test_a_fourth_sub_buffer_waits_and_an_event_says_when_there_is_room(rig):
    handle = rig.open()
    assert rig.put(handle, b"".join(map(sub_buffer, range(5)))) == 3 * BUFFER
    assert rig.put_errno(handle, sub_buffer(9)) == e.EWOULDBLOCK
    assert rig.scheme.fevent(handle, f.EVENT_WRITE) == 0
    assert rig.posted.take() == []
    rig.pass_time(1.1 * PERIOD)
    assert (handle, f.EVENT_WRITE) in rig.posted.take()
    assert rig.scheme.fevent(handle, f.EVENT_WRITE) == f.EVENT_WRITE
    assert rig.put(handle, sub_buffer(3)) == BUFFER


def test_odd_pieces_are_collected_into_whole_sub_buffers(rig):
    handle, dice = rig.open(), random.Random(5)
    data = b"".join(map(sub_buffer, range(40)))
    at = 0
    while at < len(data):
        piece = data[at : at + 4 * dice.randrange(1, 1500)]
        if rig.scheme.fevent(handle, f.EVENT_WRITE):
            at += rig.put(handle, piece)
        else:
            rig.pass_time(0.003)
    rig.pass_time(0.2)
    assert rig.heard_sound == list(range(40))


def test_what_one_writes_is_not_mixed_into_what_another_collects(rig):
    first, second = rig.open(), rig.open()
    rig.put(first, sub_buffer(7)[:1000])
    rig.put(second, sub_buffer(8))
    rig.put(first, sub_buffer(7)[1000:])
    rig.pass_time(0.1)
    assert rig.heard_sound == [8, 7]


def test_writers_take_turns(rig):
    first, second = rig.open(), rig.open()
    waiting = {first, second}
    rig.put(first, b"".join(map(sub_buffer, range(3))))
    wrote = []
    for _ in range(300):
        rig.pass_time(0.001)
        for handle, flags in rig.posted.take():
            if handle in waiting and flags & f.EVENT_WRITE and rig.card.room():
                rig.put(handle, sub_buffer(100))
                wrote.append(handle)
    assert len(wrote) > 20
    assert abs(wrote.count(first) - wrote.count(second)) <= 1


def test_fsync_fills_up_with_silence_and_waits_for_the_end(rig):
    handle = rig.open()
    rig.put(handle, sub_buffer(0) + sub_buffer(1)[:400])
    assert errno_of(rig.scheme.fsync, handle, Asked()) == e.EWOULDBLOCK
    rig.pass_time(0.1)
    assert (handle, f.EVENT_WRITE) in rig.posted.take()
    assert errno_of(rig.scheme.fsync, handle, Asked()) == 0
    assert bytes(rig.model.heard[BUFFER : 2 * BUFFER]) == sub_buffer(1)[:400].ljust(BUFFER, b"\0")
    assert rig.facts(handle, "stats")["underruns"] == 0


def test_who_holds_the_card_open_and_writes_nothing_is_not_waited_for(rig):
    holder, handle = rig.open(), rig.open()
    rig.put(handle, sub_buffer(0))
    rig.scheme.on_close(handle)
    rig.pass_time(0.1)
    assert rig.facts(holder, "stats")["underruns"] == 0
    rig.put(holder, sub_buffer(1))
    handle = rig.open()
    rig.put(handle, sub_buffer(2))
    rig.scheme.on_close(handle)  # the other is still expected
    rig.pass_time(0.1)
    assert rig.facts(holder, "stats")["underruns"] == 1


def test_close_does_not_wait_and_the_rest_is_heard(rig):
    handle = rig.open()
    rig.put(handle, b"".join(map(sub_buffer, range(3))) + sub_buffer(3)[:400])
    rig.scheme.on_close(handle)
    rig.pass_time(0.2)
    assert rig.heard_sound == [0, 1, 2]
    assert sub_buffer(3)[:400] in rig.model.heard
    other = rig.open()
    assert rig.facts(other, "stats")["underruns"] == 0
    assert rig.facts(other, "position") == {"written": 4 * FRAMES, "played": 4 * FRAMES}


def test_a_thousand_that_close_in_the_middle_of_a_sub_buffer_cost_no_memory(rig):
    for _ in range(1000):
        handle = rig.open()
        rig.put(handle, sub_buffer(1)[:400])
        rig.scheme.on_close(handle)
    assert rig.card.written <= 3 * FRAMES
    rig.pass_time(1.0)
    assert rig.card.written <= 70 * FRAMES
    assert rig.card.written == rig.card.played


def test_plain_programs_record_by_reading_and_redoxs_do_not(rig):
    handle = rig.open(f.O_RDONLY)
    assert rig.get_errno(handle) == e.EWOULDBLOCK
    rig.pass_time(0.1)
    assert (handle, f.EVENT_READ) in rig.posted.take()
    heard = rig.get(handle, 5000) + rig.get(handle)
    assert heard == bytes(it % 251 for it in range(len(heard)))
    assert len(heard) >= 8 * BUFFER
    assert rig.get_errno(handle, 3) == e.EINVAL
    rig.scheme.hold_to_redox(handle)
    assert rig.get_errno(handle) == e.EBADF
    assert rig.get_errno(rig.open(f.O_WRONLY)) == e.EBADF


def test_each_who_records_has_a_copy_and_only_then_is_recorded(rig):
    root = rig.open()
    one, two = rig.dup(root, "capture"), rig.dup(root, "capture")
    rig.pass_time(0.1)
    assert rig.model.recorded == 0
    assert rig.get_errno(one) == rig.get_errno(two) == e.EWOULDBLOCK
    rig.pass_time(0.1)
    assert rig.get(one) == rig.get(two)
    rig.pass_time(1.0)
    assert rig.facts(root, "stats")["overruns"] > 80 * FRAMES
    rig.scheme.on_close(one)
    rig.scheme.on_close(two)
    before = rig.model.recorded
    rig.pass_time(0.1)
    assert rig.model.recorded == before


def test_an_input_that_stands_still_is_an_error_and_what_is_played_goes_on(rig):
    handle = rig.dup(rig.open(), "capture")
    assert rig.get_errno(handle) == e.EWOULDBLOCK
    rig.model._transfer = lambda *_: None
    rig.pass_time(0.7)
    assert rig.get_errno(handle) == e.EIO
    assert rig.scheme.fevent(handle, f.EVENT_READ) == f.EVENT_READ
    assert rig.card.statistics()["DRIVER_RESETS"] == 0


def test_texts_are_positioned_and_fresh_at_their_start(rig):
    root = rig.open()
    assert rig.facts(root, "format") == {
        "rate": 44100, "channels": 2, "bits": 16, "buffer": 2048, "ahead": 3, "capture": 44100,
    }  # fmt: skip
    opened_text = rig.scheme.dup(root, b"position", Asked())
    assert opened_text.flags == POSITIONED
    before = rig.get(opened_text.handle)
    rig.put(root, sub_buffer(0))
    assert rig.get(opened_text.handle, 4, 3) == before[3:7]
    assert rig.get(opened_text.handle) == b"written 512\nplayed 0\n"
    assert rig.scheme.fpath(opened_text.handle) == "/scheme/audiohw/position"
    assert rig.put_errno(opened_text.handle, b"\0" * 4) == e.EBADF
    assert rig.get(rig.dup(root, "codecs")) == b"codec#0\n"
    assert b"Node 0x02 [Audio Output]" in rig.get(rig.dup(root, "codec#0"))


@pytest.mark.parametrize(
    "name",
    ["", "volume", "codec#", "codec#1", "codec#-1", "codec#999999999999", "\udc80", "codec#²"],
)
def test_other_names_are_not_there(rig, name):
    raw = name.encode("utf-8", "surrogateescape")
    assert errno_of(rig.scheme.dup, rig.open(), raw, Asked()) == e.ENOENT


def test_who_looks_at_the_jacks_hears_when_they_change(rig):
    jacks = rig.dup(rig.open(), "jacks")
    assert rig.get(jacks).startswith(b"0 0x03 Line Out")
    assert rig.scheme.fevent(jacks, f.EVENT_READ) == 0
    rig.card.on_jacks()
    assert (jacks, f.EVENT_READ) in rig.posted.take()
    assert rig.scheme.fevent(jacks, f.EVENT_READ) == f.EVENT_READ


def test_a_card_that_has_left_or_failed_says_so_and_wakes_who_waits(rig):
    handle = rig.open()
    rig.put(handle, b"".join(map(sub_buffer, range(3))))
    rig.model.faults.append(Fault(Misdeed.STALL, times=1 << 30))
    for _ in range(80):
        rig.pass_time(0.1)
        if rig.card.room():
            rig.put(handle, sub_buffer(0))
    assert rig.put_errno(handle, sub_buffer(0)) == e.EIO
    assert (handle, f.EVENT_WRITE) in rig.posted.take()
    assert errno_of(rig.scheme.fsync, handle, Asked()) == e.EIO
    rig.model.vanish()
    rig.card.leave()
    assert (handle, f.EVENT_WRITE) in rig.posted.take()
    assert rig.put_errno(handle, sub_buffer(0)) == e.ENODEV
    assert rig.scheme.fevent(handle, f.EVENT_WRITE) == f.EVENT_WRITE
    text = rig.dup(handle, "stats")
    assert b"DRIVER_RESETS" in rig.get(text)


def test_handles_that_are_not_there_are_refused(rig):
    for call in (rig.get_errno, lambda handle: rig.put_errno(handle, b"\0" * 4)):
        assert call(ROOT) == call(99) == e.EBADF
