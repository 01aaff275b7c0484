"""What is in a file, and how much room there is for all of them."""

from __future__ import annotations

import os
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.errors import Refused


class Room:
    """How many bytes all files together may take; a hole takes what content would."""

    def __init__(self, size: int) -> None:
        self.size: Final = size
        self.used = 0

    def take(self, count: int) -> None:
        """Use so much more (or less), or raise ENOSPC."""
        if count > self.size - self.used:
            raise Refused(e.ENOSPC)
        self.used += count


class Content:
    """The bytes of one file: in this process's memory, until somebody maps them.

    From then on they are in a memfd, which mappings share with reads and writes.
    """

    __slots__ = ("_bytes", "_fd", "_readable", "_room", "size")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._bytes = bytearray()
        self._fd = -1
        self._readable = -1
        self.size = 0

    def read(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes; none behind the end."""
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        if self._fd < 0:
            return bytes(memoryview(self._bytes)[offset : offset + size])
        # Who may write to a mapped file has its memfd and may have cut that: zeros are read then.
        return os.pread(self._fd, size, offset).ljust(size, b"\0")

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data`, after zeros if it begins behind the end."""
        end = offset + len(data)
        if end > self.size:
            self.resize(end)
        if self._fd < 0:
            self._bytes[offset:end] = data
        else:
            os.pwrite(self._fd, data, offset)

    def resize(self, length: int) -> None:
        """Cut, or grow by zeros."""
        growth = length - self.size
        self._room.take(growth)
        try:
            if self._fd >= 0:
                os.ftruncate(self._fd, length)
            elif growth > 0:
                self._bytes.extend(bytes(growth))
            else:
                del self._bytes[length:]
        except (MemoryError, OSError):
            self._room.take(-growth)
            raise Refused(e.ENOSPC) from None
        self.size = length

    def clear(self, offset: int, length: int) -> None:
        """Write zeros, as far as there is content."""
        length = min(length, self.size - offset)
        if length > 0:
            self.write(offset, memoryview(bytes(length)))

    def memfd(self) -> int:
        """Return a descriptor of a Linux file with these bytes; it stays ours."""
        if self._fd < 0:
            fd = os.memfd_create("ramfs", os.MFD_CLOEXEC)
            done = 0
            while done < self.size:
                done += os.pwrite(fd, memoryview(self._bytes)[done:], done)
            self._fd, self._bytes = fd, bytearray()
        return self._fd

    def read_only_fd(self, proc: int) -> int:
        """Return a descriptor of the same file that cannot be written; `proc` is one of /proc."""
        if self._readable < 0:
            own = f"self/fd/{self.memfd()}"
            self._readable = os.open(own, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
        return self._readable

    def close(self) -> None:
        """Give the room back; mappings keep what they show."""
        self._room.take(-self.size)
        self.size = 0
        self._bytes = bytearray()
        for fd in (self._fd, self._readable):
            if fd >= 0:
                os.close(fd)
        self._fd = self._readable = -1
