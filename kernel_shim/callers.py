"""A thread that waits in an ioctl: what the kernel says of it, and its memory.

What it does is asked of the kernel through a directory of /proc that was opened once: that stands
for this one thread, also when its number is given to another.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from struct import Struct
from typing import Final, NamedTuple

from redbear_host import linux
from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from redbear_host.sandbox.numbers import number_of, running_architecture

_AT_STATX_DONT_SYNC: Final = 0x4000  # linux/stat.h: ask the file's server nothing
_STATX_BYTES: Final = 256
_STATX_DEVICE: Final = Struct("=II")  # stx_dev_major stx_dev_minor
_STATX_DEVICE_AT: Final = 136
_ASLEEP_WITHIN_S: Final = 1.0  # it has just called, and is on its way to sleep
_PIECE: Final = 64 << 10
_MOST_ADDRESS: Final = 1 << 56
_MAPPING: Final = re.compile(rb"(?m)^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ ([0-9a-f]+):([0-9a-f]+) ")

Device = tuple[int, int]


class Waits(NamedTuple):
    """The ioctl a thread waits in."""

    fd: int
    command: int
    argument: int


class Caller:
    """One thread of a client; `close` it."""

    def __init__(self, thread: int) -> None:
        """Open its directory; ESRCH where there is no such thread."""
        if not 0 < thread < 1 << 31:
            raise Refused(e.ESRCH, f"there is no thread {thread}")
        flags = os.O_RDONLY | os.O_CLOEXEC
        try:
            self._folder: Final = os.open(f"/proc/{thread}", flags | os.O_DIRECTORY)
        except OSError as error:
            raise Refused(e.ESRCH, f"thread {thread}: {error.strerror}") from error
        self._thread: Final = thread

    def close(self) -> None:
        """Let go of it."""
        os.close(self._folder)

    def _read(self, name: str) -> bytes:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            return b"".join(iter(lambda: os.read(fd, 1 << 16), b""))
        finally:
            os.close(fd)

    def waits(self) -> Waits:
        """Return the ioctl it sleeps in; ESRCH if it is in none."""
        number = number_of("ioctl", running_architecture())
        deadline = time.monotonic() + _ASLEEP_WITHIN_S
        while True:
            try:
                said = self._read("syscall").split()
            except OSError as error:
                raise Refused(e.ESRCH, f"it has ended: {error.strerror}") from error
            if said != [b"running"]:
                break
            if time.monotonic() > deadline:
                raise Refused(e.ESRCH, "it does not wait")
            time.sleep(0.0002)
        if len(said) < 4 or int(said[0]) != number:
            raise Refused(e.ESRCH, "it waits in no ioctl")
        fd, command, argument = (int(word, 16) for word in said[1:4])
        return Waits(fd & 0xFFFF_FFFF, command & 0xFFFF_FFFF, argument)

    def device(self, fd: int) -> Device:
        """Return major and minor number of what its descriptor `fd` is a file of."""
        record = bytearray(_STATX_BYTES)
        try:
            linux.statx(self._folder, f"fd/{fd}", _AT_STATX_DONT_SYNC, record)
        except OSError as error:
            raise Refused(e.ESRCH, f"descriptor {fd}: {error.strerror}") from error
        found: Device = _STATX_DEVICE.unpack_from(record, _STATX_DEVICE_AT)
        return found

    def mapped(self, devices: Collection[Device], at: int, size: int) -> bool:
        """Tell whether memory from `at` on is that of a file on one of these devices."""
        for found in _MAPPING.finditer(self._read("maps")):
            start, end, major, minor = (int(word, 16) for word in found.groups())
            if start < at + size and at < end and (major, minor) in devices:
                return True
        return False

    # Its number stands for this very thread as long as that waits.  Unlike /proc/THREAD/mem, these
    # calls do to memory only what the client itself may do, and end when this process is killed.

    def read(self, at: int, size: int, still: Callable[[], object]) -> bytes:
        """Read `size` bytes of its memory at `at`; EFAULT if it cannot read them itself.

        `still` is called before each piece, and raises when there is to be no more.
        """
        found = bytearray(size)
        self._copy(linux.process_vm_readv, at, memoryview(found), still)
        return bytes(found)

    def write(self, at: int, data: memoryview, still: Callable[[], object]) -> None:
        """Write its memory at `at`; as `read`."""
        self._copy(linux.process_vm_writev, at, data, still)

    def _copy(
        self,
        call: Callable[[int, int, memoryview], int],
        at: int,
        place: memoryview,
        still: Callable[[], object],
    ) -> None:
        for done, part in _pieces(at, len(place)):
            still()
            try:
                copied = call(self._thread, at + done, place[done : done + part])
            except OSError:
                copied = 0
            if copied != part:
                raise Refused(e.EFAULT, f"{part} bytes at {at + done:#x} are out of its reach")


def _pieces(at: int, size: int) -> Iterator[tuple[int, int]]:
    if not 0 <= at <= at + size <= _MOST_ADDRESS:
        raise Refused(e.EFAULT, f"{size} bytes at {at:#x} are no memory")
    return ((done, min(_PIECE, size - done)) for done in range(0, size, _PIECE))
