"""Calls that wait, events, and what happens to both when a client gives up or leaves."""

from __future__ import annotations

import pytest
from ring_rig import NO_OFFSET, RawClient, Rig
from ring_scheme import Toy

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.sqe import Opcode as Op
from redbear_host.scheme.scheme import Opened

EVENT = 2  # CqeOpcode.SEND_FEVENT


def read(client: RawClient, tag: int, handle: int, at: int = 0, flags: int = 0) -> None:
    client.put(Op.READ, tag, handle, at, 16, NO_OFFSET, flags)
    client.ring()


# -- parked ------------------------------------------------------------------------------------


def test_a_read_waits_until_there_is_something(rig: Rig, client: RawClient, toy: Toy) -> None:
    handle = rig.open(client, b"queue")
    read(client, 5, handle)
    rig.turn()
    assert client.taken() == []
    client.put(Op.WRITE, 6, handle, *client.place(64, b"news"), NO_OFFSET, 0)
    client.ring()
    rig.turn()
    assert client.taken() == [(0, 0, 6, 4), (0, 0, 5, 4)]
    assert client.payload(0, 4) == b"news"


def test_another_clients_write_wakes_one_reader_and_leaves_the_rest(
    rig: Rig, client: RawClient, toy: Toy
) -> None:
    other = rig.connect()
    first, second = rig.open(client, b"queue"), rig.open(other, b"queue")
    read(client, 1, first)
    read(client, 2, first, 16)
    rig.turn()
    assert rig.call(other, Op.WRITE, second, *other.place(0, b"one"), NO_OFFSET, 0) == 3
    assert rig.until(client.taken) == [(0, 0, 1, 3)]
    rig.turn()
    assert client.taken() == []
    assert rig.call(other, Op.WRITE, second, *other.place(0, b"two!"), NO_OFFSET, 0) == 4
    assert rig.until(client.taken) == [(0, 0, 2, 4)]
    assert client.payload(16, 4) == b"two!"


def test_a_read_that_will_not_wait_is_eagain(rig: Rig, client: RawClient) -> None:
    handle = rig.open(client, b"queue")
    assert rig.call(client, Op.READ, handle, 0, 8, NO_OFFSET, f.O_NONBLOCK) == -e.EAGAIN


def test_a_cancelled_wait_is_answered_once(rig: Rig, client: RawClient, toy: Toy) -> None:
    handle = rig.open(client, b"queue")
    read(client, 5, handle)
    rig.turn()
    client.put(Op.CANCEL, 5, flags=1)
    client.put(Op.CANCEL, 5)  # the flag does not matter
    client.put(Op.CANCEL, 6)
    client.ring()
    assert rig.until(client.taken) == [(0, 0, 5, -e.ECANCELED)]
    toy.queue.append(b"x")
    toy.post_fevent(1, f.EVENT_READ)
    rig.turn()
    assert client.taken() == []


def test_closing_a_handle_ends_what_waits_on_it(rig: Rig, client: RawClient, toy: Toy) -> None:
    handle = rig.open(client, b"queue")
    read(client, 5, handle)
    client.put(Op.CLOSE, 6, handle)
    client.ring()
    assert sorted(rig.until(client.taken)) == [(0, 0, 5, -e.EBADF), (0, 0, 6, 0)]
    assert toy.open == {}


def test_a_thousand_reads_wait_at_once(rig: Rig, toy: Toy) -> None:
    client = rig.connect(entries=1024)
    handle = rig.open(client, b"queue")
    for tag in range(1000):
        client.put(Op.READ, tag, handle, tag * 16, 16, NO_OFFSET, 0)
    client.ring()
    rig.turn(40)
    assert client.taken() == []
    toy.queue += [b"%d" % number for number in range(1000)]
    toy.post_fevent(1, f.EVENT_READ)
    rig.turn()
    answers = client.taken()
    assert sorted(tag for _, _, tag, _ in answers) == list(range(1000))
    for _, _, tag, size in answers:
        assert client.payload(tag * 16, size) == b"%d" % tag


def test_what_waits_may_not_claim_more_than_the_arena_has(rig: Rig, toy: Toy) -> None:
    client = rig.connect(arena=4096)
    handle = rig.open(client, b"later")
    client.put(Op.WRITE, 1, handle, 0, 4000, NO_OFFSET, 0)
    client.put(Op.WRITE, 2, handle, 0, 4000, NO_OFFSET, 0)
    client.put(Op.READ, 3, handle, 0, 97, NO_OFFSET, 0)
    client.ring()
    found = rig.until(client.taken)
    assert found == [(0, 0, 2, -e.ENOBUFS), (0, 0, 3, -e.ENOBUFS)]
    toy.kept[0][0].answer(4000)
    rig.turn()
    client.taken()
    client.put(Op.WRITE, 4, handle, 0, 4096, NO_OFFSET, 0)
    client.ring()
    rig.turn()
    assert len(toy.kept) == 2


# -- kept by the scheme ------------------------------------------------------------------------


def test_a_kept_read_is_answered_when_the_scheme_says_so(
    rig: Rig, client: RawClient, toy: Toy
) -> None:
    handle = rig.open(client, b"later")
    read(client, 1, handle)
    read(client, 2, handle, 16)
    read(client, 3, handle, 32)
    rig.turn()
    toy.kept[1].answer(b"second")
    toy.kept[0].refuse(e.EIO)
    toy.kept[2].refuse(e.EINTR)  # nobody has cancelled it
    rig.turn()
    assert client.taken() == [(0, 0, 2, 6), (0, 0, 1, -e.EIO), (0, 0, 3, -e.EIO)]
    assert client.payload(16, 6) == b"second"


def test_a_read_may_be_answered_before_the_handler_returns(rig: Rig, client: RawClient) -> None:
    handle = rig.open(client, b"now")
    for tag in (1, 1, 1):
        assert rig.call(client, Op.READ, handle, 0, 16, NO_OFFSET, 0, tag=tag) == 16
    assert client.payload(0, 16) == b"answered already"


def test_a_kept_write_sees_the_bytes_as_they_were(rig: Rig, client: RawClient, toy: Toy) -> None:
    handle = rig.open(client, b"later")
    client.put(Op.WRITE, 1, handle, *client.place(0, b"before"), NO_OFFSET, 0)
    client.ring()
    rig.turn()
    client.place(0, b"after!")
    request, data = toy.kept[0]
    assert bytes(data) == b"before"
    request.answer(6)
    assert rig.until(client.taken) == [(0, 0, 1, 6)]


def test_a_cancelled_request_is_told_once_and_still_answered(
    rig: Rig, client: RawClient, toy: Toy
) -> None:
    handle = rig.open(client, b"later")
    read(client, 1, handle)
    rig.turn()
    client.put(Op.CANCEL, 1)
    client.put(Op.CANCEL, 1)
    client.ring()
    rig.turn()
    assert toy.log.count(("cancel", 0)) == 1
    assert toy.kept[0].cancelled
    assert client.taken() == []
    toy.kept[0].refuse(e.ECANCELED)
    assert rig.until(client.taken) == [(0, 0, 1, -e.ECANCELED)]


def test_an_open_may_come_later(rig: Rig, client: RawClient, toy: Toy) -> None:
    client.put(Op.OPEN_AT, 4, 0, *client.place(0, b"late"), 0, 0)
    client.ring()
    rig.turn()
    toy.kept[0].answer(toy._new("file", 1))
    assert rig.until(client.taken) == [(0, 1, 4, 1)]
    assert rig.call(client, Op.FSIZE, 1) == 19


def test_the_scheme_hears_of_a_close_after_it_has_answered(
    rig: Rig, client: RawClient, toy: Toy
) -> None:
    handle = rig.open(client, b"later")
    read(client, 1, handle)
    client.put(Op.CLOSE, 2, handle)
    client.ring()
    assert rig.until(client.taken) == [(0, 0, 2, 0)]
    assert toy.open == {1: "later"}
    toy.kept[0].answer(b"x")
    assert rig.until(client.taken) == [(0, 0, 1, 1)]
    assert toy.open == {}


def test_a_tag_that_waits_already_is_refused_without_harm(
    rig: Rig, client: RawClient, toy: Toy
) -> None:
    handle = rig.open(client, b"later")
    read(client, 1, handle)
    rig.turn()
    assert rig.call(client, Op.FSIZE, handle) == -e.EINVAL
    toy.kept[0].answer(b"x")
    assert rig.until(client.taken) == [(0, 0, 1, 1)]
    assert rig.call(client, Op.FSIZE, handle) == 19


def test_nobody_waits_for_the_answer_to_a_oneway_call(
    rig: Rig, client: RawClient, toy: Toy
) -> None:
    file, later = rig.open(client, b"file"), rig.open(client, b"later")
    client.put(Op.FTRUNCATE, 1, file, 5, flags=1)
    client.put(Op.WRITE, 1, later, 0, 4, NO_OFFSET, 0, flags=1)
    client.put(Op.WRITE, 1, later, 0, 4, NO_OFFSET, 0, flags=1)
    client.put(Op.OPEN_AT, 1, 0, 0, 0, 0, 0, flags=1)
    client.put(Op.READ, 1, 77, 0, 4, NO_OFFSET, 0, flags=1)
    assert rig.call(client, Op.FSIZE, file, tag=9) == 19
    assert ("ftruncate", 5) in toy.log
    assert len(toy.open) == 2
    for request, _ in toy.kept:
        request.answer(4)
    rig.turn()
    assert client.taken() == []


@pytest.mark.parametrize("flags", [2, 3, 4, 0xFF])
def test_flags_of_an_entry_that_mean_nothing_are_refused(
    rig: Rig, client: RawClient, flags: int
) -> None:
    client.put(Op.FSIZE, 3, 1, flags=flags)
    client.ring()
    assert rig.until(client.taken) == [(0, 0, 3, -e.EINVAL)]


# -- events ------------------------------------------------------------------------------------


def test_events_come_from_the_registration_on_and_end_with_it(
    rig: Rig, client: RawClient, toy: Toy
) -> None:
    handle = rig.open(client, b"queue")
    toy.post_fevent(1, f.EVENT_READ)
    assert rig.call(client, Op.FEVENT, handle, 3) == f.EVENT_WRITE
    toy.post_fevent(1, f.EVENT_READ)
    assert rig.until(client.taken) == [(EVENT, 0, f.EVENT_READ, handle)]
    assert rig.call(client, Op.FEVENT, handle, f.EVENT_WRITE) == f.EVENT_WRITE
    toy.post_fevent(1, f.EVENT_READ)
    rig.turn()
    assert client.taken() == []
    assert rig.call(client, Op.FEVENT, handle, 4) == -e.EINVAL
    assert rig.call(client, Op.FEVENT, handle, 0) == 0
    toy.post_fevent(1, 3)
    rig.turn()
    assert client.taken() == []


def test_events_are_merged_while_there_is_no_room(rig: Rig, toy: Toy) -> None:
    client = rig.connect(entries=2)  # four answers
    queue, later = rig.open(client, b"queue"), rig.open(client, b"later")
    rig.call(client, Op.FEVENT, queue, 3)
    for tag in (1, 2, 3, 4):
        read(client, tag, later)
        rig.turn()
    for flags in (f.EVENT_READ, f.EVENT_READ, f.EVENT_WRITE):
        toy.post_fevent(1, flags)
    rig.turn()
    assert client.taken() == []
    toy.kept[0].answer(b"")
    rig.turn()
    assert client.taken() == [(0, 0, 1, 0)]
    client.ring()  # there is room now
    assert rig.until(client.taken) == [(EVENT, 0, 3, queue)]


def test_one_bell_rings_for_everything_of_a_round(rig: Rig, client: RawClient, toy: Toy) -> None:
    handle = rig.open(client, b"later")
    for tag in range(8):
        client.put(Op.READ, tag, handle, 0, 1, NO_OFFSET, 0)
    client.ring()
    rig.turn()
    client.listen()
    before = client.bells
    rig.loop.soon(lambda: [request.answer(b"x") for request in toy.kept])
    rig.turn()
    client.listen()
    assert len(client.taken()) == 8
    assert client.bells == before + 1


# -- leaving -----------------------------------------------------------------------------------


def test_a_client_that_leaves_lets_go_of_everything(rig: Rig, client: RawClient, toy: Toy) -> None:
    file, queue, later = (rig.open(client, name) for name in (b"file", b"queue", b"later"))
    rig.call(client, Op.FEVENT, queue, 3)
    read(client, 1, queue)
    read(client, 2, later)
    client.put(Op.OPEN_AT, 3, 0, *client.place(0, b"late"), 0, 0)
    client.ring()
    rig.turn()
    assert file in toy.open
    client.socket.close()
    rig.turn()
    assert toy.open == {later: "later"}  # which has a call still
    assert ("cancel", 0) in toy.log
    assert len(rig.door._clients) == 1
    toy.kept[0].answer(b"nobody hears this")
    toy.kept[1].answer(Opened(toy._new("file").handle))
    assert toy.open == {}
    assert len(rig.door._clients) == 0
    toy.post_fevent(2, 3)
    rig.turn()


def test_many_clients_each_get_their_own_answers(rig: Rig, toy: Toy) -> None:
    clients = [rig.connect(entries=8, arena=4096) for _ in range(40)]
    handles = [rig.open(client, b"file") for client in clients]
    for round_number in range(5):
        for number, (client, handle) in enumerate(zip(clients, handles, strict=True)):
            for tag in range(8):
                client.put(Op.FCNTL, tag, handle, number * 100, tag + round_number)
            client.ring()
        rig.turn(10)
        for number, client in enumerate(clients):
            client.listen()
            expected = [(0, 0, tag, number * 100 + tag + round_number) for tag in range(8)]
            assert client.taken() == expected
    assert len(toy.open) == 40
