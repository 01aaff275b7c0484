"""What the handles of the socket schemes stand for."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from daemons.smolnetd.addresses import Endpoint
from redbear_host.scheme.loop import Timer
from redbear_host.scheme.request import Caller, Request


class Look(NamedTuple):
    """A directory, or a name that is only looked at."""

    path: str
    is_folder: bool


class Setting(NamedTuple):
    """One setting of a socket, as a file: `dup` gives it by name."""

    name: str
    owner: Handle


@dataclass(eq=False)
class Waiter:
    """A request that waits no longer than its handle's timeout."""

    request: Request
    again: Callable[[], Any]
    timer: Timer


@dataclass(eq=False)
class Handle:
    """An open socket, or one to be, which has no family yet."""

    caller: Caller
    flags: int
    number: int = -1
    path: str = ""
    sock: socket.socket | None = None
    local: Endpoint | None = None  # what it is to be bound to, while there is no socket
    read_timeout: float | None = None  # seconds
    write_timeout: float | None = None
    waiters: list[Waiter] = field(default_factory=list)


TIMEOUTS: Final = ("read_timeout", "write_timeout")
