"""Schemes that programs register and serve themselves, mounted by the shim like all others.

A program holds its scheme by a **lifeline**: one end of a socket pair, whose other end is here.
When the program ends, however it does, its end closes and the scheme is unmounted.  That does not
depend on the kernel's daemon, which only carries the request and may be restarted at any time.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from kernel_shim.mounted import MountedScheme
from redbear_host.abi import errno as e
from redbear_host.errors import RedbearError, Refused
from redbear_host.namespace.names import check
from redbear_host.scheme.loop import Loop
from schemefs.mount import unmount

log = logging.getLogger(__name__)

SCHEMES_MOST: Final = 64  # each has a journal of some 12 MiB


class Note(Protocol):
    """`Notes.note`."""

    def __call__(self, key: str, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        """Tell the kernel's daemon something."""
        ...


class _Program(NamedTuple):
    scheme: MountedScheme
    lifeline: socket.socket
    pid: int


class ProgramSchemes:
    """All that are there; `close` takes them away."""

    def __init__(
        self,
        mount: Path,
        rings: Path,
        loop: Loop,
        note: Note,
        forget: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self._mount: Final = mount
        self._rings: Final = rings
        self._loop: Final = loop
        self._note: Final = note
        self._forget: Final = forget
        self._programs: Final[dict[str, _Program]] = {}

    def create(self, name: str, is_file: bool, pid: int) -> tuple[int, ...]:
        """Mount a scheme for process `pid`.

        Return what it is served with: the descriptors of its connection, journal, listener, meter
        and lifeline, which are the caller's.  EINVAL for a name that cannot be one, EEXIST for one
        that is taken, ENFILE when there are too many, EIO when Linux refuses.
        """
        check(name)
        # Listed, not looked at: a scheme that hangs must not take the shim with it.
        if name in os.listdir(self._mount):
            raise Refused(e.EEXIST, f"the scheme {name!r} exists")
        if len(self._programs) >= SCHEMES_MOST:
            raise Refused(e.ENFILE, f"{SCHEMES_MOST} schemes of programs are the most")
        try:
            scheme = MountedScheme(name, self._mount, self._rings, is_file)
        except (OSError, RedbearError) as error:
            log.warning("the scheme %r of process %d cannot be mounted: %s", name, pid, error)
            self._clear_point(name, is_file)
            raise Refused(e.EIO) from error
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._programs[name] = _Program(scheme, ours, pid)
        self._loop.watch(ours.fileno(), lambda: self._on_lifeline(name))
        self._note(
            f"scheme {name}",
            {"scheme": name, "service": f"program {pid}"},
            [scheme.journal.fd, scheme.meter.fd],
        )
        log.info("process %d serves the scheme %s", pid, name)
        fds = (scheme.connection_fd, scheme.journal.fd, scheme.listener.fileno(), scheme.meter.fd)
        return (*map(os.dup, fds), theirs.detach())

    def _clear_point(self, name: str, is_file: bool) -> None:
        """Undo what a failed `MountedScheme` did."""
        point = self._mount / name
        try:
            unmount(point)
            if is_file:
                point.unlink(missing_ok=True)
            else:
                point.rmdir()
        except (OSError, RedbearError) as error:
            log.warning("%s stays: %s", point, error)

    def _on_lifeline(self, name: str) -> None:
        """Notice that a program has ended; what it says is of no interest."""
        try:
            if self._programs[name].lifeline.recv(256):
                return
        except BlockingIOError:
            return
        except ConnectionResetError:
            pass
        self._remove(name)

    def _remove(self, name: str) -> None:
        program = self._programs.pop(name)
        self._loop.unwatch(program.lifeline.fileno())
        program.lifeline.close()
        self._forget(f"scheme {name}", {"no_scheme": name})
        log.info("the scheme %s of process %d is gone", name, program.pid)
        try:
            program.scheme.remove()
        except (OSError, RedbearError) as error:
            log.warning("the scheme %s is not quite gone: %s", name, error)

    def close(self) -> None:
        """Take all away; their programs see the lifeline close."""
        for name in list(self._programs):
            self._remove(name)
