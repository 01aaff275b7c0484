"""The far end of a lab network card's wire: what `peer=` can say, and what QEMU is told for it.

| `peer=`                  | who is there                                                          |
|--------------------------|-----------------------------------------------------------------------|
| `user`                   | QEMU's own network, with a DHCP server and a way out (the default)    |
| `none`                   | nobody: what is sent is dropped, at no cost                           |
| `tap:IFNAME`             | a TAP interface of this machine, which is made                        |
| `netns:NAME[/IFNAME]`    | a TAP interface that is made in the network namespace NAME            |
| `unix:PATH`              | a Unix datagram socket: one frame is one datagram                     |

Frames go to the socket PATH, which need not be there yet, and are taken at `PATH.nic`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from ipaddress import ip_interface
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from redbear_host import tap
from redbear_host.errors import ConfigError

ANY_NAME: Final = "rb%d"  # of an interface nobody named: rb0, rb1, …
FORMS: Final = "user, none, tap:IFNAME, netns:NAME, netns:NAME/IFNAME or unix:PATH"

_SOCKET_PATH_MOST: Final = 107  # bytes, unix(7)


class Supplies(ExitStack):
    """What a device brings besides arguments: descriptors that QEMU inherits, files that it makes.

    What has to be undone is undone when it is closed, which the machine does at its end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fds: Final[list[int]] = []
        self.files: Final[list[Path]] = []  # they are removed, also by whoever undoes a crash

    def lend(self, fd: int) -> None:
        """Let QEMU inherit a descriptor, which is ours no longer."""
        self.fds.append(fd)
        self.callback(self.handed_over)

    def remove(self, path: Path) -> None:
        """Remove a file at the end."""
        self.files.append(path)
        self.callback(path.unlink, missing_ok=True)

    def handed_over(self) -> None:
        """Close our copies: QEMU runs, and what hangs on them shall end with it."""
        while self.fds:
            os.close(self.fds.pop())


Netdev: TypeAlias = Callable[[str, Supplies], list[str]]
"""Makes the far end; returns what QEMU is told of it, under an id of the caller's."""


class FarEnd(NamedTuple):
    """A far end as asked for, checked and not made yet."""

    netdev: Netdev
    makes: bool  # it needs supplies


def parse(peer: str, addresses: str) -> FarEnd:
    """Read the values of `peer` and `peer_address`.

    `ValueError` carries the key that is wrong and a sentence that says what to write.
    """
    kind, colon, rest = peer.partition(":")
    if kind in ("tap", "netns"):
        return _tap(kind, rest, _addresses(addresses))
    if addresses:
        raise ValueError("peer_address", "give peer=tap:… or peer=netns:… with it")
    if kind == "unix":
        return _unix(rest)
    words = {"user": "user,id={}", "none": "hubport,id={},hubid=0"}
    if colon or kind not in words:
        raise ValueError("peer", f"write {FORMS}")
    return FarEnd(lambda name, supplies: ["-netdev", words[kind].format(name)], makes=False)


def _addresses(text: str) -> list[tap.Address]:
    try:
        return [ip_interface(word) for word in text.split()]
    except ValueError as error:
        raise ValueError(
            "peer_address", "write for example 192.0.2.1/24, or several with a blank between"
        ) from error


def _tap(kind: str, rest: str, addresses: Sequence[tap.Address]) -> FarEnd:
    namespace, slash, name = ("", "/", rest) if kind == "tap" else rest.partition("/")
    if slash and not tap.is_interface(name):
        raise ValueError("peer", "an interface has a name of up to 15 characters without blanks")
    if kind == "netns" and (not namespace or namespace in (".", "..") or "\0" in namespace):
        raise ValueError("peer", "name a network namespace, as `ip netns` lists them")

    def netdev(identity: str, supplies: Supplies) -> list[str]:
        made = tap.make(name or ANY_NAME, namespace, addresses)
        supplies.lend(made.fd)
        return ["-netdev", f"tap,id={identity},fd={made.fd}"]

    return FarEnd(netdev, makes=True)


def _unix(rest: str) -> FarEnd:
    theirs = Path(rest)
    ours = Path(f"{rest}.nic")
    if not theirs.is_absolute() or "\0" in rest or not theirs.name:
        raise ValueError("peer", "write the whole path of the socket, from / on")
    if len(os.fsencode(ours)) > _SOCKET_PATH_MOST:
        raise ValueError("peer", f"a socket's path has at most {_SOCKET_PATH_MOST - 4} bytes")

    def netdev(identity: str, supplies: Supplies) -> list[str]:
        if not ours.parent.is_dir():
            raise ConfigError(
                f"there is no folder {ours.parent}", f"make it with: mkdir -p {ours.parent}"
            )
        if ours.exists() and not ours.is_socket():
            raise ConfigError(
                f"{ours} is no socket, and would be one", "name another socket, or move the file"
            )
        supplies.remove(ours)
        local, remote = (str(path).replace(",", ",,") for path in (ours, theirs))
        where = f"local.type=unix,local.path={local},remote.type=unix,remote.path={remote}"
        return ["-netdev", f"dgram,id={identity},{where}"]

    return FarEnd(netdev, makes=True)
