"""`redbear-host pty -- CMD`: runs a program on a terminal of the scheme `pty`."""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from redbear_host.cli.place import add_mount, failed
from redbear_host.errors import ConfigError, TransportError
from redbear_host.terminals import Master

HELP: Final = "run a program on a terminal of the scheme `pty`"

_PIECE: Final = 65536
# ptyd died, and its successor knows nothing of the terminal; or the whole scheme has gone.
_GONE: Final = (errno.EIO, errno.ENOENT, errno.ENOTCONN, errno.ENODEV, errno.ECONNABORTED)
_TO_END_S: Final = 2.0  # how long a program that has closed its terminal may go on


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command line takes."""
    add_mount(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD …", help="what to run")


def run(args: argparse.Namespace) -> int:
    """Run the program; return its exit status, 128 and the signal if one ended it."""
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise ConfigError("there is nothing to run", "redbear-host pty -- bash")
    try:
        master = Master(args.mount / "pty")
    except OSError as err:
        failed("/scheme/pty/ptmx", args.mount, err)
    try:
        _pass_size(master)
        program = master.start(command)
        with _woken_by_signals() as wakes, _raw_terminal():
            _connect(master, wakes)
        # Programs close their terminal, then end: a hang-up in between would be their status.
        with suppress(subprocess.TimeoutExpired):
            program.wait(_TO_END_S)
    finally:
        master.close()  # whoever is left on the terminal gets SIGHUP
    status = program.wait()
    return status if status >= 0 else 128 - status


def _connect(terminal: Master, wakes: int) -> None:
    """Pass bytes both ways, and new sizes, until the program's terminal is closed."""
    master = terminal.fd
    poll = select.poll()
    poll.register(master, select.POLLIN)
    poll.register(wakes, select.POLLIN)
    poll.register(0, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == wakes:
                if signal.SIGWINCH in os.read(wakes, _PIECE):
                    _pass_size(terminal)
            elif fd == master:
                packet = _read_packet(master)
                if not packet:
                    return
                _write_all(sys.stdout.fileno(), packet[1:])
            else:
                typed = os.read(0, _PIECE)
                if typed:
                    _type(master, typed)
                else:
                    _type(master, b"\x04")  # our end is the program's, as it reads it
                    poll.unregister(0)


def _read_packet(master: int) -> bytes:
    """Read from the master; empty once the program's terminal is closed."""
    try:
        return os.read(master, _PIECE)
    except OSError as err:
        raise _hung_up(err) from err


def _type(master: int, data: bytes) -> None:
    """Write to the master what was typed."""
    try:
        _write_all(master, data)
    except OSError as err:
        raise _hung_up(err) from err


def _hung_up(error: OSError) -> Exception:
    """Return what an error of the master or its settings means."""
    if error.errno not in _GONE:
        return error
    return TransportError(
        "the daemon behind the terminal has died, or redbear-host went down: it is hung up",
        "redbear-host logs ptyd says why",
    )


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _pass_size(master: Master) -> None:
    """Give the terminal our terminal's size, if we have one."""
    try:
        found = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
    except OSError:
        return
    rows, columns = struct.unpack_from("=HH", found)
    try:
        master.resize(columns, rows)
    except OSError as err:
        raise _hung_up(err) from err


@contextmanager
def _raw_terminal() -> Iterator[None]:
    """Let each key through as it is typed, Ctrl-C too; as it was afterwards."""
    if not os.isatty(0):
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)


@contextmanager
def _woken_by_signals() -> Iterator[int]:
    """Yield a descriptor on which SIGWINCH arrives as a byte."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    old_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    old = signal.signal(signal.SIGWINCH, lambda *_: None)
    try:
        yield reader
    finally:
        signal.signal(signal.SIGWINCH, old)
        signal.set_wakeup_fd(old_fd)
        os.close(reader)
        os.close(writer)
