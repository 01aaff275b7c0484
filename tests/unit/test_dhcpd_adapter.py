"""What dhcpd writes down of a lease, and when."""

from __future__ import annotations

import random
from contextlib import nullcontext
from ipaddress import IPv4Address
from types import SimpleNamespace

import pytest

from daemons.dhcpd.adapter import Adapter, Room
from daemons.dhcpd.lease import Lease
from daemons.dhcpd.machine import Outcome
from daemons.dhcpd.memory import Memory
from redbear_host.scheme.loop import Loop

MAC = bytes.fromhex("525400123456")
LEASE = Lease(
    address=IPv4Address("192.0.2.7"), prefix=24, server=IPv4Address("192.0.2.1"),
    renew_at=50.0, rebind_at=80.0, ends_at=100.0,
)  # fmt: skip


class Netcfg:
    """Takes a lease, or not; notes what a successor would have read at that moment."""

    held = SimpleNamespace(calls=nullcontext)

    def __init__(self, path, outcome):
        self.path, self.outcome = path, outcome
        self.remembered = []

    def open_link(self, name):
        return SimpleNamespace(close=lambda: None)

    def is_up(self, link):
        return True

    def use(self, name, lease, before, nameservers):
        self.remembered.append(read(self.path, name))
        return self.outcome


def read(path, name):
    memory = Memory.open(path)
    try:
        return memory.get(name, MAC).lease
    finally:
        memory.close()


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_lease_is_remembered_before_its_address_is_anybodys(tmp_path, outcome):
    path = tmp_path / "leases"
    netcfg, memory = Netcfg(path, outcome), Memory.open(path)
    events = SimpleNamespace(subscribe=lambda *_: None, unsubscribe=lambda *_: None)
    room = Room(Loop(), netcfg, None, events, memory, random.Random(1), "", lambda call: call())
    adapter = Adapter("eth0", MAC, room)
    assert adapter.configure(LEASE, None) is outcome
    (known,) = netcfg.remembered
    assert known is not None
    assert known.address == LEASE.address
    kept = read(path, "eth0")
    assert (kept is not None) == (outcome is Outcome.USED)
    memory.close()
