"""Addresses as they stand in paths and in netcfg's files.

```
ENDPOINT   A.B.C.D:PORT   [V6]:PORT   :PORT (any IPv4 address); %INTERFACE may stand behind
CIDR       A.B.C.D/BITS   V6/BITS
MAC        52-54-00-12-34-56, or with colons
```

Redox's grammar (smolnetd, scheme/mod.rs), and beside it IPv6 and the interface, which are ours.
What cannot be read is EINVAL.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Final, NamedTuple, TypeAlias

from redbear_host.abi import errno as e
from redbear_host.errors import Refused

SockAddr: TypeAlias = tuple[str, int] | tuple[str, int, int, int]

LENGTHS: Final[dict[int, int]] = {socket.AF_INET: 4, socket.AF_INET6: 16}  # bytes of an address
ANY: Final[dict[int, str]] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
_ADDRESS_MOST: Final = 64  # characters; longer ones are not looked at
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_ZONE: Final = re.compile(r"[0-9A-Za-z._-]{1,15}", re.ASCII)
_MAC: Final = re.compile(r"[0-9a-f]{2}(?:([-:])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}", re.ASCII)


class Endpoint(NamedTuple):
    """An address and a port; `zone` is the interface it is bound to, or empty."""

    family: int
    address: str
    port: int
    zone: str = ""

    @property
    def is_any(self) -> bool:
        """Whether it names no address."""
        return self.address == ANY[self.family]

    @property
    def sockaddr(self) -> SockAddr:
        """What Python's sockets take."""
        if self.family == socket.AF_INET6:
            return self.address, self.port, 0, 0
        return self.address, self.port

    @property
    def is_one(self) -> bool:
        """Whether it names one host: no group, no broadcast, not just any."""
        packed = socket.inet_pton(self.family, self.address)
        if self.family == socket.AF_INET6:
            return packed[0] != 0xFF and not self.is_any
        return not 224 <= packed[0] < 240 and packed != b"\xff\xff\xff\xff" and not self.is_any

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.family == socket.AF_INET6 else self.address
        return f"{host}:{self.port}" + (f"%{self.zone}" if self.zone else "")


def address(text: str) -> tuple[int, str]:
    """Read an address of either kind; return its family, and how it is spelt."""
    if len(text) <= _ADDRESS_MOST and text.isascii() and "\0" not in text:
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                return family, socket.inet_ntop(family, socket.inet_pton(family, text))
            except OSError:
                continue
    raise Refused(e.EINVAL)


def endpoint(text: str) -> Endpoint:
    """Read an endpoint."""
    place, percent, zone = text.rpartition("%")
    if percent and "]" not in zone:
        if _ZONE.fullmatch(zone) is None:
            raise Refused(e.EINVAL)
    else:
        place, zone = text, ""
    host, colon, port = place.rpartition(":")
    if not colon or _PORT.fullmatch(port) is None or int(port) > 0xFFFF:
        raise Refused(e.EINVAL)
    if not host:
        return Endpoint(socket.AF_INET, ANY[socket.AF_INET], int(port), zone)
    bracketed = host.startswith("[") and host.endswith("]")
    family, found = address(host[1:-1] if bracketed else host)
    if bracketed != (family == socket.AF_INET6):
        raise Refused(e.EINVAL)
    return Endpoint(family, found, int(port), zone)


def of_sockaddr(family: int, found: SockAddr, zone: str = "") -> Endpoint:
    """Return what a socket says of itself, or of who sent."""
    return Endpoint(family, found[0].partition("%")[0], found[1], zone)


class Pair(NamedTuple):
    """The two ends a path names; None for one it does not."""

    remote: Endpoint | None
    local: Endpoint | None

    @property
    def family(self) -> int:
        """The family both are of; IPv4 when there is neither."""
        one = self.remote or self.local
        return socket.AF_INET if one is None else one.family

    @property
    def zone(self) -> str:
        """The interface to bind to, or ""."""
        return (self.local.zone if self.local else "") or (self.remote.zone if self.remote else "")


def pair(path: str) -> Pair:
    """Read `REMOTE[,LOCAL]` or `REMOTE[/LOCAL]`; a remote that names no host is none.

    The ring door drops slashes that are doubled, so that Redox's `/0.0.0.0:80` (listen) comes
    as `0.0.0.0:80`: what stands alone and names no host is the local end.
    """
    first, separator, second = path.replace("/", ",").partition(",")
    remote = endpoint(first) if first else None
    local = endpoint(second) if second else None
    if remote is not None and remote.is_any:
        if not separator:
            return Pair(None, remote)
        if remote.port:
            raise Refused(e.EINVAL)
        remote = remote if local is None else None
        if local is None:
            return Pair(None, remote)
    if remote is not None and local is not None and remote.family != local.family:
        raise Refused(e.EINVAL)
    if remote is not None and not remote.port:
        raise Refused(e.EINVAL)
    return Pair(remote, local)


class Cidr(NamedTuple):
    """An address and how many of its bits are the network's."""

    family: int
    address: str
    bits: int

    @property
    def network(self) -> str:
        """The network's own address, without the host's bits, as `ADDRESS/BITS`."""
        return str(ipaddress.ip_network(f"{self.address}/{self.bits}", strict=False))

    @property
    def broadcast(self) -> bytes:
        """The address of all of an IPv4 network, packed; empty where there is none."""
        if self.family != socket.AF_INET or self.bits > 30:
            return b""
        return ipaddress.IPv4Network(f"{self.address}/{self.bits}", strict=False)[-1].packed

    def __str__(self) -> str:
        return f"{self.address}/{self.bits}"


def cidr(text: str) -> Cidr:
    """Read an address with its network's length."""
    host, slash, bits = text.partition("/")
    family, found = address(host)
    if not slash or _PORT.fullmatch(bits) is None or int(bits) > 8 * LENGTHS[family]:
        raise Refused(e.EINVAL)
    return Cidr(family, found, int(bits))


def mac(text: str) -> bytes:
    """Read a hardware address of one card; groups and all zeroes are EINVAL."""
    if _MAC.fullmatch(text.lower()) is None:
        raise Refused(e.EINVAL)
    found = bytes.fromhex(text.replace("-", "").replace(":", ""))
    if found[0] & 1 or not any(found):
        raise Refused(e.EINVAL)
    return found


def mac_text(packed: bytes) -> str:
    """Spell a hardware address as Redox does."""
    return packed.hex("-")
