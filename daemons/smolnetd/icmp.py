"""The scheme `icmp`: echo, and what routers say about datagrams.

```
/scheme/icmp/echo/IP     a write is sequence (u16, big endian) and payload of a request;
                         a read is the same of an answer
/scheme/icmp/udp/IP      a read is the packet that says why a datagram to IP did not arrive: it
                         cannot be reached, or its time was over (traceroute); read only
```

Ref: RFC 792, RFC 4443.
"""

from __future__ import annotations

import socket
from struct import Struct
from typing import Final

from daemons.smolnetd import headers
from daemons.smolnetd.addresses import Endpoint, address
from daemons.smolnetd.datagrams import Datagram, DatagramScheme
from daemons.smolnetd.sockets import refused
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.errors import Refused
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import Opened

ECHO: Final = "echo"
ERRORS: Final = "udp"

_ECHO: Final = Struct(
    ">BBHHH"
)  # type, code, checksum, identifier, sequence: Linux does two of them
_SEQUENCE: Final = Struct(">H")
_REQUEST: Final[dict[int, int]] = {socket.AF_INET: 8, socket.AF_INET6: 128}
_REPLY: Final[dict[int, int]] = {socket.AF_INET: 0, socket.AF_INET6: 129}
_PROTOCOL: Final[dict[int, int]] = {
    socket.AF_INET: socket.IPPROTO_ICMP,
    socket.AF_INET6: socket.IPPROTO_ICMPV6,
}
_OTHERS_MOST: Final = 64  # messages that are not for this handle, looked at for one read


class IcmpScheme(DatagramScheme):
    """Echo by Linux's sockets for it, errors by a raw one."""

    name = "icmp"
    folders = (ECHO, ERRORS)
    settings = ("hop_limit", "read_timeout", "write_timeout")

    def check(self, path: str) -> None:
        """Refuse a path that is not `echo/IP` or `udp/IP`."""
        _parse(path)

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open a socket for one host; with O_STAT, look."""
        path = self.resolve(parent, path)
        looked = self.looked_at(path, flags)
        if looked is not None:
            return looked
        kind, family, host = _parse(path)
        protocol = _PROTOCOL[family]
        form = socket.SOCK_DGRAM if kind == ECHO else socket.SOCK_RAW
        sock = self.make(family, form, request, protocol)
        peer = Endpoint(family, host, 0)
        try:
            if kind == ECHO:
                sock.connect(peer.sockaddr)
            else:
                headers.receive_errors(sock)
        except OSError as error:
            sock.close()
            raise refused(error) from error
        handle = Datagram(request.caller, flags & f.O_FCNTL_MASK, path=path, peer=peer)
        return self.adopt(handle, sock)

    def take(self, handle: Datagram, size: int) -> tuple[memoryview, Endpoint | None]:
        """Return an answer's sequence and payload, or the packet with an error."""
        sock, peer = handle.sock, handle.peer
        if sock is None or peer is None:
            raise Refused(e.EBADF)
        for _ in range(_OTHERS_MOST):
            if handle.path.startswith(ERRORS):
                packet = headers.receive(sock, self.scratch)
                if headers.is_about(packet, peer):
                    return packet[:size], None
                continue
            count = sock.recv_into(self.scratch)
            if count >= _ECHO.size and self.scratch[0] == _REPLY[peer.family]:
                return self.scratch[_ECHO.size - _SEQUENCE.size : count][:size], None
        loop = self.poller.loop
        loop.at(loop.now(), lambda: self.on_edge(handle.number, f.EVENT_READ))
        raise BlockingIOError

    def give(self, handle: Datagram, data: memoryview) -> int:
        """Send a request: sequence and payload."""
        sock, peer = handle.sock, handle.peer
        if sock is None or peer is None:
            raise Refused(e.EBADF)
        if handle.path.startswith(ERRORS) or len(data) < _SEQUENCE.size:
            raise Refused(e.EINVAL)
        (sequence,) = _SEQUENCE.unpack_from(data)
        kind = _REQUEST[peer.family]
        head = _ECHO.pack(kind, 0, 0, 0, sequence)
        return sock.send(head + data[_SEQUENCE.size :]) - len(head) + _SEQUENCE.size


def _parse(path: str) -> tuple[str, int, str]:
    kind, _, host = path.partition("/")
    if kind not in (ECHO, ERRORS):
        raise Refused(e.EINVAL)
    family, found = address(host)
    if not Endpoint(family, found, 0).is_one:
        raise Refused(e.EINVAL)
    return kind, family, found
