"""The opener: a process beside ptyd that opens terminals, since ptyd itself can open nothing.

It is forked before ptyd locks itself in, keeps nothing but one socket, and understands two requests
of fixed size:

```
kind (u32), uid (u32)               MASTER: a new terminal that belongs to `uid`
kind (u32), 0 (u32), a descriptor   SLAVE: the other side of the master that comes along
errno (u32), number (u32), a descriptor   the answer; with an errno there is no descriptor
```

A slave is opened by its master (TIOCGPTPEER), so nobody gets a terminal by guessing its number.
It ends when ptyd does.  Ref: pty(7), ioctl_tty(2), ptmx in Documentation/filesystems/devpts.rst.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Final, NoReturn, TypeAlias

from redbear_host import linux
from redbear_host.abi import errno as e
from redbear_host.errors import Refused, TransportError
from redbear_host.scheme.loop import Loop

PTS: Final = "/dev/pts"
MASTER: Final = 1
SLAVE: Final = 2

TIOCGPTN: Final = 0x8004_5430
TIOCSPTLCK: Final = 0x4004_5431
TIOCGPTPEER: Final = 0x5441

_PR_SET_NO_NEW_PRIVS: Final = 38
_FDS_END: Final = 1 << 20
_PAIR: Final = Struct("=II")
_MASTER_FLAGS: Final = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
_SLAVE_FLAGS: Final = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC

# Called with an errno (0 for none), the terminal's number, and its descriptor, the callee's own.
Then: TypeAlias = Callable[[int, int, int], None]


class Opener:
    """ptyd's side of the socket: requests are answered in their order, by the loop."""

    def __init__(self, peer: socket.socket, loop: Loop) -> None:
        self._peer: Final = peer
        self._loop: Final = loop
        self._waiting: Final[deque[Then]] = deque()
        peer.setblocking(False)
        loop.watch(peer.fileno(), self._on_answer)

    def open_master(self, uid: int, then: Then) -> None:
        """Open a new terminal, whose slave side belongs to `uid`."""
        self._ask(MASTER, uid, (), then)

    def open_slave(self, master: int, then: Then) -> None:
        """Open the slave side of a terminal."""
        self._ask(SLAVE, 0, (master,), then)

    def _ask(self, kind: int, uid: int, fds: tuple[int, ...], then: Then) -> None:
        try:
            socket.send_fds(self._peer, [_PAIR.pack(kind, uid)], fds)
        except BlockingIOError:
            raise Refused(e.EAGAIN, "the opener of terminals has hundreds to open") from None
        except OSError as err:
            raise TransportError("the opener of terminals has ended") from err
        self._waiting.append(then)

    def close(self) -> None:
        """Let the opener end."""
        self._loop.unwatch(self._peer.fileno())
        self._peer.close()

    def _on_answer(self) -> None:
        data, fds, _, _ = socket.recv_fds(self._peer, _PAIR.size, 1)
        if len(data) != _PAIR.size:
            raise TransportError("the opener of terminals has ended")
        failed, number = _PAIR.unpack(data)
        if not failed and not fds:
            failed = e.EMFILE  # Linux has dropped it: we have too many
        self._waiting.popleft()(failed, number, fds[0] if fds else -1)


def start() -> socket.socket:
    """Fork the opener; return the socket to talk to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        _run(theirs.fileno())
    theirs.close()
    return ours


def _run(fd: int) -> NoReturn:
    try:
        os.closerange(3, fd)
        os.closerange(fd + 1, _FDS_END)
        linux.prctl(_PR_SET_NO_NEW_PRIVS, 1)
        serve(socket.socket(fileno=fd))
    finally:
        os._exit(0)  # the parent's clean-up is the parent's


def serve(peer: socket.socket) -> None:
    """Answer requests until the peer is gone."""
    while True:
        data, fds, _, _ = socket.recv_fds(peer, _PAIR.size, 1)
        if len(data) != _PAIR.size:
            return
        kind, uid = _PAIR.unpack(data)
        try:
            opened, number = _open(kind, uid, fds)
        except OSError as err:
            peer.send(_PAIR.pack(err.errno or errno.EIO, 0))
        else:
            socket.send_fds(peer, [_PAIR.pack(0, number)], [opened])
            os.close(opened)
        for fd in fds:
            os.close(fd)


def _open(kind: int, uid: int, fds: list[int]) -> tuple[int, int]:
    """Return a descriptor, the caller's own, and the terminal's number."""
    if kind == SLAVE:
        if not fds:
            raise OSError(errno.EINVAL, "no master came along")
        number = _number(fds[0])
        return fcntl.ioctl(fds[0], TIOCGPTPEER, _SLAVE_FLAGS), number
    # This ptmx and no other: it surely is of the instance whose slaves are below /dev/pts.
    master = os.open(f"{PTS}/ptmx", _MASTER_FLAGS)
    try:
        number = _number(master)
        # By path: a slave that was opened and closed again would look like a hang-up.
        os.chown(f"{PTS}/{number}", uid, -1)
        os.chmod(f"{PTS}/{number}", 0o600)
        fcntl.ioctl(master, TIOCSPTLCK, bytes(4))
    except OSError:
        os.close(master)
        raise
    return master, number


def _number(master: int) -> int:
    return int.from_bytes(fcntl.ioctl(master, TIOCGPTN, bytes(4)), "little")
