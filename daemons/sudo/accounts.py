"""passwd, group and shadow, read anew at each check: somebody may just have changed them.

Ref: passwd(5), group(5), shadow(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

GROUP: Final = b"sudo"
_MOST: Final = 1 << 22  # bytes of a file


class User(NamedTuple):
    """One line of passwd, as far as it matters here."""

    name: bytes
    uid: int
    gid: int


class Accounts:
    """The three files in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder

    def user(self, uid: int) -> User | None:
        """Return the user with this number."""
        for fields in self._lines("passwd", 7):
            if fields[2] == b"%d" % uid and fields[3].isdigit():
                return User(fields[0], uid, int(fields[3]))
        return None

    def may_sudo(self, user: User) -> bool:
        """Tell whether a user is root, or in the group `sudo`."""
        if user.uid == 0:
            return True
        for fields in self._lines("group", 4):
            if fields[0] == GROUP:
                return fields[2] == b"%d" % user.gid or user.name in fields[3].split(b",")
        return False

    def hash(self, name: bytes) -> bytes | None:
        """Return a user's password hash; None without one."""
        for fields in self._lines("shadow", 9):
            if fields[0] == name:
                return fields[1]
        return None

    def _lines(self, file: str, count: int) -> Iterator[list[bytes]]:
        """Yield the fields of each line that has `count` of them; none if there is no such file."""
        try:
            fd = os.open(self._folder / file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            text = bytearray()
            while len(text) < _MOST and (part := os.read(fd, 1 << 16)):
                text += part
        finally:
            os.close(fd)
        for line in bytes(text).split(b"\n"):
            fields = line.split(b":")
            if len(fields) == count:
                yield fields
