"""Running one command in a room: three processes.

The **caller** (`redbear-host run`) stays outside, passes signals on and looks after the terminal.
The **keeper** is process 1 inside: it makes the room, gives everything up, collects orphans, and
ends with the command's exit status, which ends everything else inside.  The **command** has a
process group of its own, since a signal to the caller's would leave the room.

Between caller and keeper goes a socket: `b` from the command before it is executed (the kernel
tells the caller its process number), `s` when it stops, `e` and a sentence when it never began,
`x` and an errno when there is no such program.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import Signals
from typing import Final, NamedTuple, NoReturn, TypeAlias

from redbear_host import linux
from redbear_host.errors import RedbearError
from redbear_host.namespace import confine, doors
from redbear_host.namespace.confine import Room

Mask: TypeAlias = set[int | Signals]

_PR_SET_PDEATHSIG: Final = 1
_NOT_FOUND, _NOT_STARTED = 127, 126
_EVERY_FD: Final = (1 << 31) - 1
_PYTHONS: Final = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
)  # the interpreter has changed them

BEGAN: Final = b"b"
STOPPED: Final = b"s"
REFUSED: Final = b"e"
NO_PROGRAM: Final = b"x"


class Command(NamedTuple):
    """What to run, as whom and where."""

    arguments: list[str]
    environment: Mapping[str, str]
    folder: Path
    user: pwd.struct_passwd | None  # None: who runs us
    terminal_fd: int = -1  # the terminal to take, or -1


def start(room: Room, command: Command, channel: socket.socket, mask: Mask) -> int:
    """Start the keeper, which speaks on `channel`; return its process number.

    All signals are blocked meanwhile; `mask` is what the command shall block.
    """
    outside = doors.find()
    linux.unshare(linux.CLONE_NEWPID)  # for children only
    pid = os.fork()
    if pid == 0:
        try:
            _keep(room, command, channel, mask, outside)
        finally:
            os._exit(1)
    return pid


def _keep(
    room: Room,
    command: Command,
    channel: socket.socket,
    mask: Mask,
    outside: Sequence[Path],
) -> NoReturn:
    """Be process 1 inside."""
    os.setpgid(0, 0)
    try:
        confine.enter(room, outside)
        linux.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.chdir(command.folder)
    except (OSError, RedbearError) as error:
        channel.send(REFUSED + str(error).encode())
        os._exit(1)
    child = os.fork()
    if child == 0:
        try:
            _execute(command, channel, mask)
        except OSError as error:
            channel.send(NO_PROGRAM + json.dumps([error.errno, error.strerror]).encode())
            os._exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_STARTED)
        finally:
            os._exit(1)
    while True:
        pid, status = os.waitpid(-1, os.WUNTRACED)
        if pid != child:
            continue  # an orphan, whose end interests nobody
        if os.WIFSTOPPED(status):
            channel.send(STOPPED)
        elif os.WIFSIGNALED(status):
            os._exit(128 + os.WTERMSIG(status))
        else:
            os._exit(os.WEXITSTATUS(status))


def _execute(command: Command, channel: socket.socket, mask: Mask) -> NoReturn:
    """Become the command."""
    os.setpgid(0, 0)
    if command.terminal_fd >= 0:
        os.tcsetpgrp(command.terminal_fd, os.getpgrp())  # SIGTTOU is blocked
    user = command.user
    if user is not None:
        os.initgroups(user.pw_name, user.pw_gid)
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    channel.send(BEGAN)
    for number in _PYTHONS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.closerange(3, channel.fileno())
    os.closerange(channel.fileno() + 1, _EVERY_FD)
    os.execvpe(command.arguments[0], command.arguments, command.environment)
