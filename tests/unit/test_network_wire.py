"""TAPs that are joined to a card: who has the wire, what passes, and what holds it up."""

from __future__ import annotations

import errno
import os

import pytest
from asked import Asked, errno_of, opened
from network_rig import MAC, FakeTap, Rig, frame

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.classes.wire import BATCH, LINK_SETTLES_S

OTHER = bytes.fromhex("020000000001")


@pytest.fixture
def rig():
    made = Rig()
    yield made
    made.close()


def text(rig, path):
    handle = opened(rig.scheme, path, f.O_RDONLY)
    try:
        return bytes(rig.scheme.read(handle, 65536, 0, 0, Asked())).decode()
    finally:
        rig.scheme.on_close(handle)


def stat(rig, name):
    return dict(line.split() for line in text(rig, "stats").splitlines())[name]


def test_frames_pass_both_ways_with_one_doorbell_a_round(rig):
    tap = rig.join()
    for number in range(5):
        tap.linux.send(frame(number))
    rig.turn()
    assert rig.card.wire == [frame(number) for number in range(5)]
    assert rig.card.doorbells == 1
    rig.card.come(frame(5, 1514), frame(6))
    assert tap.came() == [frame(5, 1514), frame(6)]


def test_a_full_ring_leaves_frames_with_linux_until_there_is_room(rig):
    tap = rig.join()
    for number in range(20):
        tap.linux.send(frame(number))
    rig.turn(5)
    assert len(rig.card.wire) == rig.card.depth
    assert not rig.wire._watching  # it costs nothing to wait
    rig.card.drain()
    rig.turn(5)
    rig.card.drain()
    rig.turn(5)
    assert rig.card.wire == [frame(number) for number in range(20)]


def test_a_round_moves_a_batch_and_no_more():
    rig = Rig(depth=3 * BATCH)
    try:
        tap = rig.join()
        for number in range(2 * BATCH):
            tap.linux.send(frame(number))
        rig.turn()
        assert len(rig.card.wire) == BATCH
        rig.turn()
        assert len(rig.card.wire) == 2 * BATCH
    finally:
        rig.close()


def test_what_the_card_cannot_send_is_dropped_and_counted(rig):
    tap = rig.join()
    for size in (60, 1515, 1514, 13, 61):
        tap.linux.send(bytes(size))
    rig.turn(5)
    assert [len(one) for one in rig.card.wire] == [60, 1514, 61]
    assert stat(rig, "tap_bad") == "2"


def test_what_linux_does_not_take_is_dropped_and_counted(rig):
    tap = rig.join()
    sent = 0
    while not tap.dropped:
        rig.card.come(*(frame(number, 1514) for number in range(BATCH)))
        sent += BATCH
    assert tap.came() == [frame(n % BATCH, 1514) for n in range(sent)][: sent - tap.dropped]
    assert stat(rig, "tap_dropped") == str(tap.dropped)
    assert not tap.gone


def test_the_newest_join_has_the_wire_and_gives_it_back(rig):
    first = rig.join("first")
    second = rig.join("second")
    assert text(rig, "joins") == "second test\nfirst test\n"
    first.linux.send(frame(1))
    second.linux.send(frame(2))
    rig.turn()
    rig.card.come(frame(3))
    assert (rig.card.wire, second.came(), first.came()) == ([frame(2)], [frame(3)], [])
    assert (first.carriers, second.carriers) == ([True, False], [True])
    rig.wire.part(second)
    rig.turn()
    rig.card.come(frame(4))
    assert (rig.card.wire, first.came()) == ([frame(2), frame(1)], [frame(4)])
    assert first.carriers == [True, False, True]
    assert second.linux.recv(100) == b""  # it was closed


def test_one_below_may_go_as_well(rig):
    first, second = rig.join("first"), rig.join("second")
    rig.wire.part(first)
    rig.wire.part(first)
    second.linux.send(frame(1))
    rig.turn()
    assert rig.card.wire == [frame(1)]


@pytest.mark.parametrize("way", ["read", "write"])
def test_a_join_whose_interface_goes_ends(rig, monkeypatch, way):
    first, second = rig.join("first"), rig.join("second")

    def gone(fd, data):
        if fd == second.fd:
            raise OSError(errno.EBADFD, "no interface")
        return real(fd, data)

    name = "readv" if way == "read" else "write"
    real = getattr(os, name)
    monkeypatch.setattr(os, name, gone)
    second.linux.send(frame(1))
    if way == "write":
        rig.card.come(frame(2))
    rig.turn()
    assert text(rig, "joins") == "first test\n"
    first.linux.send(frame(3))
    rig.turn()
    assert rig.card.wire[-1] == frame(3)


def test_readers_have_copies_beside_a_join(rig):
    tap = rig.join()
    handles = [opened(rig.scheme, "data", f.O_RDONLY) for _ in range(2)]
    rig.card.come(frame(1))
    assert tap.came() == [frame(1)]
    for handle in handles:
        assert bytes(rig.scheme.read(handle, 100, 0, 0, Asked())) == frame(1)


def test_a_lone_reader_keeps_what_came_before_a_join(rig):
    handle = opened(rig.scheme, "data", f.O_RDONLY)
    rig.card.come(frame(1))
    tap = rig.join()
    rig.card.come(frame(2))
    assert tap.came() == [frame(2)]
    for number in (1, 2):
        assert bytes(rig.scheme.read(handle, 100, 0, 0, Asked())) == frame(number)


def test_a_join_with_an_address_lends_it_to_the_card(rig):
    rig.join("plain")
    assert rig.card.mac == MAC
    lender = rig.join("lender", address=OTHER, mac=OTHER)
    assert (rig.card.mac, rig.card.promiscuous) == (OTHER, False)
    rig.wire.part(lender)
    assert rig.card.mac == MAC


def test_a_join_with_an_address_of_its_own_needs_all_frames(rig):
    bridge = rig.join(address=OTHER)
    assert (rig.card.mac, rig.card.promiscuous) == (MAC, True)
    rig.wire.part(bridge)
    assert not rig.card.promiscuous


def test_the_carrier_is_the_links_once_that_had_time_to_come(rig):
    tap = rig.join()
    rig.card.change_link(0)
    assert tap.carriers == [True, False]
    rig.card.change_link(1000)
    assert tap.carriers == [True, False, True]


def test_a_driver_that_starts_does_not_bother_linux_with_its_link(monkeypatch):
    rig = Rig(link=0)
    try:
        tap = rig.join()
        rig.card.change_link(0)
        assert tap.carriers == [True]
        later = rig.loop.now() + LINK_SETTLES_S
        monkeypatch.setattr("time.monotonic", lambda: later)
        rig.turn(2)
        assert tap.carriers == [True, False]
    finally:
        rig.close()


def test_a_card_that_has_left_takes_the_carrier_along(rig):
    tap = rig.join()
    rig.scheme.leave()
    assert tap.carriers == [True, False]
    tap.linux.send(frame(1))
    rig.turn()
    assert rig.card.wire == []


def test_closing_says_nothing_to_linux_as_a_successor_follows(rig):
    tap = rig.join()
    rig.scheme.close()
    assert tap.carriers == [True]
    assert tap.linux.recv(100) == b""


def test_a_services_join_takes_the_place_of_its_last(rig, monkeypatch):
    monkeypatch.setattr("redbear_host.classes.network.Joined", lambda fd, by, mac: fd)
    first, second = FakeTap("first"), FakeTap("second", mac=OTHER)
    rig.taps += [first, second]
    said = []
    rig.scheme.on_facts = said.append
    rig.scheme.join(first, "smolnetd")
    rig.scheme.join(second, "smolnetd")
    assert text(rig, "joins") == "second test\n"
    assert [one["mac"] for one in said] == [OTHER.hex(":")]
    rig.scheme.part("smolnetd")
    rig.scheme.part("smolnetd")
    assert text(rig, "joins") == ""


def test_the_same_interface_again_keeps_its_place_and_its_carrier(rig, monkeypatch):
    monkeypatch.setattr("redbear_host.classes.network.Joined", lambda fd, by, mac: fd)
    first, again, other = FakeTap("eth0"), FakeTap("eth0", mac=OTHER), FakeTap("rb0")
    rig.taps += [first, again, other]
    rig.scheme.join(first, "smolnetd")
    rig.wire.join(other)
    rig.scheme.join(again, "smolnetd")
    assert text(rig, "joins") == "rb0 test\neth0 test\n"
    assert rig.card.mac == MAC  # that of who has the wire
    assert (first.carriers, again.carriers, other.carriers) == ([True, False], [False], [True])
    rig.wire.part(other)
    assert rig.card.mac == OTHER
    third = FakeTap("eth0", mac=MAC)
    rig.taps.append(third)
    rig.scheme.join(third, "smolnetd")
    assert (again.carriers, third.carriers) == ([False, True], [True])
    rig.card.come(frame(1))
    assert third.came() == [frame(1)]


def test_a_join_to_a_card_that_has_left_reads_nothing(rig):
    below, above = rig.join("below"), rig.join("above")
    rig.scheme.leave()
    rig.wire.part(above)
    below.linux.send(frame(1))
    rig.turn(3)
    assert (rig.card.wire, below.carriers[-1]) == ([], False)


def test_a_handle_that_has_joined_leaves_its_frames_to_the_tap(rig, monkeypatch):
    tap = FakeTap()
    rig.taps.append(tap)
    monkeypatch.setattr("redbear_host.classes.network.Joined", lambda fd, by: tap)
    handle = opened(rig.scheme, "data", f.O_RDWR, pid=77)
    assert rig.scheme.on_sendfd(handle, [5], 0, 0, Asked(pid=77)) == 0
    rig.card.come(frame(1))
    assert tap.came() == [frame(1)]
    data = memoryview(frame(2))
    assert errno_of(rig.scheme.read, handle, 100, 0, 0, Asked()) == e.EBUSY
    assert errno_of(rig.scheme.write, handle, data, 0, 0, Asked()) == e.EBUSY
    assert errno_of(rig.scheme.call, handle, data, (1, 1, 0), Asked()) == e.EBUSY
    rig.scheme.on_close(handle)
    assert text(rig, "joins") == ""


def test_a_join_needs_one_descriptor_and_a_handle_for_both_ways(rig):
    handle = opened(rig.scheme, "data", f.O_RDWR)
    one_way = opened(rig.scheme, "data", f.O_RDONLY)
    mac = opened(rig.scheme, "mac", f.O_RDWR)
    assert errno_of(rig.scheme.on_sendfd, handle, [5, 6], 0, 0, Asked()) == e.EINVAL
    assert errno_of(rig.scheme.on_sendfd, one_way, [5], 0, 0, Asked()) == e.EBADF
    assert errno_of(rig.scheme.on_sendfd, mac, [5], 0, 0, Asked()) == e.EOPNOTSUPP


def test_what_is_no_tap_is_not_joined(rig, tmp_path):
    handle = opened(rig.scheme, "data", f.O_RDWR)
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", "/dev/null", "/dev/zero", tmp_path):
        fd = os.open(path, os.O_RDONLY)
        try:
            assert errno_of(rig.scheme.on_sendfd, handle, [fd], 0, 0, Asked()) == e.EINVAL
        finally:
            os.close(fd)
    assert text(rig, "joins") == ""
