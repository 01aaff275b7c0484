"""Two cards at once, a card that is refused, and a wire that loses frames."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import select
import subprocess
import tempfile
from pathlib import Path

import pytest
from network_namespaces import ip, namespace, until
from smolnetd_rig import FAR, NEAR, Net
from up_rig import redbear

pytestmark = pytest.mark.timeout(90)

SECOND_FAR, SECOND_NEAR = "198.51.100.1", "198.51.100.2"
ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, sys.argv[1].encode())
s.bind(("", 7))
while True:
    data, who = s.recvfrom(65536)
    s.sendto(sys.argv[1].encode(), who)
"""
SERVE = """
import socket, sys
block = bytes(range(256)) * 4096
s = socket.create_server(("", 5020))
while True:
    c, _ = s.accept()
    c.recv(1000)
    for _ in range(16): c.sendall(block)
    c.close()
"""
BLOCKS = hashlib.sha256(bytes(range(256)) * 4096 * 16).hexdigest()


@pytest.fixture(scope="module")
def net():
    with tempfile.TemporaryDirectory() as folder, namespace() as where:
        os.chmod(folder, 0o755)
        second = f"e1000:peer=netns:{where}/other,peer_address={SECOND_FAR}/24"
        with Net(Path(folder), where, "--lab", second) as made:
            made.configure(f"{SECOND_NEAR}/24", "eth1")
            yield made


def test_each_card_is_an_adapter_with_its_own_address(net):
    cards = sorted(net.mount.glob("network.*"))
    adapters = sorted((net.netcfg / "ifaces").iterdir())
    assert [adapter.name for adapter in adapters] == ["eth0", "eth1"]
    for card, adapter in zip(cards, adapters, strict=True):
        packed = bytes.fromhex((adapter / "mac").read_text().strip().replace("-", ""))
        assert packed == (card / "mac").read_bytes()
    routes = (net.netcfg / "route/list").read_text()
    assert f"192.0.2.0/24  dev eth0 src {NEAR}\n" in routes
    assert f"198.51.100.0/24  dev eth1 src {SECOND_NEAR}\n" in routes


def test_a_card_comes_and_goes_and_the_others_stay(net):
    """`add` and `remove`: an adapter comes with the card, and its sockets hear that it went."""
    ifaces = net.netcfg / "ifaces"
    wire = f"e1000:peer=netns:{net.far}/third,peer_address=203.0.113.1/24"
    done = redbear("add", "--lab", wire, "--json", "--run-dir", net.run_dir)
    assert done.returncode == 0, done.stderr
    (scheme,) = json.loads(done.stdout)["schemes"]
    until(lambda: (ifaces / "eth2").is_dir())
    net.configure("203.0.113.2/24", "eth2")
    until(lambda: ping(net, "203.0.113.1"))
    done = redbear("remove", scheme, "--run-dir", net.run_dir)
    assert done.returncode == 0, done.stderr
    until(lambda: sorted(path.name for path in ifaces.iterdir()) == ["eth0", "eth1"])
    assert "203.0.113" not in (net.netcfg / "route/list").read_text()
    assert ping(net, FAR)
    with pytest.raises(OSError, match=r".") as raised:
        os.open(net.mount / "tcp/203.0.113.1:80", os.O_RDWR)
    assert raised.value.errno == errno.ENETUNREACH


def test_an_address_of_the_link_needs_its_adapter(net):
    """fe80::…: the same on every wire, so that the adapter has to be named."""
    link = json.loads(ip("-n", net.far, "-j", "-6", "address", "show", "dev", "far"))
    found = [one["local"] for entry in link for one in entry.get("addr_info", ())]
    far = next(one for one in found if one.startswith("fe80:"))
    net.stranger("nc", "-6", "-l", "5021")
    net.listens(5021)
    with pytest.raises(OSError, match=r".") as raised:
        os.open(net.mount / f"tcp/[{far}]:5021", os.O_RDWR)
    assert raised.value.errno == errno.EINVAL
    os.close(os.open(net.mount / f"tcp/[{far}]:5021%eth0", os.O_RDWR))


def ask(net, path):
    fd = os.open(net.mount / path, os.O_RDWR)
    try:
        os.write(fd, b"who are you?")
        assert select.select([fd], [], [], 10)[0]
        return os.read(fd, 100)
    finally:
        os.close(fd)


def test_a_broadcast_goes_by_the_adapter_it_names(net):
    for name in ("far", "other"):
        net.stranger("python3", "-c", ECHO, name)
    for name in ("far", "other"):
        net.listens(f"%{name}:7", "-lun")
    assert ask(net, "udp/255.255.255.255:7,0.0.0.0:0%eth0") == b"far"
    assert ask(net, "udp/255.255.255.255:7,0.0.0.0:0%eth1") == b"other"
    assert ask(net, f"udp/{SECOND_FAR}:7") == b"other"


def test_after_a_death_of_smolnetd_both_are_as_they_were(net):
    def facts():
        ifaces = net.netcfg / "ifaces"
        return {
            adapter.name: [(adapter / leaf).read_text() for leaf in ("mac", "addr/list", "mtu")]
            for adapter in ifaces.iterdir()
        }

    before = facts()
    assert len(before) == 2
    net.kill("smolnetd")
    assert facts() == before
    until(lambda: ping(net, SECOND_FAR))


def ping(net, host):
    fd = os.open(net.mount / f"icmp/echo/{host}", os.O_RDWR)
    try:
        os.write(fd, b"\0\1ping")
        return bool(select.select([fd], [], [], 0.5)[0])
    finally:
        os.close(fd)


def test_a_transfer_gets_through_two_percent_of_loss(net):
    net.stranger("python3", "-c", SERVE)
    net.listens(5020)
    table = "add table netdev t; add chain netdev t c "
    table += "{ type filter hook ingress device far priority 0; };"
    table += "add rule netdev t c numgen random mod 100 < 2 counter drop"
    ip("netns", "exec", net.far, "nft", table)
    try:
        found = hashlib.sha256()
        fd = os.open(net.mount / f"tcp/{FAR}:5020", os.O_RDWR)
        os.write(fd, b"go")
        while data := os.read(fd, 1 << 20):
            found.update(data)
        os.close(fd)
        assert found.hexdigest() == BLOCKS
        words = [
            "curl",
            "-sS",
            "--http0.9",
            "-m",
            "60",
            "--proxy",
            f"socks5h://localhost{net.socks}",
        ]
        done = subprocess.run(
            [*words, f"http://{FAR}:5020/"], stdout=subprocess.PIPE, timeout=80, check=False
        )
        assert hashlib.sha256(done.stdout).hexdigest() == BLOCKS
        listed = ip("netns", "exec", net.far, "nft", "list", "table", "netdev", "t")
        assert "packets 0 " not in listed  # some were really lost
    finally:
        ip("netns", "exec", net.far, "nft", "delete", "table", "netdev", "t")
