"""A host that writes down what it is asked for, and a server's half of DHCP, for dhcpd's tests."""

from __future__ import annotations

from ipaddress import IPv4Address
from random import Random
from struct import pack

from daemons.dhcpd.machine import Machine, Outcome
from daemons.dhcpd.message import Kind, Option, parse

MAC = bytes.fromhex("525400123456")
SERVER = IPv4Address("192.0.2.1")
OTHER = IPv4Address("192.0.2.2")
ADDRESS = IPv4Address("192.0.2.77")


def reply(kind, xid, *, address=ADDRESS, server=SERVER, mac=MAC, lease=100, op=2, options=()):
    """Bytes of a server's message, put together by hand."""
    fields = {
        Option.DHCP_MESSAGE_TYPE: bytes((kind,)),
        Option.SERVER_IDENTIFIER: server.packed if server else None,
        Option.IP_ADDRESS_LEASE_TIME: pack("!I", lease) if lease is not None else None,
        Option.SUBNET_MASK: bytes((255, 255, 255, 0)),
    }
    fields |= dict(options)
    head = pack("!BBBBIHH4s4s4s4s16s64s128s", op, 1, 6, 0, xid, 0, 0, b"", address.packed, b"",
                b"", mac, b"", b"")  # fmt: skip
    body = b"".join(bytes((c, len(v))) + v for c, v in fields.items() if v is not None)
    return head + bytes((99, 130, 83, 99)) + body + b"\xff"


class Bench:
    """A machine, its host, and the time."""

    def __init__(self, seed=1, outcome=Outcome.USED):
        self.now = 1000.0
        self.sent = []  # (time, message, server)
        self.configured = []
        self.removed = []
        self.outcome = outcome
        self.machine = Machine(self, MAC, Random(seed), "box")

    def send(self, data, server):
        self.sent.append((self.now, parse(data), server))

    def configure(self, lease, before):
        self.configured.append((lease, before))
        return self.outcome

    def remove(self, lease):
        self.removed.append(lease.address)

    @property
    def last(self):
        return self.sent[-1][1]

    @property
    def kinds(self):
        return [message.kind for _, message, _ in self.sent]

    def say(self, kind, **facts):
        """Let a server answer what was sent last."""
        facts.setdefault("xid", self.last.xid)
        self.machine.on_message(reply(kind, **facts), self.now)

    def wait(self):
        """Let the time pass until the machine wants to do something, and let it."""
        assert self.machine.deadline >= self.now
        self.now = self.machine.deadline
        self.machine.tick(self.now)

    def run_until(self, when):
        while self.machine.deadline <= when:
            self.now = max(self.now, self.machine.deadline)
            self.machine.tick(self.now)
        self.now = when

    def bind(self, **facts):
        """Come to a lease as one should."""
        self.machine.start(self.now)
        self.say(Kind.OFFER, **facts)
        self.say(Kind.ACK, **facts)
        return self.machine.lease
