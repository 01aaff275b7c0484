"""The scheme `ip`: whole packets of one protocol, for root.

```
/scheme/ip/HEX       IPv4's protocol HEX (`11` is UDP); a read and a write are one packet each,
                     from IP's header on
/scheme/ip/v6/HEX    the same of IPv6; extension headers are Linux's to read
```
"""

from __future__ import annotations

import re
import socket
from typing import Final

from daemons.smolnetd import headers
from daemons.smolnetd.addresses import Endpoint
from daemons.smolnetd.datagrams import Datagram, DatagramScheme
from daemons.smolnetd.sockets import refused
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.errors import Refused
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import Opened

V6: Final = "v6"
_HEX: Final = re.compile(r"[0-9A-Fa-f]{1,2}", re.ASCII)


class IpScheme(DatagramScheme):
    """Raw sockets."""

    name = "ip"
    folders = (V6,)
    settings = ("read_timeout", "write_timeout")

    def check(self, path: str) -> None:
        """Refuse a path that is no protocol."""
        _parse(path)

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open a raw socket; EACCES but for root; with O_STAT, look."""
        path = self.resolve(parent, path)
        looked = self.looked_at(path, flags)
        if looked is not None:
            return looked
        if request.caller.uid:
            raise Refused(e.EACCES)
        family, protocol = _parse(path)
        sock = self.make(family, socket.SOCK_RAW, request, protocol)
        try:
            headers.take_headers(sock)
        except OSError as error:
            sock.close()
            raise refused(error) from error
        return self.adopt(Datagram(request.caller, flags & f.O_FCNTL_MASK, path=path), sock)

    def take(self, handle: Datagram, size: int) -> tuple[memoryview, Endpoint | None]:
        """Return one packet."""
        if handle.sock is None:
            raise Refused(e.EBADF)
        return headers.receive(handle.sock, self.scratch)[:size], None

    def give(self, handle: Datagram, data: memoryview) -> int:
        """Send one packet to where its header says."""
        if handle.sock is None:
            raise Refused(e.EBADF)
        target = headers.target(data)
        if target.family != handle.sock.family:
            raise Refused(e.EINVAL)
        return handle.sock.sendto(data, target.sockaddr)


def _parse(path: str) -> tuple[int, int]:
    folder, _, protocol = path.rpartition("/")
    if folder not in ("", V6) or _HEX.fullmatch(protocol) is None:
        raise Refused(e.EINVAL)
    return socket.AF_INET6 if folder else socket.AF_INET, int(protocol, 16)
