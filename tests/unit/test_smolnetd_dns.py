"""Questions and answers of DNS: made by hand from RFC 1035, and by whoever means us harm."""

from __future__ import annotations

import random
import struct

import pytest

from daemons.smolnetd import dns

ROUNDS = 200_000
NAME = b"\3www\7example\3org\0"


def record(owner, kind, data, its_class=1):
    return owner + struct.pack(">HHIH", kind, its_class, 60, len(data)) + data


def message(number, answers, *, code=0, flags=0x8180, name=NAME, kind=dns.A, count=None):
    count = len(answers) if count is None else count
    head = struct.pack(">HHHHHH", number, flags | code, 1, count, 0, 0)
    return head + name + struct.pack(">HH", kind, 1) + b"".join(answers)


V4 = bytes((192, 0, 2, 1))
POINTER = b"\xc0\x0c"  # to the question's name
ALIAS = record(POINTER, dns.CNAME, b"\4host\xc0\x10")  # host.example.org
CHAIN = [ALIAS, record(b"\4host\7example\3org\0", dns.A, V4)]


def test_a_question_is_as_rfc_1035_draws_it():
    assert dns.encode_name("WWW.example.org.") == NAME
    asked = dns.question(0x1234, NAME, dns.A)
    assert asked == b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + NAME + b"\0\1\0\1"


@pytest.mark.parametrize("host", ["", ".", "a..b", "x" * 64, "a." * 128, "ü.example"])
def test_what_can_be_no_name_is_not_asked_for(host):
    with pytest.raises(ValueError, match=r"."):
        dns.encode_name(host)


def test_addresses_are_found():
    answer = dns.parse(message(7, [record(POINTER, dns.A, V4)]), 7, NAME, dns.A)
    assert answer == (("192.0.2.1",), 0, False)
    six = [record(POINTER, dns.AAAA, bytes(15) + b"\1")]
    answer = dns.parse(message(7, six, kind=dns.AAAA), 7, NAME, dns.AAAA)
    assert answer.addresses == ("::1",)


def test_an_alias_is_followed_and_others_are_not_believed():
    assert dns.parse(message(7, CHAIN), 7, NAME, dns.A).addresses == ("192.0.2.1",)
    stranger = [record(b"\5other\0", dns.A, V4)]
    assert dns.parse(message(7, stranger), 7, NAME, dns.A).addresses == ()


def test_an_alias_of_itself_ends():
    circle = [record(POINTER, dns.CNAME, POINTER)]
    assert dns.parse(message(7, circle), 7, NAME, dns.A).addresses == ()


@pytest.mark.parametrize(
    "said",
    [
        message(8, CHAIN),  # another question's
        message(7, CHAIN, flags=0x0100),  # no answer
        message(7, CHAIN, name=b"\3www\7example\3com\0"),
        message(7, CHAIN, kind=dns.AAAA),
        message(7, [record(b"\xc0\xff", dns.A, V4)]),  # a pointer that leads on
        message(7, [b"\xc0"]),
        message(7, [b"\x41abc\0"], count=1),
        message(7, [], count=3),
        message(7, [record(POINTER, dns.A, b"abc")]),  # no address
        b"",
        b"\0\7",
    ],
)
def test_what_is_no_answer_of_ours_is_none(said):
    assert dns.parse(said, 7, NAME, dns.A) is None


def test_no_message_does_anything_but_to_be_read_or_dropped():
    rng = random.Random(6)
    samples = [message(7, CHAIN), message(7, [record(POINTER, dns.A, V4)] * 3, code=3)]
    read = 0
    for _ in range(ROUNDS):
        data = bytearray(rng.choice(samples))
        for _ in range(rng.randrange(5)):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 3, 0x3F, 0xC0, 0xFF, 12, 16))
        if rng.randrange(4) == 0:
            del data[rng.randrange(len(data)) :]
        found = dns.parse(bytes(data), 7, NAME, dns.A)
        if found is not None:
            read += 1
            assert len(found.addresses) <= 3
    assert read > ROUNDS // 10
