"""The scheme of a network card: names, frames, what waits and what is refused."""

from __future__ import annotations

import random

import pytest
from asked import Asked, errno_of, opened
from network_rig import MAC, Rig, frame

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.classes import frames as fr
from redbear_host.classes.network import NetworkScheme
from redbear_host.classes.readers import FRAMES_MOST
from redbear_host.scheme.scheme import POSITIONED, ROOT

FUZZED = 200_000


@pytest.fixture
def rig():
    made = Rig()
    yield made
    made.close()


def read(rig, handle, size=65536, offset=0):
    return bytes(rig.scheme.read(handle, size, offset, 0, Asked()))


def write(rig, handle, data, offset=0):
    return rig.scheme.write(handle, memoryview(data), offset, 0, Asked())


def read_errno(rig, handle, size=65536):
    return errno_of(rig.scheme.read, handle, size, 0, 0, Asked())


def write_errno(rig, handle, data, offset=0):
    return errno_of(rig.scheme.write, handle, memoryview(data), offset, 0, Asked())


def call(rig, handle, payload, *metadata):
    return rig.scheme.call(handle, memoryview(payload), (*metadata, 0, 0)[:3], Asked())


def batch(*frames):
    return bytearray(fr.table(len(frames)).pack(*map(len, frames)) + b"".join(frames))


# -- names -----------------------------------------------------------------------------------------


def test_a_scheme_of_a_card_is_named_network(rig):
    with pytest.raises(ValueError, match=r"starts with network\."):
        NetworkScheme("net.card", rig.card, rig.loop)


def test_only_root_may_look(rig):
    for path in ("", "data", "mac", "absent"):
        assert errno_of(rig.scheme.openat, ROOT, path, f.O_STAT, 0, Asked(uid=1000)) == e.EACCES


def test_the_directory_lists_its_files_and_each_has_a_number_of_its_own(rig):
    folder = opened(rig.scheme, "", f.O_DIRECTORY)
    entries = rig.scheme.getdents(folder, Asked())
    assert [entry.name for entry in entries] == ["data", "mac", "link", "stats", "joins", "monitor"]
    for entry in entries:
        found = rig.scheme.fstat(opened(rig.scheme, entry.name, f.O_STAT))
        assert found.st_ino == entry.inode
    assert rig.scheme.fpath(opened(rig.scheme, "data", f.O_RDWR)) == "/scheme/network.test/data"


def test_an_empty_path_is_the_card_itself_as_on_redox(rig):
    handle = opened(rig.scheme, "", f.O_RDWR)
    rig.card.come(frame(1))
    assert read(rig, handle) == frame(1)


@pytest.mark.parametrize(
    ("path", "flags", "error"),
    [
        ("absent", f.O_RDONLY, e.EINVAL),  # as on Redox
        ("absent", f.O_STAT, e.ENOENT),  # as Linux's lookups need it
        ("data", f.O_DIRECTORY, e.ENOTDIR),
        ("data/x", f.O_RDONLY, e.EINVAL),
        ("link", f.O_RDWR, e.EACCES),
        ("monitor", f.O_RDWR, e.EACCES),
        ("", f.O_WRONLY | f.O_DIRECTORY, e.EISDIR),
        ("mac", f.O_RDONLY | f.O_CREAT | f.O_EXCL, e.EEXIST),
    ],
)
def test_what_cannot_be_opened(rig, path, flags, error):
    assert errno_of(rig.scheme.openat, ROOT, path, flags, 0, Asked()) == error


def test_handles_do_what_they_were_opened_for(rig):
    reader, writer = opened(rig.scheme, "data", f.O_RDONLY), opened(rig.scheme, "data", f.O_WRONLY)
    folder = opened(rig.scheme, "", f.O_DIRECTORY)
    assert write_errno(rig, reader, frame(1)) == e.EBADF
    assert read_errno(rig, writer) == e.EBADF
    assert read_errno(rig, folder) == e.EISDIR
    assert errno_of(rig.scheme.getdents, reader, Asked()) == e.ENOTDIR
    assert errno_of(rig.scheme.openat, reader, "mac", f.O_RDONLY, 0, Asked()) == e.ENOTDIR
    rig.scheme.on_close(reader)
    assert read_errno(rig, reader) == e.EBADF


# -- one frame at a time ---------------------------------------------------------------------------


def test_one_read_is_one_frame_and_what_does_not_fit_is_lost(rig):
    handle = opened(rig.scheme, "data", f.O_RDWR)
    assert read_errno(rig, handle) == e.EWOULDBLOCK
    rig.card.come(frame(1), frame(2, 1514), frame(3))
    assert rig.posted.take() == [(handle, f.EVENT_READ)]
    assert read(rig, handle) == frame(1)
    assert read(rig, handle, 100) == frame(2, 1514)[:100]
    assert read(rig, handle) == frame(3)
    assert read_errno(rig, handle) == e.EWOULDBLOCK


def test_one_write_is_one_frame_and_a_round_rings_one_doorbell(rig):
    handle = opened(rig.scheme, "data", f.O_RDWR)
    for number in range(5):
        assert write(rig, handle, frame(number)) == 60
    assert rig.card.wire == []
    rig.turn()
    assert rig.card.wire == [frame(number) for number in range(5)]
    assert rig.card.doorbells == 1


def test_what_is_no_frame_is_refused(rig):
    handle = opened(rig.scheme, "data", f.O_RDWR)
    assert write_errno(rig, handle, b"") == e.EINVAL
    assert write_errno(rig, handle, bytes(13)) == e.EINVAL
    assert write(rig, handle, bytes(14)) == 14
    assert write(rig, handle, bytes(1514)) == 1514
    assert write_errno(rig, handle, bytes(1515)) == e.EMSGSIZE


def test_a_full_ring_parks_the_writer_until_there_is_room(rig):
    handle = opened(rig.scheme, "data", f.O_RDWR)
    for number in range(rig.card.depth):
        write(rig, handle, frame(number))
    assert rig.scheme.fevent(handle, f.EVENT_WRITE) == 0
    assert write_errno(rig, handle, frame(9)) == e.EWOULDBLOCK
    assert rig.posted.take() == []
    rig.card.drain()
    assert rig.posted.take() == [(handle, f.EVENT_WRITE)]
    assert rig.scheme.fevent(handle, f.EVENT_WRITE) == f.EVENT_WRITE
    assert write(rig, handle, frame(9)) == 60


def test_a_card_has_no_cost_of_readers_it_does_not_have(rig):
    rig.card.come(*map(frame, range(5)))
    assert rig.card.waiting == []  # given back at once
    handle = opened(rig.scheme, "data", f.O_RDONLY)
    assert read_errno(rig, handle) == e.EWOULDBLOCK  # nothing of before
    assert "unread 5\n" in read(rig, opened(rig.scheme, "stats", f.O_RDONLY)).decode()


def test_frames_wait_in_the_card_for_a_reader_that_is_alone(rig):
    handle = opened(rig.scheme, "data", f.O_RDONLY)
    rig.card.come(*map(frame, range(5)))
    assert len(rig.card.waiting) == 5
    assert rig.scheme.fevent(handle, f.EVENT_READ) == f.EVENT_READ
    second = opened(rig.scheme, "data", f.O_RDONLY)
    assert rig.card.waiting == []
    rig.card.come(frame(5))
    assert [read(rig, handle) for _ in range(6)] == [frame(number) for number in range(6)]
    assert read(rig, second) == frame(5)
    rig.scheme.on_close(second)
    rig.card.come(frame(6))
    assert len(rig.card.waiting) == 1
    assert read(rig, handle) == frame(6)


def test_many_frames_are_passed_on_over_several_rounds(rig):
    handles = [opened(rig.scheme, "data", f.O_RDONLY) for _ in range(2)]
    rig.card.come(*map(frame, range(200)))
    assert len(rig.card.waiting) == 200 - 64  # others have their turn
    rig.turn(5)
    for handle in handles:
        assert [read(rig, handle) for _ in range(200)] == [frame(n) for n in range(200)]


def test_a_slow_reader_loses_the_newest_and_nobody_else_does(rig):
    slow, quick = (opened(rig.scheme, "data", f.O_RDONLY) for _ in range(2))
    for start in range(0, FRAMES_MOST + 64, 64):
        rig.card.come(*map(frame, range(start, start + 64)))
        for number in range(start, start + 64):
            assert read(rig, quick) == frame(number)
    assert [read(rig, slow) for _ in range(FRAMES_MOST)] == [frame(n) for n in range(FRAMES_MOST)]
    assert read_errno(rig, slow) == e.EWOULDBLOCK
    assert "reader_dropped 64\n" in read(rig, opened(rig.scheme, "stats", f.O_RDONLY)).decode()


# -- address, link, counters -----------------------------------------------------------------------


def test_mac_is_six_bytes_which_can_be_set(rig):
    said = []
    rig.scheme.on_facts = said.append
    handle = rig.scheme.openat(ROOT, "mac", f.O_RDWR | f.O_TRUNC, 0, Asked())
    assert handle.flags == POSITIONED
    number = handle.handle
    assert (read(rig, number), read(rig, number, 4), read(rig, number, 6, 4)) == (
        MAC,
        MAC[:4],
        MAC[4:],
    )
    assert rig.scheme.fsize(number) == rig.scheme.fstat(number).st_size == 6
    other = bytes.fromhex("020000000001")
    assert write(rig, number, other) == 6
    assert rig.card.mac == read(rig, number) == other
    assert said == [{"mac": "02:00:00:00:00:01", "link": 1000, "mtu": 1500}]
    for wrong in (b"", other[:5], other + b"x", bytes(6), b"\xff" * 6, b"\x01" + other[1:]):
        assert write_errno(rig, number, wrong) == e.EINVAL
    assert write_errno(rig, number, other, 1) == e.EINVAL


def test_link_is_text_and_tells_when_it_changes(rig):
    handle = opened(rig.scheme, "link", f.O_RDONLY)
    assert rig.scheme.fevent(handle, f.EVENT_READ) == f.EVENT_READ  # nobody has read it yet
    assert read(rig, handle) == b"1000\n"
    assert read(rig, handle, 100, 5) == b""
    assert rig.scheme.fevent(handle, f.EVENT_READ) == 0
    rig.posted.take()
    rig.card.change_link(0)
    assert rig.posted.take() == [(handle, f.EVENT_READ)]
    assert rig.scheme.fevent(handle, f.EVENT_READ) == f.EVENT_READ
    assert read(rig, handle) == b"down\n"
    rig.card.change_link(100)
    assert read(rig, handle, 2) + read(rig, handle, 10, 2) == b"100\n"


def test_stats_are_ours_and_the_cards(rig):
    text = read(rig, opened(rig.scheme, "stats", f.O_RDONLY)).decode()
    assert all(len(line.split()) == 2 and line.split()[1].isdecimal() for line in text.splitlines())
    assert text.splitlines()[-1] == "GPRC 7"


def test_a_card_that_has_left_refuses_everything_and_wakes_who_waits(rig):
    reader, link = opened(rig.scheme, "data", f.O_RDWR), opened(rig.scheme, "link", f.O_RDONLY)
    assert read_errno(rig, reader) == e.EWOULDBLOCK
    rig.posted.take()
    rig.scheme.leave()
    assert {number for number, _ in rig.posted.take()} == {reader, link}
    assert read_errno(rig, reader) == write_errno(rig, reader, frame(1)) == e.ENODEV
    assert errno_of(call, rig, reader, batch(frame(1)), fr.SEND, 1) == e.ENODEV
    assert rig.scheme.fevent(reader, 3) == 3
    for call_of_the_card in ("set_mac", "set_promiscuous", "flush_queue", "received", "commit"):
        setattr(rig.card, call_of_the_card, None)  # nothing of it is called any more
    rig.turn()
    rig.scheme.on_close(reader)
    rig.scheme.on_close(opened(rig.scheme, "data", f.O_RDWR))


@pytest.mark.parametrize(
    ("max_frame", "mtu"), [(1514, 1500), (1517, 1503), (1518, 1500), (9018, 9000), (114, 100)]
)
def test_what_joins_is_told_leaves_room_for_a_vlan_tag(max_frame, mtu):
    rig = Rig(max_frame=max_frame)
    try:
        assert rig.scheme.facts["mtu"] == mtu
    finally:
        rig.close()


# -- many frames -----------------------------------------------------------------------------------


def test_a_batch_is_sent_as_far_as_there_is_room(rig):
    handle = opened(rig.scheme, "data", f.O_RDWR)
    frames = [frame(number, 14 + 100 * number) for number in range(1, 11)]
    assert call(rig, handle, batch(*frames), fr.SEND, 10) == rig.card.depth
    assert errno_of(call, rig, handle, batch(*frames[8:]), fr.SEND, 2) == e.EWOULDBLOCK
    rig.card.drain()
    assert call(rig, handle, batch(*frames[8:]), fr.SEND, 2) == 2
    rig.turn()
    assert rig.card.wire == frames
    assert rig.card.doorbells == 1


def test_a_large_batch_does_not_wait_for_the_rounds_end():
    rig = Rig(depth=64)
    try:
        handle = opened(rig.scheme, "data", f.O_RDWR)
        call(rig, handle, batch(*map(frame, range(31))), fr.SEND, 31)
        assert rig.card.doorbells == 0
        call(rig, handle, batch(*map(frame, range(31, 63))), fr.SEND, 32)
        assert (rig.card.doorbells, len(rig.card.wire)) == (1, 63)
        rig.turn()
        assert rig.card.doorbells == 1
    finally:
        rig.close()


def test_a_batch_is_received_as_far_as_it_fits(rig):
    handle = opened(rig.scheme, "data", f.O_RDWR)
    frames = [frame(number, 14 + 100 * number) for number in range(1, 11)]
    payload = bytearray(8 * 4 + sum(map(len, frames[:5])) + 20)
    assert errno_of(call, rig, handle, payload, fr.RECEIVE, 8) == e.EWOULDBLOCK
    rig.card.come(*frames)
    for expected in (frames[:5], frames[5:6]):
        count = call(rig, handle, payload, fr.RECEIVE, 8)
        lengths = fr.table(count).unpack_from(payload)
        assert lengths[: len(expected)] == tuple(map(len, expected))
        at = 32
        for one in expected:
            assert payload[at : at + len(one)] == one
            at += len(one)
    assert errno_of(call, rig, handle, bytearray(36), fr.RECEIVE, 1) == e.EINVAL  # it never fits


def test_a_frame_that_comes_while_nothing_waited_is_no_error(rig, monkeypatch):
    """The card writes to memory whenever it likes, also between two looks at it."""
    handle = opened(rig.scheme, "data", f.O_RDONLY)
    looks = iter([0, 1, 1, 1, 1])
    real = rig.card.received
    rig.card.waiting = [memoryview(bytearray(frame(1)))]
    monkeypatch.setattr(rig.card, "received", lambda most: real(most * next(looks)))
    assert errno_of(call, rig, handle, bytearray(64), fr.RECEIVE, 1) == e.EWOULDBLOCK
    assert call(rig, handle, bytearray(64), fr.RECEIVE, 1) == 1


def test_two_readers_of_batches_each_get_all(rig):
    handles = [opened(rig.scheme, "data", f.O_RDONLY) for _ in range(2)]
    rig.card.come(*map(frame, range(5)))
    for handle in handles:
        payload = bytearray(5 * 64)
        assert call(rig, handle, payload, fr.RECEIVE, 5) == 5
        assert payload[20:] == b"".join(map(frame, range(5)))


@pytest.mark.parametrize(
    ("payload", "metadata", "error"),
    [
        (batch(frame(1)), (fr.SEND, 0), e.EINVAL),
        (batch(frame(1)), (fr.SEND, 257), e.EINVAL),
        (batch(frame(1)), (fr.SEND, 1 << 63), e.EINVAL),
        (batch(frame(1))[:3], (fr.SEND, 1), e.EINVAL),
        (batch(frame(1))[:-1], (fr.SEND, 1), e.EINVAL),
        (batch(frame(1), bytes(13)), (fr.SEND, 2), e.EINVAL),
        (batch(frame(1), bytes(1515)), (fr.SEND, 2), e.EMSGSIZE),
        (b"\xff" * 64, (fr.SEND, 2), e.EINVAL),
        (bytearray(64), (fr.RECEIVE, 0), e.EINVAL),
        (bytearray(64), (fr.RECEIVE, 257), e.EINVAL),
        (bytearray(64), (fr.RECEIVE, 17), e.EINVAL),
        (bytearray(64), (0, 1), e.EINVAL),
        (bytearray(64), (fr.PROMISCUOUS, 2), e.EINVAL),
        (bytearray(64), (99, 1), e.EINVAL),
    ],
)
def test_a_malformed_batch_is_refused_whole(rig, payload, metadata, error):
    handle = opened(rig.scheme, "data", f.O_RDWR)
    assert errno_of(call, rig, handle, payload, *metadata) == error
    rig.turn()
    assert rig.card.wire == []


def test_batches_need_a_data_handle_of_the_right_kind(rig):
    for path in ("mac", "link", "monitor"):
        handle = opened(rig.scheme, path, f.O_RDONLY)
        assert errno_of(call, rig, handle, batch(frame(1)), fr.SEND, 1) == e.EOPNOTSUPP
    reader, writer = opened(rig.scheme, "data", f.O_RDONLY), opened(rig.scheme, "data", f.O_WRONLY)
    assert errno_of(call, rig, reader, batch(frame(1)), fr.SEND, 1) == e.EBADF
    assert errno_of(call, rig, writer, bytearray(64), fr.RECEIVE, 1) == e.EBADF


def test_two_hundred_thousand_malformed_batches_hurt_nobody(rig):
    chosen = random.Random(4)
    handle = opened(rig.scheme, "data", f.O_RDWR)
    verbs = (fr.SEND, fr.SEND, fr.RECEIVE, fr.RECEIVE, fr.PROMISCUOUS, 0, 7, 1 << 63)
    lengths = (0, 13, 14, 60, 1514, 1515, 1 << 16, (1 << 32) - 1)
    payload = bytearray(2048)
    view = memoryview(payload)
    ended: dict[int, int] = {}
    for turn in range(FUZZED):
        bits = chosen.getrandbits(64)
        count = bits & 7 if bits & 8 else bits >> 4 & 511
        for place in range(min(count, 8)):
            length = lengths[bits >> (16 + 3 * place) & 7]
            payload[4 * place : 4 * place + 4] = length.to_bytes(4, "little")
        if not turn % 16:
            rig.card.waiting = [memoryview(bytearray(14 + (bits >> 40 & 1023)))]
            rig.card.drain()
        error = errno_of(
            rig.scheme.call, handle, view[: bits >> 48 & 2047], (verbs[bits >> 61], count, 0), None
        )
        ended[error] = ended.get(error, 0) + 1
    assert set(ended) == {0, e.EINVAL, e.EMSGSIZE, e.EWOULDBLOCK}
    assert ended[e.EINVAL] > FUZZED // 2
    rig.turn()
    rig.card.waiting = []
    rig.card.come(frame(1))
    assert read(rig, handle) == frame(1)


def test_promiscuous_is_on_while_a_handle_wants_it(rig):
    first, second = (opened(rig.scheme, "data", f.O_WRONLY) for _ in range(2))
    for handle in (first, second):
        assert call(rig, handle, b"", fr.PROMISCUOUS, 1) == 0
    assert rig.card.promiscuous
    call(rig, first, b"", fr.PROMISCUOUS, 0)
    assert rig.card.promiscuous
    rig.scheme.on_close(second)
    assert not rig.card.promiscuous


# -- monitors --------------------------------------------------------------------------------------


def test_a_monitor_sees_both_directions_in_whole_records(rig):
    monitor = opened(rig.scheme, "monitor", f.O_RDONLY)
    data = opened(rig.scheme, "data", f.O_RDWR)
    assert read_errno(rig, monitor) == e.EWOULDBLOCK
    write(rig, data, frame(1, 61))
    rig.card.come(frame(2, 62), frame(3, 63))
    call(rig, data, batch(frame(4, 64), frame(5, 65)), fr.SEND, 2)
    assert rig.scheme.fevent(monitor, 3) == f.EVENT_READ
    assert read_errno(rig, monitor, 80) == e.EINVAL
    first = read(rig, monitor, 88)
    assert len(first) == 88
    found = [*fr.records(first), *fr.records(read(rig, monitor))]
    assert [bytes(one.frame) for one in found] == [frame(n, 60 + n) for n in range(1, 6)]
    assert [one.flags for one in found] == [fr.SENT, 0, 0, fr.SENT, fr.SENT]
    assert [one.time for one in found] == sorted(one.time for one in found)
    assert read(rig, data) == frame(2, 62)


def test_a_slow_monitor_is_told_what_it_has_lost(rig):
    monitor = opened(rig.scheme, "monitor", f.O_RDONLY)
    for start in range(0, FRAMES_MOST + 64, 64):
        rig.card.come(*map(frame, range(start, start + 64)))
    found = list(fr.records(read(rig, monitor, 1 << 20)))
    assert [one.lost for one in found] == [0] * FRAMES_MOST
    rig.card.come(frame(0))
    (last,) = fr.records(read(rig, monitor))
    assert last.lost == 64


def test_records_that_end_too_soon_are_refused():
    whole = fr.pack_record(1, 0, 0, frame(1))
    for cut in (1, 23, 24, 83):
        with pytest.raises(ValueError, match="bytes"):
            list(fr.records(whole[:cut]))
