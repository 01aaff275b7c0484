"""What `vnc` says: where viewers call, what they have to know, and which there are."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from daemons.vncd.listening import SOCKET
from daemons.vncd.server import Listener, Server, Way
from daemons.vncd.viewer import Viewer

_ANYWHERE: Final = ("0.0.0.0", "::")


def describe(server: Server, listeners: Sequence[Listener], run_dir: Path) -> dict[str, Any]:
    """Return all of it."""
    now = server.loop.now()
    screen = server.desk.size(0)
    found: dict[str, Any] = {
        "screen": {"width": screen[0], "height": screen[1]},
        "address": None,
        "password": None,
        "url": None,
        "socket": None,
        "viewers": [_viewer(one, now) for one in server.viewers.values()],
    }
    for listener in listeners:
        where = listener.socket.getsockname()
        if listener.socket.family == socket.AF_UNIX:
            found["socket"] = f"{run_dir}/{SOCKET}"
        elif listener.way is Way.WEB:
            found["url"] = f"http://{_host(where)}/#{server.access.token}"
        else:
            found["address"] = _host(where)
            found["password"] = server.access.password if listener.way is Way.PASSWORD else ""
    return found


def _host(where: tuple[Any, ...]) -> str:
    """Return what to call: of a socket that hears at all addresses, the one of this machine."""
    host = where[0]
    if host in _ANYWHERE:
        host = "127.0.0.1" if ip_address(host).version == 4 else "::1"
    return f"[{host}]:{where[1]}" if ":" in host else f"{host}:{where[1]}"


def _viewer(viewer: Viewer, now: float) -> dict[str, Any]:
    conversation = viewer.conversation
    painter = None if conversation is None else conversation.painter
    return {
        "from": viewer.address,
        "by": "page" if viewer.framing is not None else "vnc",
        "in": painter is not None,
        "encoding": None if painter is None else painter.encoding,
        "width": 0 if painter is None else painter.width,
        "height": 0 if painter is None else painter.height,
        "seconds": round(now - viewer.since, 1),
        "sent": viewer.sent,
        "received": viewer.received,
    }
