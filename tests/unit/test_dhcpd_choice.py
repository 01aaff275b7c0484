"""What dhcpd does with an adapter, what it remembers, and what it takes for a command."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, ip_address
from random import Random

import pytest

from daemons.dhcpd.choice import Act, choose
from daemons.dhcpd.command import Command, Verb, parse
from daemons.dhcpd.lease import Lease
from daemons.dhcpd.memory import Memory, Remembered, Wish
from redbear_host.profiles.setting import How, Setting

MAC = bytes.fromhex("525400123456")
LEASE = Lease(
    address=IPv4Address("192.0.2.9"),
    prefix=24,
    server=IPv4Address("192.0.2.1"),
    nameservers=(IPv4Address("9.9.9.9"),),
    renew_at=1,
    rebind_at=2,
    ends_at=float("inf"),
)
NEW = Remembered(MAC)
NINE = ip_address("9.9.9.9")


def setting(how):
    return Setting(how=how, source="profile home")


@pytest.mark.parametrize(
    ("known", "present", "files", "auto", "act", "why"),
    [
        (NEW, [], None, True, Act.DHCP, ""),
        (NEW, [], None, False, Act.LEAVE, "auto is off"),
        (NEW, [], setting(How.DHCP), False, Act.DHCP, "profile home"),
        (NEW, [], setting(How.STATIC), True, Act.STATIC, "profile home"),
        (NEW, [], setting(How.BOUNDED), True, Act.LEAVE, "profile home"),
        (NEW, [], "net/ip: what?", True, Act.LEAVE, "net/ip: what?"),
        (NEW, ["10.0.0.2/24"], setting(How.STATIC), True, Act.LEAVE, "it has 10.0.0.2/24 already"),
        (NEW, ["10.0.0.2/24"], None, True, Act.LEAVE, "it has 10.0.0.2/24 already"),
        (Remembered(MAC, Wish.STOP, "me"), [], None, True, Act.LEAVE, "me"),
        (Remembered(MAC, Wish.START, "me"), [], setting(How.STATIC), False, Act.DHCP, "me"),
        (Remembered(MAC, Wish.START, "me"), ["10.0.0.2/24"], None, True, Act.DHCP, "me"),
        (Remembered(MAC, lease=LEASE), ["192.0.2.9/24"], None, True, Act.DHCP, ""),
        (Remembered(MAC, lease=LEASE), [], "broken", True, Act.DHCP, ""),
    ],
)
def test_what_was_said_comes_first_then_what_is_there_then_the_files(
    known, present, files, auto, act, why
):
    assert choose(known, present, files, auto) == (act, why)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "dhcpd" / "leases.json"


def test_the_next_life_knows_what_this_one_did(path):
    memory = Memory.open(path)
    said = Remembered(MAC, Wish.START, "profile home", (ip_address("2001:db8::1"),), LEASE)
    memory.put("eth0", said)
    memory.put("eth1", Remembered(bytes(6), Wish.STOP))
    memory.put("eth0", said)
    memory.close()
    after = Memory.open(path)
    assert after.get("eth0", MAC) == said
    assert after.get("eth1", bytes(6)).wish is Wish.STOP
    after.close()
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_another_card_in_its_place_is_a_stranger(path):
    memory = Memory.open(path)
    memory.put("eth0", Remembered(MAC, Wish.STOP, "", (), LEASE))
    assert memory.get("eth0", bytes(6)) == Remembered(bytes(6))
    memory.close()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"eth0": 1}', '{"eth0": {"mac": "zz"}}', "[" * 100_000, "\udc80"]
)
def test_a_memory_that_makes_no_sense_is_an_empty_one(path, text):
    path.parent.mkdir()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    memory = Memory.open(path)
    assert memory.get("eth0", MAC) == Remembered(MAC)
    memory.put("eth0", Remembered(MAC, Wish.STOP))
    memory.close()
    again = Memory.open(path)
    assert again.get("eth0", MAC).wish is Wish.STOP
    again.close()


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (b"start\n", Command(Verb.START)),
        (b"stop profile home", Command(Verb.STOP, "profile home")),
        (b" renew ", Command(Verb.RENEW)),
        (b"start dns=9.9.9.9,::1 me", Command(Verb.START, "me", (NINE, ip_address("::1")))),
        (b"start dns=", Command(Verb.START)),
        (b"stop dns=9.9.9.9", Command(Verb.STOP, "dns=9.9.9.9")),
    ],
)  # fmt: skip
def test_a_command_says_what_and_for_whom(text, command):
    assert parse(text) == command


def test_whatever_is_written_it_is_a_command_or_none():
    """200,000 texts."""
    random = Random(2)
    base = [b"start", b"stop profile x", b"start dns=9.9.9.9,1.1.1.1 y", b"renew"]
    taken = 0
    for _ in range(200_000):
        text = bytearray(random.choice(base))
        for _ in range(random.randrange(3)):
            text.insert(random.randrange(len(text) + 1), random.randrange(256))
        try:
            command = parse(bytes(text))
        except ValueError:
            continue
        taken += 1
        assert command.why.isprintable()
    assert 20_000 < taken < 180_000
