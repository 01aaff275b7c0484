"""A stack that only remembers, and garbage that looks nearly right."""

from __future__ import annotations

import errno
import os
import random
import socket

from daemons.smolnetd.stack import Adapter, Route
from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller, Unheard

ROOT_USER = Unheard(Caller(1, 0, 0))
NOBODY = Unheard(Caller(2, 65534, 65534))


class FakeStack:
    """See `daemons.smolnetd.stack.Stack`; its sockets are Linux's own."""

    def __init__(self, *names):
        self.on_change = lambda: None
        self.there = [
            Adapter(name, number, f"network.{name}", bytes.fromhex("525400123456"), 1500, True)
            for number, name in enumerate(names, 2)
        ]
        self.its_addresses = {name: [] for name in names}
        self.its_routes = []

    def socket(self, family, kind, protocol=0):
        return socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)

    def adapters(self):
        return self.there

    def addresses(self, adapter):
        return list(self.its_addresses[adapter.name])

    def add_address(self, adapter, wanted):
        if wanted in self.its_addresses[adapter.name]:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        self.its_addresses[adapter.name].append(wanted)

    def remove_address(self, adapter, gone):
        self.its_addresses[adapter.name].remove(gone)

    def routes(self):
        return self.its_routes

    def add_route(self, network, gateway, device):
        name = network.network if network.bits else "default"
        self.its_routes.append(Route(name, network.family, gateway, device or "eth0", "192.0.2.2"))

    def remove_route(self, network):
        name = network.network if network.bits else "default"
        self.its_routes = [one for one in self.its_routes if one.network != name]

    def set_mac(self, adapter, mac):
        self.there = [one._replace(mac=mac) if one == adapter else one for one in self.there]

    def set_mtu(self, adapter, mtu):
        self.there = [one._replace(mtu=mtu) if one == adapter else one for one in self.there]


def mutated(samples, count, alphabet, seed):
    """Yield `count` texts: samples with pieces changed, doubled, cut, joined, and pure noise."""
    rng = random.Random(seed)
    for _ in range(count):
        text = list(rng.choice(samples))
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(text) + 1)
            match rng.randrange(5):
                case 0:
                    text[at : at + 1] = [rng.choice(alphabet)]
                case 1:
                    text[at:at] = [rng.choice(alphabet) for _ in range(rng.randrange(1, 5))]
                case 2:
                    del text[at : at + rng.randrange(1, 4)]
                case 3:
                    other = rng.choice(samples)
                    text[at:] = list(other[rng.randrange(len(other) + 1) :])
                case 4:
                    text[at:at] = text[max(0, at - 4) : at] * rng.randrange(1, 4)
        yield text


def read(parse, text):
    """Return what a parser makes of a text; None where it says EINVAL, and nothing else."""
    try:
        return parse(text)
    except Refused as refusal:
        if refusal.errno != e.EINVAL:
            raise
        return None
