from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from redbear_host.errors import TransportError
from redbear_host.lab.qmp import Qmp, QmpRefused

GREETING = {"QMP": {"version": {}, "capabilities": []}}
DONE: dict[str, Any] = {"return": {}}


class Peer:
    """A monitor that says what the test lets it say, before it is asked."""

    def __init__(self) -> None:
        self.theirs, self.ours = socket.socketpair()

    def say(self, *messages: object) -> None:
        self.theirs.sendall(b"".join(json.dumps(one).encode() + b"\r\n" for one in messages))

    def open(self, within: float = 1.0) -> Qmp:
        return Qmp(self.ours, within)


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.theirs.close()
    peer.ours.close()


def test_a_command_returns_its_result(peer: Peer) -> None:
    peer.say(GREETING, DONE, {"return": "QEMU"})
    assert peer.open().hmp("info version") == "QEMU"
    said = [json.loads(line) for line in peer.theirs.recv(4096).splitlines()]
    assert said == [
        {"execute": "qmp_capabilities"},
        {"execute": "human-monitor-command", "arguments": {"command-line": "info version"}},
    ]


def test_events_are_kept_for_whoever_waits_for_them(peer: Peer) -> None:
    peer.say(GREETING, DONE, {"event": "STOP"}, {"event": "RESUME"}, DONE)
    qmp = peer.open()
    qmp.execute("cont")
    assert qmp.wait_event("RESUME") == {"event": "RESUME"}
    assert list(qmp.events) == [{"event": "STOP"}]
    peer.say({"event": "SHUTDOWN"}, {"event": "STOP", "second": True})
    assert qmp.wait_event("SHUTDOWN")["event"] == "SHUTDOWN"
    assert qmp.wait_event("STOP") == {"event": "STOP"}
    assert qmp.wait_event("STOP")["second"]


def test_a_refusal_has_qemus_words(peer: Peer) -> None:
    peer.say(GREETING, DONE, {"error": {"class": "GenericError", "desc": "no such thing"}}, DONE)
    qmp = peer.open()
    with pytest.raises(QmpRefused, match="QEMU refused frobnicate: no such thing"):
        qmp.execute("frobnicate")
    assert qmp.execute("stop") == {}


def test_an_event_that_does_not_come_ends_the_wait(peer: Peer) -> None:
    peer.say(GREETING, DONE)
    qmp = peer.open()
    with pytest.raises(TransportError, match="not answered in time"):
        qmp.wait_event("STOP", within=0.01)


def test_a_silent_monitor_ends_the_wait(peer: Peer) -> None:
    with pytest.raises(TransportError, match="not answered in time"):
        peer.open(within=0.01)


def test_a_monitor_that_closes_is_an_error(peer: Peer) -> None:
    peer.say(GREETING, DONE)
    qmp = peer.open()
    peer.theirs.close()
    with pytest.raises(TransportError, match="monitor"):
        qmp.execute("stop")


@pytest.mark.parametrize("greeting", [{"hello": 1}, [1, 2]])
def test_another_program_is_no_monitor(peer: Peer, greeting: object) -> None:
    peer.say(greeting)
    with pytest.raises(TransportError, match=r"no object|not a QEMU monitor"):
        peer.open()


def test_bytes_that_are_no_json_are_an_error(peer: Peer) -> None:
    peer.theirs.sendall(b"hello\n")
    with pytest.raises(TransportError, match="no object"):
        peer.open()
