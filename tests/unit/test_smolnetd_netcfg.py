"""netcfg's files over a stack that only remembers: what is shown, written, refused, and told."""

from __future__ import annotations

import os
import random

import pytest
from smolnetd_fakes import NOBODY, ROOT_USER, FakeStack, mutated

from daemons.smolnetd.netcfg import NetcfgScheme
from daemons.smolnetd.nodes import Tree, route_text
from daemons.smolnetd.resolv import Resolv
from daemons.smolnetd.stack import Route
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.errors import Refused
from redbear_host.scheme.scheme import ROOT

ROUNDS = 200_000


class Netcfg:
    def __init__(self):
        self.memory = Resolv.create()
        self.resolv = Resolv(self.memory)
        self.stack = FakeStack("eth0", "eth1")
        self.scheme = NetcfgScheme(Tree(self.stack, self.resolv))
        self.events = []
        self.scheme.listeners = (lambda number, flags: self.events.append((number, flags)),)

    def open(self, path, flags=f.O_RDWR, request=ROOT_USER):
        return self.scheme.openat(ROOT, path, flags, 0, request).handle

    def read(self, path):
        handle = self.open(path, f.O_RDONLY)
        text = bytes(self.scheme.read(handle, 4096, 0, 0, ROOT_USER)).decode()
        self.scheme.on_close(handle)
        return text

    def write(self, path, text):
        handle = self.open(path, f.O_WRONLY)
        try:
            self.scheme.write(handle, memoryview(text.encode()), 0, 0, ROOT_USER)
            self.scheme.fsync(handle, ROOT_USER)
        finally:
            self.scheme.on_close(handle)


@pytest.fixture
def netcfg():
    made = Netcfg()
    yield made
    os.close(made.memory)


def refusal(act, *arguments):
    with pytest.raises(Refused) as raised:
        act(*arguments)
    return raised.value.errno


def test_routes_are_written_as_redox_does():
    default = Route("default", 2, "10.0.0.1", "eth0", "10.0.0.2")
    assert route_text(default) == "default via 10.0.0.1 dev eth0 src 10.0.0.2"
    near = Route("10.0.0.0/24", 2, "", "eth0", "10.0.0.2")
    assert route_text(near) == "10.0.0.0/24  dev eth0 src 10.0.0.2"


def test_defaults(netcfg):
    assert netcfg.read("resolv/nameserver") == "8.8.8.8\n"
    assert netcfg.read("ifaces/eth1/addr/list") == "Not configured\n"
    assert netcfg.read("route/list") == ""
    assert netcfg.read("ifaces/eth0/mac") == "52-54-00-12-34-56\n"


def test_a_line_may_come_in_pieces_and_without_its_end(netcfg):
    handle = netcfg.open("ifaces/eth0/addr/set")
    for piece in (b"192.0.", b"2.2/", b"24"):
        netcfg.scheme.write(handle, memoryview(piece), 0, 0, ROOT_USER)
    assert netcfg.read("ifaces/eth0/addr/list") == "Not configured\n"
    netcfg.scheme.on_close(handle)
    assert netcfg.read("ifaces/eth0/addr/list") == "192.0.2.2/24\n"


def test_nothing_behind_a_refused_line_is_taken(netcfg):
    handle = netcfg.open("ifaces/eth0/addr/add")
    with pytest.raises(Refused):
        netcfg.scheme.write(handle, memoryview(b"nonsense\n192.0.2.2/24\n"), 0, 0, ROOT_USER)
    netcfg.scheme.on_close(handle)
    assert netcfg.read("ifaces/eth0/addr/list") == "Not configured\n"


def test_set_replaces_its_own_family_only(netcfg):
    for text in ("192.0.2.2/24\n", "2001:db8::2/64\n", "192.0.2.3/24\n"):
        netcfg.write("ifaces/eth0/addr/set", text)
    assert netcfg.read("ifaces/eth0/addr/list") == "2001:db8::2/64\n192.0.2.3/24\n"


@pytest.mark.parametrize(
    ("path", "flags", "errno"),
    [
        ("nothing", f.O_RDONLY, e.EINVAL),
        ("ifaces/eth9/mac", f.O_RDONLY, e.EINVAL),
        ("ifaces/eth0/addr/list/x", f.O_RDONLY, e.EINVAL),
        ("ifaces", f.O_RDONLY, e.EISDIR),
        ("ifaces/eth0/mac", f.O_RDONLY | f.O_DIRECTORY, e.ENOTDIR),
        ("route/list", f.O_RDWR, e.EROFS),
        ("route/add", f.O_RDONLY, e.EACCES),
    ],
)
def test_opens_that_cannot_be(netcfg, path, flags, errno):
    assert refusal(netcfg.open, path, flags) == errno


def test_who_is_not_root_may_look(netcfg):
    assert refusal(netcfg.open, "route/add", f.O_WRONLY, NOBODY) == e.EACCES
    netcfg.scheme.on_close(netcfg.open("route/list", f.O_RDONLY, NOBODY))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("ifaces/eth0/addr/set", "192.0.2.2\n"),
        ("ifaces/eth0/addr/set", "255.255.255.255/32\n"),
        ("ifaces/eth0/addr/add", "ff02::1/64\n"),
        ("ifaces/eth0/mac", "01-00-5e-00-00-01\n"),
        ("ifaces/eth0/mtu", "67\n"),
        ("ifaces/eth0/mtu", "٣٣٣\n"),
        ("resolv/nameserver", "0.0.0.0\n"),
        ("resolv/nameserver", "8.8.8.8 9.9.9.9\n"),
        ("resolv/nameserver", "9.9.9.9\n" * 9),
        ("route/add", "default\n"),
        ("route/add", "x" * 5000),
    ],
)
def test_values_that_mean_nothing(netcfg, path, text):
    assert refusal(netcfg.write, path, text) == e.EINVAL


def test_what_is_left_of_a_dead_writer_s_servers_is_the_default(netcfg):
    netcfg.write("resolv/nameserver", "9.9.9.9\n2001:db8::1\n")
    assert Resolv(netcfg.memory).servers == ("9.9.9.9", "2001:db8::1")
    os.pwrite(netcfg.memory, b"9.9.9.9\n2001:dx", 0)
    assert Resolv(netcfg.memory).servers == ("8.8.8.8",)


def test_readers_hear_of_changes_and_only_of_their_own(netcfg):
    routes = netcfg.open("route/list", f.O_RDONLY)
    addresses = netcfg.open("ifaces/eth0/addr/list", f.O_RDONLY)
    for handle in (routes, addresses):
        netcfg.scheme.read(handle, 100, 0, 0, ROOT_USER)
        assert netcfg.scheme.fevent(handle, f.EVENT_READ) == 0
    netcfg.write("ifaces/eth0/addr/set", "192.0.2.2/24\n")
    assert netcfg.events == [(addresses, f.EVENT_READ)]
    assert netcfg.scheme.fevent(addresses, f.EVENT_READ) == f.EVENT_READ
    assert netcfg.scheme.read(addresses, 100, 0, 0, ROOT_USER) == b"192.0.2.2/24\n"


def test_an_adapter_that_leaves_takes_its_files_along(netcfg):
    handle = netcfg.open("ifaces/eth1/mac")
    netcfg.stack.there.pop()
    netcfg.scheme.changed()
    assert netcfg.scheme.read(handle, 100, 0, 0, ROOT_USER) == b""
    assert refusal(netcfg.open, "ifaces/eth1/mac") == e.EINVAL


def test_whatever_is_written_it_is_taken_or_refused(netcfg):
    rng = random.Random(8)
    words = ["default", "via", "dev", "eth0", "192.0.2.1", "/24", "fe80::1", "\n", " ", "9000"]
    alphabet = [*"0123456789.:/-abf \n\0é", *words]
    samples = ["192.0.2.2/24\n", "default via 192.0.2.1\n", "02-00-00-00-00-01\n", "9.9.9.9\n"]
    leaves = ["mac", "mtu", "addr/set", "addr/add", "addr/rm", "link", "addr/list", ""]
    paths = [f"ifaces/eth{number}/{leaf}" for number in range(3) for leaf in leaves]
    paths += ["resolv/nameserver", "route/add", "route/rm", "route/list", "route", "", "x"]
    flags = [f.O_RDONLY, f.O_WRONLY, f.O_RDWR, f.O_RDWR | f.O_STAT, f.O_RDONLY | f.O_DIRECTORY]
    done = 0
    for characters in mutated(samples, ROUNDS, alphabet, 9):
        try:
            handle = netcfg.open(rng.choice(paths), rng.choice(flags))
        except Refused as refused:
            seen = refused.errno
            assert seen in (e.EINVAL, e.EISDIR, e.ENOTDIR, e.EROFS, e.EACCES)
            continue
        try:
            data = "".join(characters).encode()
            netcfg.scheme.fstat(handle)
            netcfg.scheme.write(handle, memoryview(data), 0, 0, ROOT_USER)
            netcfg.scheme.fsync(handle, ROOT_USER)
            done += 1
        except Refused:
            pass
        finally:
            netcfg.scheme.on_close(handle)
        for adapter in netcfg.stack.there:
            addresses = netcfg.stack.its_addresses[adapter.name]
            assert len(set(addresses)) == len(addresses)
            del addresses[4:]
        del netcfg.stack.its_routes[4:]
    assert done > ROUNDS // 100
    assert not netcfg.scheme._files
