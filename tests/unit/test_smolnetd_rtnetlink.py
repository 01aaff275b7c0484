"""rtnetlink's messages against bytes typed from the uapi headers, and against pyroute2."""

from __future__ import annotations

import random
import socket

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from daemons.smolnetd import rtnetlink as rt

ROUNDS = 200_000


def test_a_new_address_is_these_bytes():
    packed = socket.inet_aton("192.0.2.2")
    head = rt.IFADDR.pack(socket.AF_INET, 24, 0, 0, 2)
    made = rt.pack(rt.NEWADDR, rt.ACK | rt.CREATE | rt.EXCL, 1, head, {rt.IFA_LOCAL: packed})
    assert made == bytes.fromhex(
        "20000000 1400 0506 01000000 00000000"  # length 32, RTM_NEWADDR, flags, sequence, port
        "02 18 00 00 02000000"  # AF_INET, 24 bits, no flags, everywhere, interface 2
        "0800 0200 c0000202"  # IFA_LOCAL
    )


def test_attributes_are_padded_and_read_back():
    head = rt.IFINFO.pack(0, 0, 7, 1, 1)
    made = rt.pack(rt.NEWLINK, 0, 9, head, {rt.IFLA_IFNAME: b"eth0\0", rt.IFLA_MTU: b"\0\1\2\3"})
    assert len(made) % 4 == 0
    (message,) = rt.unpack(made)
    assert message == (rt.NEWLINK, 9, head, {rt.IFLA_IFNAME: b"eth0\0", rt.IFLA_MTU: b"\0\1\2\3"})


def test_pyroute2_reads_what_is_written():
    head = rt.RTMSG.pack(socket.AF_INET, 24, 0, 0, rt.TABLE_MAIN, 4, 0, rt.UNICAST, 0)
    gateway, target = socket.inet_aton("192.0.2.1"), socket.inet_aton("203.0.113.0")
    made = rt.pack(rt.NEWROUTE, 0, 3, head, {rt.RTA_DST: target, rt.RTA_GATEWAY: gateway})
    read = rtmsg(made)
    read.decode()
    assert read["dst_len"] == 24
    assert read["table"] == 254
    assert read.get_attr("RTA_GATEWAY") == "192.0.2.1"
    assert read.get_attr("RTA_DST") == "203.0.113.0"


def test_what_pyroute2_writes_is_read():
    written = ifaddrmsg()
    written["family"], written["prefixlen"], written["index"] = socket.AF_INET6, 64, 5
    written["attrs"] = [["IFA_ADDRESS", "2001:db8::2"]]
    written["header"]["type"], written["header"]["sequence_number"] = rt.NEWADDR, 4
    written.encode()
    (message,) = rt.unpack(bytes(written.data))
    assert message.sequence == 4
    assert rt.IFADDR.unpack(message.head) == (socket.AF_INET6, 64, 0, 0, 5)
    assert message.attributes[rt.IFA_ADDRESS] == socket.inet_pton(socket.AF_INET6, "2001:db8::2")


def test_no_datagram_does_anything_but_to_be_read():
    rng = random.Random(7)
    head = rt.IFINFO.pack(0, 0, 7, 1, 1)
    sample = rt.pack(rt.NEWLINK, 0, 1, head, {rt.IFLA_IFNAME: b"eth0\0", rt.IFLA_MTU: bytes(4)})
    sample += rt.pack(rt.ERROR, 0, 2, bytes(4), {})
    read = 0
    for _ in range(ROUNDS):
        data = bytearray(sample)
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 4, 16, 255, rng.randrange(256)))
        del data[rng.randrange(len(data) + 1) :]
        for message in rt.unpack(bytes(data)):
            read += 1
            assert all(len(value) < len(data) for value in message.attributes.values())
    assert read > ROUNDS // 10
