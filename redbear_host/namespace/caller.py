"""The process outside a room: it waits, passes signals on, and looks after the terminal."""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from struct import Struct
from typing import Final

from redbear_host.errors import TransportError
from redbear_host.namespace import session
from redbear_host.namespace.confine import Room
from redbear_host.namespace.session import Command
from redbear_host.scheme.loop import Loop

_PASSED_ON: Final = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT),
)
_CREDENTIALS = Struct("=iII")  # struct ucred
_SAID_MOST: Final = 4096


class NotStarted(Exception):
    """There is no such program, or it cannot be executed; `errno` says why."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(text)
        self.errno: Final = errno


def _open_terminal() -> int:
    """Open the controlling terminal; -1 if there is none."""
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return -1


class Caller:
    """Runs one command in a room and waits for its end."""

    def __init__(self, room: Room, command: Command) -> None:
        self._room: Final = room
        self._tty: Final = _open_terminal()
        # In the background it is not ours to lend; a shell may bring us to the foreground later.
        self._lent = self._in_foreground()
        self._command: Final = command._replace(terminal_fd=self._tty if self._lent else -1)
        self._loop: Final = Loop()
        self._pid = 0  # of the command, as it is numbered here
        self._pidfd = -1
        self._pending: Final[list[int]] = []  # signals that came before the command began
        self._refused = ""
        self._no_program: NotStarted | None = None

    def run(self) -> int:
        """Return the command's exit status, 128 and the number if a signal ended it.

        `TransportError` if the room cannot be made, `NotStarted` without such a program.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        with ExitStack() as stack:
            stack.enter_context(ours)
            try:
                keeper = session.start(self._room, self._command, theirs, mask)
                theirs.close()
                self._catch_signals(stack)
            except OSError as error:
                raise TransportError(
                    f"a PID namespace cannot be made: {error.strerror}",
                    "outside of any container or room, with all of root's capabilities, it can",
                ) from error
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            keeper_fd = os.pidfd_open(keeper)
            stack.callback(os.close, keeper_fd)
            self._loop.watch(ours.fileno(), lambda: self._on_said(ours))
            self._loop.watch(keeper_fd, self._loop.stop)
            self._loop.run()
            while self._on_said(ours):
                pass
            _, status = os.waitpid(keeper, 0)
            self._take_terminal()
            if self._pidfd >= 0:
                os.close(self._pidfd)
        if self._refused:
            raise TransportError(self._refused)
        if self._no_program is not None:
            raise self._no_program
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def _catch_signals(self, stack: ExitStack) -> None:
        read, write = socket.socketpair()
        stack.enter_context(read)
        stack.enter_context(write)
        read.setblocking(False)
        write.setblocking(False)
        previous = signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
        stack.callback(signal.set_wakeup_fd, previous)
        for number in _PASSED_ON:
            if signal.getsignal(number) is not signal.SIG_IGN:
                stack.callback(signal.signal, number, signal.signal(number, lambda *_: None))
        self._loop.watch(read.fileno(), lambda: self._on_signals(read.recv(64)))

    def _on_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGCONT:
                self._resume()
            elif self._pidfd < 0:
                self._pending.append(number)
            else:
                self._send(number)

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    # -- what is said inside ---------------------------------------------------------------------

    def _on_said(self, channel: socket.socket) -> bool:
        """Read one message; False when there is none, or never will be."""
        try:
            said, ancillary, _, _ = channel.recvmsg(
                _SAID_MOST, socket.CMSG_SPACE(_CREDENTIALS.size), socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            return False
        if not said:
            self._loop.unwatch(channel.fileno())
            return False
        kind, rest = said[:1], said[1:]
        if kind == session.BEGAN:
            for _, _, data in ancillary:
                self._begin(_CREDENTIALS.unpack(data)[0])
        elif kind == session.STOPPED:
            self._stop()
        elif kind == session.REFUSED:
            self._refused = rest.decode(errors="replace")
        elif kind == session.NO_PROGRAM:
            self._no_program = NotStarted(*json.loads(rest))
        return True

    def _begin(self, pid: int) -> None:
        self._pid = pid
        with suppress(ProcessLookupError):  # it has ended already
            self._pidfd = os.pidfd_open(pid)
            for number in self._pending:
                self._send(number)

    # -- the terminal ----------------------------------------------------------------------------

    def _in_foreground(self) -> bool:
        try:
            return self._tty >= 0 and os.tcgetpgrp(self._tty) == os.getpgrp()
        except OSError:  # it was hung up
            return False

    def _take_terminal(self) -> None:
        """Be in the foreground again, if the terminal is lent."""
        if self._lent:
            self._lent = False
            self._give_terminal(os.getpgrp())

    def _give_terminal(self, group: int) -> None:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTTOU,))
        try:
            os.tcsetpgrp(self._tty, group)
        except OSError:
            pass  # it was hung up, or the group has ended
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _stop(self) -> None:
        """Stop as the command did, so that the shell that started us gets its terminal back."""
        if not self._is_stopped():
            return  # it goes on already: we were told to before we heard of its stop
        if not self._in_foreground():  # else it was in the background, and we no longer are
            self._take_terminal()
            os.killpg(os.getpgrp(), signal.SIGTSTP)
        self._resume()

    def _is_stopped(self) -> bool:
        try:
            return Path(f"/proc/{self._pid}/stat").read_text().rpartition(") ")[2][0] == "T"
        except OSError:
            return False

    def _resume(self) -> None:
        """Let the command go on, in the foreground if we are there."""
        if not self._pid:
            return
        if self._in_foreground():
            self._lent = True
            self._give_terminal(self._pid)
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGCONT)
