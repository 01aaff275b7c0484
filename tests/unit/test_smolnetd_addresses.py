"""Addresses in paths and in netcfg: what is read, and what is refused."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from smolnetd_fakes import mutated, read

from daemons.smolnetd import addresses as a
from daemons.smolnetd.nodes import parse_route
from redbear_host.abi import errno as e
from redbear_host.errors import Refused

ROUNDS = 200_000
ALPHABET = [*"0123456789.:[]%/,abcdefABCDEFgx-_ \0\né٣", "eth0", "::", "255", "65536"]

ENDPOINTS = [
    ("10.0.0.1:80", "10.0.0.1:80"),
    ("0.0.0.0:0", "0.0.0.0:0"),
    (":8080", "0.0.0.0:8080"),
    ("[::1]:65535", "[::1]:65535"),
    ("[2001:DB8::0:1]:53", "[2001:db8::1]:53"),
    ("0.0.0.0:68%eth0", "0.0.0.0:68%eth0"),
    ("[fe80::1]:1%eth1", "[fe80::1]:1%eth1"),
]


@pytest.mark.parametrize(("text", "spelt"), ENDPOINTS)
def test_an_endpoint_is_read_and_spelt(text, spelt):
    found = a.endpoint(text)
    assert str(found) == spelt
    assert a.endpoint(spelt) == found


@pytest.mark.parametrize(
    "text",
    [
        *("", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:+1", "10.0.0.1: 1", "10.0.0:1"),
        *("010.0.0.1:1", "[10.0.0.1]:1", "::1:80", "[::1]", "[::1:80", "[fe80::1%eth0]:80"),
        *("1.2.3.4:1%", "1.2.3.4:1%no/name", "1.2.3.4:1%sixteen-letters.", "host:80", "1.2.3.4:٣"),
        *("1.2.3.4\0:80", "1.2.3.4:80\n"),
    ],
)
def test_what_is_no_endpoint_is_einval(text):
    with pytest.raises(Refused) as raised:
        a.endpoint(text)
    assert raised.value.errno == e.EINVAL


@pytest.mark.parametrize(
    ("path", "remote", "local"),
    [
        ("10.0.0.1:80", "10.0.0.1:80", None),
        ("10.0.0.1:80,0.0.0.0:5000", "10.0.0.1:80", "0.0.0.0:5000"),
        ("10.0.0.1:80/0.0.0.0:5000", "10.0.0.1:80", "0.0.0.0:5000"),
        ("0.0.0.0:80", None, "0.0.0.0:80"),
        ("[::]:80", None, "[::]:80"),
        ("/0.0.0.0:80", None, "0.0.0.0:80"),
        ("0.0.0.0:0/10.0.0.2:80", None, "10.0.0.2:80"),
        (",[::1]:80", None, "[::1]:80"),
        ("255.255.255.255:67,0.0.0.0:68%eth0", "255.255.255.255:67", "0.0.0.0:68%eth0"),
    ],
)
def test_a_path_names_two_ends(path, remote, local):
    found = a.pair(path)
    assert (found.remote and str(found.remote), found.local and str(found.local)) == (remote, local)


@pytest.mark.parametrize(
    "path", ["10.0.0.1:80,[::]:0", "10.0.0.1:0", "0.0.0.0:80,0.0.0.0:80", "1.1.1.1:1,1.1.1.1:1,"]
)
def test_ends_that_do_not_go_together_are_einval(path):
    with pytest.raises(Refused) as raised:
        a.pair(path)
    assert raised.value.errno == e.EINVAL


def test_no_path_does_anything_but_to_be_read_or_refused():
    samples = [text for text, _ in ENDPOINTS] + ["10.0.0.1:80,0.0.0.0:5000", "/0.0.0.0:80"]
    taken = 0
    for characters in mutated(samples, ROUNDS, ALPHABET, 1):
        path = "".join(characters)
        found = read(a.pair, path)
        if found is None:
            continue
        taken += 1
        for end in filter(None, found):
            assert a.endpoint(str(end)) == end, path
            assert 0 <= end.port <= 0xFFFF
            assert (
                str(ipaddress.ip_address(end.address))
                == ipaddress.ip_address(end.address).compressed
            )
            socket.inet_pton(end.family, end.address)
    assert taken > ROUNDS // 20


CIDRS = ["192.0.2.2/24", "2001:db8::2/64", "10.0.0.1/32", "::/0", "0.0.0.0/0"]


def test_networks_agree_with_python_s():
    taken = 0
    for characters in mutated(CIDRS, ROUNDS, ALPHABET, 2):
        text = "".join(characters)
        found = read(a.cidr, text)
        if found is None:
            continue
        taken += 1
        if taken % 8:
            continue  # it takes its time
        meant = ipaddress.ip_interface(f"{found.address}/{found.bits}")
        assert ipaddress.ip_interface(text) == meant
        assert found.network == str(meant.network)
        if found.broadcast:
            assert found.broadcast == meant.network.broadcast_address.packed
    assert taken > ROUNDS // 20


@pytest.mark.parametrize("text", ["52-54-00-12-34-56", "52:54:00:12:34:56", "02-AB-cd-ef-00-01"])
def test_a_hardware_address_is_read_in_both_spellings(text):
    packed = a.mac(text)
    assert a.mac(a.mac_text(packed)) == packed


def test_no_text_becomes_a_hardware_address_of_a_group():
    samples = ["52-54-00-12-34-56", "52:54:00:12:34:56", "00-00-00-00-00-00", "ff-ff-ff-ff-ff-ff"]
    for characters in mutated(samples, ROUNDS, ALPHABET, 3):
        text = "".join(characters)
        found = read(a.mac, text)
        if found is None:
            continue
        assert len(found) == 6
        assert not found[0] & 1
        assert any(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("default via 192.0.2.1", (a.Cidr(2, "0.0.0.0", 0), "192.0.2.1", "")),
        ("default via fe80::1 dev eth0", (a.Cidr(10, "::", 0), "fe80::1", "eth0")),
        ("10.0.0.0/8 via 192.0.2.1", (a.Cidr(2, "10.0.0.0", 8), "192.0.2.1", "")),
        ("10.1.2.3/8 dev eth1", (a.Cidr(2, "10.1.2.3", 8), "", "eth1")),
    ],
)
def test_a_route_is_read(text, expected):
    assert parse_route(text) == expected


def test_no_route_does_anything_but_to_be_read_or_refused():
    samples = ["default via 192.0.2.1", "10.0.0.0/8 via 192.0.2.1 dev eth0", "::/0 via fe80::1"]
    words = [*ALPHABET, " via ", " dev ", "default", "eth0"]
    for characters in mutated(samples, ROUNDS, words, 4):
        text = "".join(characters).strip()
        if not text:
            continue
        found = read(parse_route, text)
        if found is None:
            continue
        network, gateway, device = found
        assert gateway or device
        assert not gateway or ipaddress.ip_address(gateway).version == (
            4 if network.family == 2 else 6
        )
