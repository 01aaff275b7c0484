"""IP's headers, as far as raw sockets make us look at them.

Of IPv4 a raw socket gives whole packets.  Of IPv6 it gives what is behind the header, and beside it
what stood there (RFC 3542); the header is made of that again, so that both read alike.
"""

from __future__ import annotations

import socket
from struct import Struct
from typing import Final

from daemons.smolnetd.addresses import Endpoint
from redbear_host.abi import errno as e
from redbear_host.errors import Refused

V4_LEAST: Final = 20  # bytes of a header
V6: Final = Struct(
    ">IHBB16s16s"
)  # version and flow, length, next header, hop limit, source, target

_SOL_RAW: Final = 255  # linux/socket.h
_ICMP_FILTER: Final = 1  # linux/icmp.h: a bit for each type that is not wanted
_UNREACHABLE, _TIME_EXCEEDED = 3, 11  # RFC 792
_V6_ICMP_FILTER: Final = 1  # linux/icmpv6.h; the same, of 256 bits
_V6_UNREACHABLE, _V6_TIME_EXCEEDED = 1, 3  # RFC 4443
_IPV6_HDRINCL: Final = 36  # linux/in6.h
_ICMP_HEAD: Final = 8  # type, code, checksum, four bytes; then the packet it is about
_ANCILLARY: Final = socket.CMSG_SPACE(20) + socket.CMSG_SPACE(4)


def receive_errors(sock: socket.socket) -> None:
    """Let a raw socket of ICMP hear of datagrams that did not arrive, and of nothing else."""
    if sock.family == socket.AF_INET:
        unwanted = 0xFFFF_FFFF & ~(1 << _UNREACHABLE | 1 << _TIME_EXCEEDED)
        sock.setsockopt(_SOL_RAW, _ICMP_FILTER, unwanted.to_bytes(4, "little"))
        return
    wanted = (1 << 256) - 1 & ~(1 << _V6_UNREACHABLE | 1 << _V6_TIME_EXCEEDED)
    sock.setsockopt(socket.IPPROTO_ICMPV6, _V6_ICMP_FILTER, wanted.to_bytes(32, "little"))
    tell_headers(sock)


def tell_headers(sock: socket.socket) -> None:
    """Have a raw socket of IPv6 tell what stood in the header."""
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)


def take_headers(sock: socket.socket) -> None:
    """Have a raw socket send packets whose header the sender has written."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
        tell_headers(sock)


def receive(sock: socket.socket, room: memoryview) -> memoryview:
    """Receive one packet from its header on; BlockingIOError without one."""
    if sock.family == socket.AF_INET:
        return room[: sock.recv_into(room)]
    count, beside, _, sender = sock.recvmsg_into([room[V6.size :]], _ANCILLARY)
    target, hops = bytes(16), 0
    for level, kind, data in beside:
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(data) >= 16:
            target = data[:16]
        elif level == socket.IPPROTO_IPV6 and kind == socket.IPV6_HOPLIMIT:
            hops = int.from_bytes(data[:4], "little") & 0xFF
    source = socket.inet_pton(socket.AF_INET6, sender[0].partition("%")[0])
    V6.pack_into(room, 0, 6 << 28, count & 0xFFFF, sock.proto, hops, source, target)
    return room[: V6.size + count]


def target(packet: memoryview) -> Endpoint:
    """Return where a packet wants to go; EINVAL for what is none."""
    version = packet[0] >> 4 if len(packet) else 0
    if version == 4 and len(packet) >= V4_LEAST:
        return Endpoint(socket.AF_INET, socket.inet_ntop(socket.AF_INET, packet[16:20]), 0)
    if version == 6 and len(packet) >= V6.size:
        return Endpoint(socket.AF_INET6, socket.inet_ntop(socket.AF_INET6, packet[24:40]), 0)
    raise Refused(e.EINVAL)


def is_about(packet: memoryview, peer: Endpoint) -> bool:
    """Tell whether an ICMP error is about a UDP datagram to `peer`, from what it quotes of it."""
    if peer.family == socket.AF_INET:
        start = (packet[0] & 0xF) * 4 if len(packet) else 0
        quoted = packet[start + _ICMP_HEAD :]
        protocol = quoted[9] if len(quoted) >= V4_LEAST else 0
    else:
        quoted = packet[V6.size + _ICMP_HEAD :]
        protocol = quoted[6] if len(quoted) >= V6.size else 0
    if protocol != socket.IPPROTO_UDP:
        return False
    try:
        return target(quoted) == peer
    except Refused:
        return False
