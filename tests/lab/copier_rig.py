"""A daemon that keeps its clients waiting in ioctls, and its copier, asked by the test."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kernel_shim.copying import Copying
from redbear_host.abi import ioctls as i
from redbear_host.scheme.clients import AGAIN, ANSWER, ASK, HALF_BYTES, STAGING_BYTES, Verb
from redbear_host.scheme.loop import Loop
from schemefs import mount
from schemefs.handshake import answer_init
from schemefs.journal import Geometry, Journal

KEEPER = Path(__file__).with_name("ioctl_keeper.py")
WITNESS = b"\xa5" * 64  # around every buffer of a client


class Kept:
    """A mount whose daemon answers no ioctl, and the daemon's copier."""

    def __init__(self, point: Path, log: Path) -> None:
        point.touch()
        self.point = point
        self.number = 76
        self.log = log
        self.undo = ExitStack()
        self.fd = mount.open_connection()
        self.undo.callback(os.close, self.fd)
        mount.mount(self.fd, point, "test.keeper")
        self.undo.callback(mount.unmount, point)
        self.undo.callback(self._abort)
        minor = answer_init(self.fd)
        os.set_blocking(self.fd, False)
        journal = Journal.create(minor, Geometry(requests=64, nodes=64, handles=64))
        self.undo.callback(journal.close)
        fds = (self.fd, journal.fd)
        argv = [sys.executable, str(KEEPER), *map(str, fds)]
        self.daemon = subprocess.Popen(argv, pass_fds=fds)
        self.undo.callback(self.daemon.wait, 10)
        self.undo.callback(self.daemon.kill)
        self.pidfd = os.pidfd_open(self.daemon.pid)
        self.undo.callback(os.close, self.pidfd)
        self.loop = Loop()
        self.undo.callback(self.loop.close)
        self.copying = Copying("keeper")
        self.undo.callback(self.copying.close)
        theirs, staging = self.copying.fds
        self.questions = socket.socket(fileno=os.dup(theirs))
        self.questions.settimeout(20)
        self.undo.callback(self.questions.close)
        self.staging = mmap.mmap(staging, STAGING_BYTES)
        self.copying.begin(self.loop, self.daemon.pid, self.pidfd, [point], log)

    def _abort(self) -> None:
        for _, _, minor in mount.mounts_below(self.point):
            mount.abort(minor)

    def send(self, question: bytes) -> bytes:
        """Ask, and return what is answered."""
        self.questions.send(question)
        while (answer := self.receive()) == ANSWER.pack(AGAIN, 0, 0, 0, 0):
            pass  # a copier has died, but not with this question
        return answer

    def receive(self) -> bytes:
        """Return what comes, with the shim's loop running."""
        deadline = time.monotonic() + 20
        while not select.select([self.questions], [], [], 0)[0]:
            assert time.monotonic() < deadline, self.log.read_text()
            timer = self.loop.at(self.loop.now() + 0.01, lambda: None)
            self.loop.run_round()
            timer.cancel()
        return self.questions.recv(100)

    def ask(
        self,
        verb: int,
        thread: int,
        command: int,
        argument: int,
        sizes: tuple[int, int, int] = (0, 0, 0),
    ) -> tuple[int, ...]:
        """Ask; return the errno, and how many bytes of each part were fetched."""
        self.number += 1
        number, *answer = ANSWER.unpack(
            self.send(ASK.pack(verb, self.number, thread, command, argument, *sizes))
        )
        assert number == self.number
        return tuple(answer)

    def fetched(self, at: int, size: int) -> bytes:
        return self.staging[at : at + size]

    def stage(self, at: int, data: bytes) -> None:
        self.staging[HALF_BYTES + at : HALF_BYTES + at + len(data)] = data

    @property
    def state(self) -> str:
        """The letter of the daemon's state."""
        return Path(f"/proc/{self.daemon.pid}/stat").read_text().rsplit(") ", 1)[1][0]

    @property
    def copier(self) -> int:
        """The copier's process."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if b"kernel_shim.copier" in words and str(self.daemon.pid).encode() in words:
                    found.append(int(entry.name))
        (pid,) = found
        return pid


class Waiting:
    """A process that waits in an SG_IO; its memory is shared with the test."""

    def __init__(
        self,
        path: Path,
        *,
        direction: int,
        size: int = 4096,
        foreign: Any = None,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        self.memory = mmap.mmap(-1, 1 << 17)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.memory[:] = WITNESS * (len(self.memory) // len(WITNESS))
        self.base, self.head, self.cdb, self.sense = base, 0x1000, 0x2000, 0x3000
        self.data, self.size = 0x4000, size
        self.argument = base + self.head
        place = base + self.data if foreign is None else foreign
        self.header = i.SG_IN.pack(
            i.SG_INTERFACE, direction, 6, 32, 0, size, place, base + self.cdb,
            base + self.sense, 1000, 0, 0, 0,
        ).ljust(i.SG_BYTES, b"\0")  # fmt: skip
        self.put(self.head, self.header)
        self.put(self.cdb, bytes([0x12, 0, 0, 0, 96, 0]))
        self.before = bytes(self.memory)
        self.pid = os.fork()
        if not self.pid:
            try:
                prepare()
                fd = os.open(path, os.O_RDONLY)
                libc = ctypes.CDLL(None)
                libc.ioctl(fd, ctypes.c_ulong(i.SG_IO), ctypes.c_void_p(self.argument))
            finally:
                os._exit(0)
        self.until_it_waits()

    def put(self, at: int, data: bytes) -> None:
        self.memory[at : at + len(data)] = data

    def until_it_waits(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            said = Path(f"/proc/{self.pid}/syscall").read_text().split()
            if said[0] == "16" and int(said[2], 16) == i.SG_IO:
                return
            assert time.monotonic() < deadline, said
            time.sleep(0.001)

    @property
    def unchanged(self) -> bool:
        return bytes(self.memory) == self.before

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Collect it; its connection must be broken by now, or it never ends."""
        os.waitpid(self.pid, 0)


def fetch(kept: Kept, waiting: Waiting) -> tuple[int, ...]:
    return kept.ask(Verb.FETCH, waiting.pid, i.SG_IO, waiting.argument)


def bring_late(place: int, size: int) -> None:
    """Make this process's memory at `place` such as is waited for, for ever: userfaultfd(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(323, os.O_CLOEXEC)
    agree = struct.pack("=QQQ", 0xAA, 0, 0)  # struct uffdio_api
    missing = struct.pack("=QQQQ", place, size, 1, 0)  # struct uffdio_register
    fcntl.ioctl(fd, 0xC018AA3F, agree)
    fcntl.ioctl(fd, 0xC020AA00, missing)
