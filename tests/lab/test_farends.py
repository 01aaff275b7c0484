"""The far ends of a lab card's wire: a TAP in a namespace, a Unix datagram socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from ipaddress import IPv4Interface, IPv6Interface

import pytest

from redbear_host import tap
from redbear_host.errors import ConfigError
from redbear_host.lab.devices import parse
from redbear_host.lab.farends import Supplies
from redbear_host.lab.machine import Machine

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def namespace():
    """Offer a network namespace that goes with the test."""
    name = f"rb-far-{os.getpid()}"
    ip("netns", "add", name)
    yield name
    ip("netns", "delete", name)


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def interfaces(namespace):
    return {
        link["ifname"]: (
            "UP" in link["flags"],
            sorted(f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"]),
        )
        for link in json.loads(ip("-n", namespace, "-j", "address", "show"))
        if link["ifname"] != "lo"
    }


def wait_until(done, within=20.0):
    deadline = time.monotonic() + within
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def machine(text, folder):
    supplies = Supplies()
    return Machine(parse(text).arguments(folder, supplies=supplies), supplies=supplies)


def test_a_tap_is_up_with_its_addresses_and_goes_with_its_descriptor(namespace):
    here = os.readlink("/proc/self/ns/net")
    addresses = [IPv4Interface("192.0.2.1/24"), IPv6Interface("2001:db8::1/64")]
    with tap.make("wire%d", namespace, addresses) as made:
        assert made.name == "wire0"
        up, found = interfaces(namespace)["wire0"]
        assert up
        assert {"192.0.2.1/24", "2001:db8::1/64"} <= set(found)
        with tap.make("wire%d", namespace) as second:
            assert second.name == "wire1"
    wait_until(lambda: not interfaces(namespace))
    assert os.readlink("/proc/self/ns/net") == here


def test_an_interface_that_is_there_is_not_taken(namespace):
    ip("-n", namespace, "tuntap", "add", "mine", "mode", "tap")
    ip("-n", namespace, "link", "add", "other", "type", "veth", "peer", "name", "third")
    for name in ("mine", "other", "lo"):
        with pytest.raises(ConfigError, match=f"there is an interface {name} already") as caught:
            tap.make(name, namespace)
        assert f"ip -n {namespace} link show {name}" in caught.value.hint
    assert {"mine", "other", "third"} == set(interfaces(namespace))


def test_a_namespace_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="no network namespace 'nowhere'") as caught:
        tap.make("rb%d", "nowhere")
    assert caught.value.hint == "make it with: ip netns add nowhere"


@pytest.mark.parametrize("kind", ["e1000", "e1000-82545em", "e1000e"])
def test_a_card_has_its_tap_for_as_long_as_its_machine(kind, namespace, tmp_path):
    text = f"{kind}:peer=netns:{namespace}/far,peer_address=192.0.2.1/24"
    with machine(text, tmp_path) as running:
        (function,) = running.functions
        assert function.ids.class_code == 0x020000
        assert interfaces(namespace)["far"][0]
        assert "192.0.2.1/24" in interfaces(namespace)["far"][1]
        os.kill(running.qemu.pid, signal.SIGKILL)
        wait_until(lambda: not interfaces(namespace))  # it was QEMU's alone


def test_a_machine_that_does_not_start_leaves_nothing(namespace, tmp_path):
    supplies = Supplies()
    told = parse(f"e1000:peer=netns:{namespace}").arguments(tmp_path, supplies=supplies)
    assert list(interfaces(namespace)) == ["rb0"]
    with pytest.raises(Exception, match="QEMU does not start"):
        Machine([*told, "-device", "no-such-device"], supplies=supplies)
    wait_until(lambda: not interfaces(namespace))


def test_a_unix_socket_is_there_while_the_machine_is(tmp_path):
    wire = tmp_path / "wire"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.bind(str(wire))
        with machine(f"e1000:peer=unix:{wire}", tmp_path):
            # Nobody drives the card: that its end takes a frame is all that can be seen.
            assert peer.sendto(bytes(60), f"{wire}.nic") == 60
        assert not (tmp_path / "wire.nic").exists()
