"""One mounted scheme: what outlives every daemon behind it.

That is its FUSE connection, its journal, its meter, and the socket at which libredox programs call
(`redbear_host.ring`).
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from redbear_host.errors import TransportError
from redbear_host.scheme.meter import Meter
from schemefs import mount
from schemefs.handshake import answer_init
from schemefs.journal import Journal

_ADDRESS_MOST: Final = 107  # bytes of a socket's address, unix(7)
_WAITING: Final = 128  # callers whose connection no daemon has accepted yet


class MountedScheme:
    """`/scheme/NAME`: mounted, greeted, and empty of requests; its socket is `rings`/NAME."""

    def __init__(self, name: str, root: Path, rings: Path, is_file: bool = False) -> None:
        self.name: Final = name
        self.path: Final = root / name
        self.is_file: Final = is_file
        self._socket: Final = rings / name
        if is_file:
            self.path.touch()
        else:
            self.path.mkdir()
        with ExitStack() as undo:
            self.connection_fd: Final = mount.open_connection()
            undo.callback(os.close, self.connection_fd)
            mount.mount(self.connection_fd, self.path, name)
            minor = answer_init(self.connection_fd)
            os.set_blocking(self.connection_fd, False)
            self.journal: Final = Journal.create(minor)
            undo.callback(self.journal.close)
            self.listener: Final = _listen(self._socket)
            undo.callback(self.listener.close)
            self.meter: Final = Meter.create()
            undo.pop_all()

    @property
    def gone(self) -> bool:
        """Whether the connection has ended: someone has unmounted it, or broken it."""
        poll = select.poll()
        poll.register(self.connection_fd, select.POLLIN)
        return any(events & select.POLLERR for _, events in poll.poll(0))

    def fail(self) -> None:
        """Break both doors: who waits, and who comes later, gets an error (ENOTCONN, ENODEV)."""
        self.listener.close()  # who has called and was not answered hears of it as well
        for _, _, minor in mount.mounts_below(self.path):
            mount.abort(minor)

    def close(self) -> None:
        """Unmount; whoever waits on a request is told that the scheme is gone."""
        self._socket.unlink(missing_ok=True)
        self.listener.close()
        self.fail()
        mount.unmount(self.path)
        self.journal.close()
        self.meter.close()
        os.close(self.connection_fd)

    def remove(self) -> None:
        """Unmount, and let the name go, so that another may have it."""
        self.close()
        if self.is_file:
            self.path.unlink(missing_ok=True)
        else:
            self.path.rmdir()


def _listen(path: Path) -> socket.socket:
    """Listen at `path`, for everyone: the scheme decides by who calls."""
    return bound_socket(path, 0o666)


def bound_socket(path: Path, mode: int) -> socket.socket:
    """Listen at `path` without ever blocking; messages keep their bounds."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        path.unlink(missing_ok=True)
        os.fchmod(listener.fileno(), mode)  # what bind gives the file, less what umask(2) takes
        with near(path) as address:
            listener.bind(address)
        path.chmod(mode)
        listener.listen(_WAITING)
    except OSError as error:
        listener.close()
        raise TransportError(
            f"there can be no socket in {path.parent}: {error.strerror}",
            "choose another folder with --run-dir DIR",
        ) from error
    except BaseException:
        listener.close()
        raise
    return listener


@contextmanager
def near(path: Path) -> Iterator[str]:
    """Offer a socket's address: the path itself where it fits, as /proc/net/unix tells it then."""
    if len(os.fsencode(path)) <= _ADDRESS_MOST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
