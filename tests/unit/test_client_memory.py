"""The daemon's end of its copier, with the copier played by the test."""

from __future__ import annotations

import mmap
import os
import socket
from collections.abc import Iterator

import pytest

from redbear_host.abi import errno as e
from redbear_host.errors import ProtocolError
from redbear_host.scheme import clients
from redbear_host.scheme.clients import (
    AGAIN,
    ANSWER,
    ASK,
    COMMAND_AT,
    DATA_AT,
    HALF_BYTES,
    HEAD_AT,
    SENSE_AT,
    STAGING_BYTES,
    Copier,
    Fetched,
    Stored,
    Verb,
)
from redbear_host.scheme.loop import Loop


class Bench:
    def __init__(self) -> None:
        self.loop = Loop()
        ours, self.copier = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.copier.setblocking(False)
        fd = os.memfd_create("staging")
        os.ftruncate(fd, STAGING_BYTES)
        self.staging = mmap.mmap(fd, STAGING_BYTES)
        self.end = Copier(ours.detach(), fd, self.loop)
        os.close(fd)
        self.heard: list[Fetched | Stored] = []

    def question(self) -> tuple[int, ...]:
        found: tuple[int, ...] = ASK.unpack(self.copier.recv(100))
        return found

    def round(self) -> None:
        timer = self.loop.at(self.loop.now() + 1, lambda: None)
        self.loop.run_round()
        timer.cancel()

    def answer(self, number: int, errno: int = 0, *sizes: int) -> None:
        self.copier.send(ANSWER.pack(number, errno, *(sizes or (0, 0, 0))))
        self.round()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.end.close()
    made.copier.close()
    made.loop.close()


def test_a_question_names_thread_command_and_argument(bench: Bench) -> None:
    bench.end.memory(42, 0x2285, 0x7FFF_0000_1234).fetch(bench.heard.append)
    verb, number, *rest = bench.question()
    assert (verb, rest) == (Verb.FETCH, [42, 0x2285, 0x7FFF_0000_1234, 0, 0, 0])
    bench.staging[HEAD_AT : HEAD_AT + 4] = b"head"
    bench.staging[COMMAND_AT : COMMAND_AT + 3] = b"cdb"
    bench.staging[DATA_AT : DATA_AT + 4] = b"data"
    bench.answer(number, 0, 4, 3, 4)
    assert bench.heard == [Fetched(0, b"head", b"cdb", b"data")]


def test_what_is_stored_lies_in_its_own_half(bench: Bench) -> None:
    memory = bench.end.memory(42, 0x2285, 1)
    memory.store(bench.heard.append, head=b"out", sense=b"why", data=memoryview(b"bytes"))
    verb, number, *rest = bench.question()
    assert (verb, rest[3:]) == (Verb.STORE, [3, 3, 5])
    for at, piece in ((HEAD_AT, b"out"), (SENSE_AT, b"why"), (DATA_AT, b"bytes")):
        place = HALF_BYTES + at
        assert bench.staging[place : place + len(piece)] == piece
    bench.answer(number, e.ESRCH)
    assert bench.heard == [Stored(e.ESRCH)]


def test_one_question_at_a_time_and_the_others_in_their_order(bench: Bench) -> None:
    for thread in (1, 2, 3):
        bench.end.memory(thread, 0x2285, 0).fetch(bench.heard.append)
    for thread in (1, 2, 3):
        _, number, asked, *_ = bench.question()
        assert asked == thread
        with pytest.raises(BlockingIOError):
            bench.question()
        bench.answer(number, thread)
    assert [one.errno for one in bench.heard] == [1, 2, 3]


def test_an_answer_that_comes_too_late_is_nobodys(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "_WITHIN_S", 0.01)
    bench.end.memory(1, 0x2285, 0).fetch(bench.heard.append)
    _, late, *_ = bench.question()
    bench.round()
    assert [one.errno for one in bench.heard] == [e.ETIMEDOUT]
    monkeypatch.setattr(clients, "_WITHIN_S", 60)
    bench.end.memory(2, 0x2285, 0).fetch(bench.heard.append)
    _, number, *_ = bench.question()
    bench.answer(late)
    assert len(bench.heard) == 1
    bench.answer(number)
    assert [one.errno for one in bench.heard] == [e.ETIMEDOUT, 0]


def test_a_question_whose_copier_died_is_asked_again_once(bench: Bench) -> None:
    bench.answer(AGAIN)  # of a time when there was no question
    bench.end.memory(1, 0x2285, 0).fetch(bench.heard.append)
    first = bench.copier.recv(100)
    bench.answer(AGAIN)
    assert bench.copier.recv(100) == first
    assert bench.heard == []
    bench.answer(ASK.unpack(first)[1])
    assert [one.errno for one in bench.heard] == [0]
    bench.end.memory(2, 0x2285, 0).fetch(bench.heard.append)
    bench.answer(AGAIN)
    bench.answer(AGAIN)
    assert [one.errno for one in bench.heard] == [0, e.EIO]


def test_too_many_questions_and_a_copier_that_is_gone_are_errors(bench: Bench) -> None:
    for _ in range(20_000):
        bench.end.memory(1, 0x2285, 0).fetch(bench.heard.append)
    bench.loop.soon(lambda: None)
    bench.round()
    assert [one.errno for one in bench.heard] == [e.EAGAIN] * (20_000 - 16_385)
    bench.copier.close()
    bench.heard.clear()
    deadline = bench.loop.now() + 5
    while len(bench.heard) < 16_384 and bench.loop.now() < deadline:
        bench.round()
    assert {one.errno for one in bench.heard} == {e.EIO}


def test_an_answer_of_the_wrong_length_ends_the_daemon(bench: Bench) -> None:
    bench.copier.send(b"x")
    with pytest.raises(ProtocolError):
        bench.round()
