"""The sockets where viewers call: made before we are locked in, kept by the shim for successors.

So whoever calls while we are being started again waits, and is not refused.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final

from daemons.vncd.server import Listener, Way

log = logging.getLogger(__name__)

SOCKET: Final = "vnc.socket"  # in the run directory, for root
OFF: Final = -1  # a port at which nobody listens
NONE: Final = "none"  # of the option `security`

_BACKLOG: Final = 16
_IDLE_S, _PROBE_S, _PROBES = 30, 10, 3  # of a connection; then who has vanished is let go
_OUT_MOST: Final = 1 << 19  # bytes that Linux keeps for a viewer: what is on its way is old soon
_ROOT_ONLY: Final = 0o177


class NoListener(Exception):
    """An option makes no sense, or its port is somebody else's; the text says which."""


def listeners(
    options: Mapping[str, Any],
    run_dir: Path,
    kept: Mapping[str, int],
    keep: Callable[[str, int], object],
) -> list[Listener]:
    """Return them all: a predecessor's, with who waits there, or new ones, which are `keep`t."""
    address = options["address"]
    rfb = Way.OPEN if options["security"] == NONE else Way.PASSWORD
    wanted: dict[str, tuple[Way, Callable[[], socket.socket]]] = {
        "unix": (Way.OPEN, lambda: _at(run_dir / SOCKET))
    }
    for name, way in (("port", rfb), ("web_port", Way.WEB)):
        port = options[name]
        if port != OFF:
            wanted[name] = (way, lambda port=port: _on(address, port))  # type: ignore[misc]
    _warn(address, rfb)
    found = []
    for name, (way, make) in wanted.items():
        fd = kept.get(name)
        if fd is None:
            listener = make()
            keep(name, listener.fileno())
        else:
            listener = socket.socket(fileno=fd)
        found.append(Listener(listener, way))
    return found


def _warn(address: str, rfb: Way) -> None:
    if address != "localhost" and not ip_address(address).is_loopback:
        log.warning("viewers come from other machines (%s), and nothing is encrypted", address)
    if rfb is Way.OPEN:
        log.warning("no password is asked: whoever gets to the port sits at the screen")


def _at(path: Path) -> socket.socket:
    """Listen at a path that is root's alone."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    before = os.umask(_ROOT_ONLY)
    try:
        # However long the path to the folder is: an address has 107 bytes (unix(7)).
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.umask(before)
        os.close(folder)
    return _listening(listener)


def _on(address: str, port: int) -> socket.socket:
    """Listen at a port; what is set here holds for the connections as well."""
    where = ip_address("127.0.0.1" if address == "localhost" else address)
    family = socket.AF_INET6 if isinstance(where, IPv6Address) else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE_S)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_S)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    try:
        listener.bind((str(where), port))
    except OSError as error:
        listener.close()
        raise NoListener(f"port {port} of {where}: {error.strerror}") from error
    return _listening(listener)


def _listening(listener: socket.socket) -> socket.socket:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _OUT_MOST)
    listener.listen(_BACKLOG)
    return listener
