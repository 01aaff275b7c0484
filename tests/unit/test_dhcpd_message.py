"""DHCP's bytes: options as RFC 2132, 3396 and 3442 have them, and whatever else may come."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from random import Random
from struct import pack

import pytest
from dhcp_bench import ADDRESS, MAC, SERVER, reply

from daemons.dhcpd.lease import Lease, Route, granted
from daemons.dhcpd.message import LEAST, Kind, Message, Option, parse
from redbear_host.errors import ProtocolError

HEADER = 236
ANY = IPv4Network("0.0.0.0/0")
ROUTER = IPv4Address("192.0.2.1")


def ack(**options):
    """A lease of 100 s with these options, by their names, asked for at 0."""
    found = {Option[name]: value for name, value in options.items()}
    return granted(parse(reply(Kind.ACK, 7, options=found)), 0.0)


def test_a_request_is_laid_out_as_the_rfc_draws_it():
    data = Message(op=1, kind=Kind.DISCOVER, xid=0x11223344, chaddr=MAC, secs=5, broadcast=True,
                   ciaddr=ADDRESS, options={50: SERVER.packed}).pack()  # fmt: skip
    assert len(data) == LEAST
    assert data[:12] == bytes.fromhex("01 01 06 00 11223344 0005 8000")
    assert data[12:16] == ADDRESS.packed
    assert data[16:28] == bytes(12)
    assert data[28:44] == MAC + bytes(10)
    assert data[44:236] == bytes(192)
    assert data[236:240] == bytes((99, 130, 83, 99))
    assert data[240:] == bytes((53, 1, 1, 50, 4)) + SERVER.packed + b"\xff" + bytes(50)


def test_what_we_write_we_read():
    message = Message(
        op=1, kind=Kind.REQUEST, xid=9, chaddr=MAC, options={12: b"box", 250: b"x" * 600}
    )
    assert parse(message.pack()) == message


def test_an_option_in_several_parts_is_one():
    data = reply(Kind.ACK, 1)[:-1] + bytes((6, 4)) + ROUTER.packed + bytes((6, 4)) + SERVER.packed
    assert parse(data + b"\xff").options[6] == ROUTER.packed + SERVER.packed


def test_an_end_that_is_missing_is_no_harm():
    assert parse(reply(Kind.ACK, 1)[:-1]).kind is Kind.ACK


def overloaded(value, file=b"", sname=b""):
    data = bytearray(reply(Kind.ACK, 1, options={52: bytes((value,))}))
    data[44 : 44 + len(sname)] = sname
    data[108 : 108 + len(file)] = file
    return bytes(data)


def test_overload_reads_on_in_file_then_in_sname():
    file = bytes((15, 3)) + b"exa" + b"\xff"
    sname = bytes((15, 4)) + b"mple" + bytes((52, 1, 1)) + b"\xff"
    assert parse(overloaded(3, file, sname)).options[15] == b"example"
    assert parse(overloaded(1, file, sname)).options[15] == b"exa"
    assert parse(overloaded(2, file, sname)).options[15] == b"mple"
    assert 15 not in parse(reply(Kind.ACK, 1)).options
    assert 52 not in parse(overloaded(3, file, sname)).options


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "too short"),
        (reply(Kind.ACK, 1)[:239], "too short"),
        (reply(Kind.ACK, 1)[:HEADER] + bytes(4), "cookie"),
        (reply(Kind.ACK, 1)[:240] + b"\xff", "type is missing"),
        (reply(9, 1), "type is 09"),
        (reply(0, 1), "type is 00"),
        (reply(Kind.ACK, 1)[:-1] + b"\x0c", "has no length"),
        (reply(Kind.ACK, 1)[:-1] + b"\x0c\x05abc", "only 3 are there"),
        (overloaded(0), "overload"),
        (overloaded(4), "overload"),
        (overloaded(1, b"\x0c\xffabc"), "in file"),
        (b"\x02\x06" + reply(Kind.ACK, 1)[2:], "hardware of type 6"),
        (b"\x02\x01\x10" + reply(Kind.ACK, 1)[3:], "16 bytes"),
    ],
)
def test_what_is_malformed_is_refused_with_a_reason(data, why):
    with pytest.raises(ProtocolError, match=why):
        parse(data)


def test_a_lease_has_everything_the_server_says():
    lease = ack(
        SUBNET_MASK=bytes((255, 255, 252, 0)),
        ROUTER=ROUTER.packed + SERVER.packed,
        DOMAIN_NAME_SERVER=bytes((9, 9, 9, 9, 1, 1, 1, 1)),
        DOMAIN_NAME=b"example.org\0",
        INTERFACE_MTU=pack("!H", 1400),
        BROADCAST_ADDRESS=bytes((192, 0, 3, 255)),
        RENEWAL_TIME=pack("!I", 10),
        REBINDING_TIME=pack("!I", 20),
    )
    assert lease == Lease(
        address=ADDRESS,
        prefix=22,
        server=SERVER,
        routes=(Route(ANY, ROUTER),),
        nameservers=(IPv4Address("9.9.9.9"), IPv4Address("1.1.1.1")),
        domain="example.org",
        mtu=1400,
        broadcast=IPv4Address("192.0.3.255"),
        renew_at=10,
        rebind_at=20,
        ends_at=100,
    )
    assert Lease.from_wire(lease.to_wire()) == lease


def test_classless_routes_take_the_place_of_the_router():
    """The examples of RFC 3442, and a route to the wire itself before the default through it."""
    routes = (
        bytes((0,)) + ROUTER.packed
        + bytes((8, 10)) + ROUTER.packed
        + bytes((24, 10, 0, 0)) + ROUTER.packed
        + bytes((16, 10, 17)) + ROUTER.packed
        + bytes((24, 10, 27, 129)) + ROUTER.packed
        + bytes((25, 10, 229, 0, 128)) + ROUTER.packed
        + bytes((32, 10, 198, 122, 47)) + bytes(4)
    )  # fmt: skip
    found = ack(ROUTER=SERVER.packed, CLASSLESS_STATIC_ROUTE=routes).routes
    wanted = ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.17.0.0/16", "10.27.129.0/24",
              "10.229.0.128/25", "10.198.122.47/32"]  # fmt: skip
    assert [str(route.target) for route in found] == wanted
    assert [route.gateway for route in found] == [ROUTER] * 6 + [IPv4Address(0)]


@pytest.mark.parametrize("routes", [b"", b"\x21" + bytes(9), b"\x18\x0a\x00", b"\x00\xe0\0\0\1"])
def test_classless_routes_that_make_no_sense_leave_the_router(routes):
    lease = ack(ROUTER=ROUTER.packed, CLASSLESS_STATIC_ROUTE=routes)
    assert lease.routes == (Route(ANY, ROUTER),)


@pytest.mark.parametrize(
    ("address", "prefix"), [("10.1.2.3", 8), ("172.16.0.9", 16), ("192.0.2.77", 24)]
)
@pytest.mark.parametrize("mask", [None, b"", bytes(4), bytes((255, 0, 255, 0)), b"\xff\xff\xff"])
def test_without_a_mask_the_addresss_class_says_the_network(address, prefix, mask):
    data = reply(Kind.ACK, 1, address=IPv4Address(address), options={1: mask})
    assert granted(parse(data), 0.0).prefix == prefix


def test_options_that_make_no_sense_are_left_out_and_the_lease_holds():
    lease = ack(
        ROUTER=b"\x01", DOMAIN_NAME_SERVER=b"12345", DOMAIN_NAME=b"a b\n", INTERFACE_MTU=b"\0\x43",
        BROADCAST_ADDRESS=b"", RENEWAL_TIME=b"\1", REBINDING_TIME=pack("!I", 101),
    )  # fmt: skip
    assert (lease.routes, lease.nameservers, lease.domain, lease.mtu) == ((), (), "", 0)
    assert (lease.renew_at, lease.rebind_at) == (50.0, 87.5)


def test_t1_and_t2_stand_in_their_order_whatever_the_server_says():
    late = ack(RENEWAL_TIME=pack("!I", 90), REBINDING_TIME=pack("!I", 30))
    assert (late.renew_at, late.rebind_at) == (30.0, 30.0)


def test_a_lease_of_no_time_lasts_a_second():
    lease = granted(parse(reply(Kind.ACK, 1, lease=0)), 5.0)
    assert lease.ends_at == 6.0


def test_servers_words_are_fit_for_a_log():
    data = reply(Kind.NAK, 1, options={56: b"no\x1b[2Jway\xff\0"})
    assert parse(data).text == "no?[2Jway�"


def test_whatever_bytes_come_it_is_a_message_or_a_refusal():
    """200,000 messages: valid ones with bytes changed, cut, doubled, and noise in the options."""
    random = Random(4)
    base = [
        reply(Kind.ACK, 1, options={
            3: ROUTER.packed, 6: bytes(8), 15: b"example.org", 26: b"\5\xdc", 28: bytes(4),
            58: bytes(4), 59: bytes(4), 121: bytes((24, 10, 0, 0)) + ROUTER.packed,
        }),
        overloaded(3, bytes((6, 4)) + ROUTER.packed + b"\xff", bytes((15, 1)) + b"x\xff"),
        reply(Kind.NAK, 1, lease=None, options={56: b"no"}),
    ]  # fmt: skip
    outcomes = {"refused": 0, "granted": 0, "not granted": 0}
    for _ in range(200_000):
        data = bytearray(random.choice(base))
        for _ in range(random.randrange(4)):
            data[random.randrange(len(data))] = random.randrange(256)
        what = random.random()
        if what < 0.1:
            del data[random.randrange(len(data)) :]
        elif what < 0.3:
            data[240:] = random.randbytes(random.randrange(80))
        elif what < 0.4:
            at = random.randrange(240, len(data))
            data[at:at] = random.randbytes(random.randrange(8))
        try:
            message = parse(bytes(data))
        except ProtocolError:
            outcomes["refused"] += 1
            continue
        assert message.text.isprintable()
        try:
            lease = granted(message, 0.0)
        except ProtocolError:
            outcomes["not granted"] += 1
            continue
        assert 0 < lease.renew_at <= lease.rebind_at <= lease.ends_at
        assert 0 < lease.prefix <= 32
        outcomes["granted"] += 1
        if outcomes["granted"] % 16 == 0:
            assert Lease.from_wire(lease.to_wire()) == lease
    assert min(outcomes.values()) > 10_000, outcomes
