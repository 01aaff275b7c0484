"""Real TAPs joined to a card that is made up: what Linux sees of it."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
from contextlib import closing, contextmanager

import pytest
from asked import Asked, errno_of, opened
from network_namespaces import has_carrier, inside, interface, ip, namespace, until
from network_rig import MAC, Rig, frame

from redbear_host import tap
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.classes.joined import Joined
from redbear_host.errors import Refused

pytestmark = pytest.mark.timeout(60)

ETH_P_ALL = 3


@pytest.fixture
def where():
    with namespace() as name:
        yield name


@pytest.fixture
def rig():
    made = Rig(depth=64)
    yield made
    made.close()


@contextmanager
def joined(rig, where, name="rb0", mac=MAC):
    """A TAP that was sent to the card as the ring door sends it: a duplicate."""
    with tap.make(name, where, (), mac) as made:
        inside(where, "sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")  # it would chatter
        handle = opened(rig.scheme, "data", f.O_RDWR)
        rig.scheme.on_sendfd(handle, [os.dup(made.fd)], 0, 0, Asked(pid=42))
        yield made, handle


def packet_socket(where, name):
    """A raw socket on an interface."""
    with tap.inside(where):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    made.bind((name, ETH_P_ALL))
    made.setblocking(False)
    return made


def from_peer(frames):
    """Leave out what Linux says of itself."""
    return [one for one in frames if one[6:12] == MAC[::-1]]


def received(raw):
    found = []
    while True:
        try:
            found.append(raw.recv(65536))
        except BlockingIOError:
            return found


def test_frames_of_every_length_pass_between_linux_and_the_card(rig, where):
    with joined(rig, where) as (made, _), closing(packet_socket(where, made.name)) as raw:
        lengths = range(14, 1515)
        came = []
        for length in lengths:
            rig.card.come(frame(length, max(length, 18))[:length])
            came += received(raw)
        until(lambda: came.extend(received(raw)) or len(from_peer(came)) >= len(lengths))
        ours = from_peer(came)
        assert ours == [frame(n, max(n, 18))[:n] for n in lengths]
        rig.card.wire.clear()
        for length in lengths:
            raw.send(frame(length, max(length, 18))[:length])
            rig.turn()
            rig.card.drain()

        def all_sent():
            rig.turn()
            rig.card.drain()
            return len(from_peer(rig.card.wire)) >= len(lengths)

        until(all_sent)
        sent = from_peer(rig.card.wire)
        assert sent == [frame(n, max(n, 18))[:n] for n in lengths]


def test_a_frame_too_long_for_the_card_is_dropped_and_the_next_one_passes(rig, where):
    with joined(rig, where) as (made, _), closing(packet_socket(where, made.name)) as raw:
        ip("-n", where, "link", "set", made.name, "mtu", "4000")
        raw.send(frame(1, 3000))
        raw.send(frame(2, 1514))
        until(lambda: rig.turn() or frame(2, 1514) in rig.card.wire)
        assert all(len(one) <= 1514 for one in rig.card.wire)
        assert rig.wire.statistics()["tap_bad"] == 1


def test_linux_sees_the_link_as_a_carrier(rig, where):
    with joined(rig, where) as (made, _):
        until(lambda: has_carrier(made.name, where))
        rig.card.change_link(0)
        until(lambda: not has_carrier(made.name, where))
        rig.card.change_link(100)
        until(lambda: has_carrier(made.name, where))


def test_only_the_newest_has_a_carrier(rig, where):
    with joined(rig, where, "rb0"), joined(rig, where, "rb1") as (_, handle):
        until(lambda: has_carrier("rb1", where) and not has_carrier("rb0", where))
        rig.scheme.on_close(handle)
        until(lambda: has_carrier("rb0", where) and not has_carrier("rb1", where))


def test_an_interface_that_is_down_loses_frames_and_comes_back(rig, where):
    with joined(rig, where) as (made, _):
        ip("-n", where, "link", "set", made.name, "down")
        rig.card.come(frame(1))
        assert rig.wire.statistics()["tap_dropped"] == 1
        ip("-n", where, "link", "set", made.name, "up")
        with closing(packet_socket(where, made.name)) as raw:
            rig.card.come(frame(2))
            until(lambda: frame(2) in received(raw))
        assert len(rig.wire.joins) == 1


def test_an_interface_that_is_deleted_is_let_go(rig, where):
    with joined(rig, where) as (made, _):
        ip("-n", where, "link", "delete", made.name)
        until(lambda: rig.turn() or not rig.wire.joins)
        rig.card.come(frame(1))
        assert rig.wire.statistics()["unread"] == 1


def test_closing_the_handle_is_the_end_of_the_interface(rig, where):
    with joined(rig, where) as (made, handle):
        os.set_inheritable(made.fd, False)
        rig.scheme.on_close(handle)
        assert interface(made.name, where) is not None  # the maker holds it still
    until(lambda: interface(made.name, where) is None)


def test_a_card_takes_frames_to_others_only_for_who_has_another_address(rig, where):
    with joined(rig, where, "rb0"):
        assert not rig.card.promiscuous
        with joined(rig, where, "rb1", bytes.fromhex("020000000001")) as (_, handle):
            assert rig.card.promiscuous
            rig.scheme.on_close(handle)
            assert not rig.card.promiscuous


@pytest.mark.parametrize("flags", [0x0001 | 0x1000, 0x0002 | 0x1000 | 0x4000, None])
def test_a_descriptor_that_speaks_otherwise_is_refused(rig, where, flags):
    with tap.inside(where):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        if flags is not None:
            fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"odd0", flags))
    with pytest.raises(Refused) as caught:
        Joined(fd, "test")
    assert caught.value.errno == e.EINVAL
    handle = opened(rig.scheme, "data", f.O_RDWR)
    assert errno_of(rig.scheme.on_sendfd, handle, [fd], 0, 0, Asked()) == e.EINVAL
    os.close(fd)


def test_two_programs_talk_through_two_cards(rig, where):
    """The frames one card sends are those the other receives: ping does not notice."""
    with (
        namespace() as there,
        joined(rig, where, "rb0"),
        closing_rig() as other,
        joined(other, there, "rb0", bytes.fromhex("525400524205")),
    ):
        ip("-n", where, "address", "add", "192.0.2.1/24", "dev", "rb0")
        ip("-n", there, "address", "add", "192.0.2.2/24", "dev", "rb0")
        ping = subprocess.Popen(
            [
                "ip",
                "netns",
                "exec",
                where,
                "ping",
                "-q",
                "-c",
                "20",
                "-i",
                "0.002",
                "-w",
                "20",
                "192.0.2.2",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        until(lambda: carry(rig, other) or ping.poll() is not None, between=lambda: None)
        said = ping.communicate(timeout=5)[0]
    assert ping.returncode == 0, said
    assert "20 received" in said


@contextmanager
def closing_rig():
    made = Rig(depth=64)
    try:
        yield made
    finally:
        made.close()


def carry(one, other):
    """Turn both loops, and carry what one card sent to the other."""
    for here, there in ((one, other), (other, one)):
        here.turn()
        frames, here.card.wire = here.card.wire, []
        here.card.drain()
        if frames:
            there.card.come(*frames)
