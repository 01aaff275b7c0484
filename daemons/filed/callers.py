"""Doing things as the caller: file-system user, group and supplementary groups.

Linux checks file permissions with three things of the thread that asks.  The caller's user and
group come with each request; the supplementary groups are read from /proc, each time: the caller
waits for its answer meanwhile and cannot change them, and one look costs 3 µs.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from typing import Final, Self

from daemons.filed import calls
from redbear_host.abi import errno as e
from redbear_host.errors import Refused, TransportError
from redbear_host.scheme.request import Caller

_NOBODY: Final = 0xFFFF_FFFF  # (uid_t)-1, which no file can belong to
_ROOT: Final = Caller(0, 0, 0)
_REMEMBERED: Final = 64  # processes whose status is kept open
_USERS: Final = b"\nUid:\t"
_FILE_USER: Final = 3  # after the real, effective and saved one
_LINE: Final = b"\nGroups:\t"
_PART: Final = 4096
_STATUS_MAX: Final = 1 << 20  # 65536 groups of ten digits fit


class Callers:
    """Who this process is towards file systems.  `proc` is a descriptor of /proc."""

    def __init__(self, proc: int) -> None:
        self.proc: Final = proc
        self.uid = os.geteuid()  # -1: not known
        self._gid = os.getegid()
        self._groups = tuple(sorted(os.getgroups()))
        # An open status stays with its process: once that has died it can only say so, even if
        # another has got the number.
        self._status: Final[OrderedDict[int, int]] = OrderedDict()

    @classmethod
    def open(cls) -> Self:
        """Open /proc, which cannot be found any more later."""
        return cls(os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in self._status.values():
            os.close(fd)
        self._status.clear()
        os.close(self.proc)

    def forget(self) -> None:
        """Expect to be somebody else from now on: the daemon is about to be locked in."""
        self.uid = -1

    def become(self, caller: Caller) -> None:
        """Act as `caller` from now on.

        Root has every right whatever its groups, so that they are not looked at.
        """
        uid, gid = caller.uid, caller.gid
        groups = self._groups_of(caller) if uid else ()
        if uid != self.uid or gid != self._gid or groups != self._groups:
            self._set(uid, gid, groups)

    def become_root(self) -> None:
        """Act as root, for what is not done for a caller."""
        self.become(_ROOT)

    def may(self, found: os.stat_result, wanted: int, caller: Caller) -> bool:
        """Tell by a file's mode whether `caller` may do all of `wanted`: read 4, write 2, run 1."""
        mode = found.st_mode
        if caller.uid == 0:
            runs = stat.S_ISDIR(mode) or mode & 0o111
            return bool(runs) or not wanted & 1
        if caller.uid == found.st_uid:
            mode >>= 6
        elif found.st_gid == caller.gid or found.st_gid in self._groups_of(caller):
            mode >>= 3
        return not wanted & ~mode & 7

    def _set(self, uid: int, gid: int, groups: tuple[int, ...]) -> None:
        if _NOBODY in (uid, gid):
            raise Refused(e.EACCES, f"user {uid} and group {gid} own no files")
        if groups != self._groups or self.uid < 0:
            os.setgroups(groups)
            self._groups = groups
        calls.set_file_group(gid)
        # By way of root: only who stops being root loses what root may with files, and only who
        # becomes root gets it, whatever else this process may do (capabilities(7)).
        calls.set_file_user(0)
        calls.set_file_user(uid)
        # None of these tells whether it did anything.  To ask for nobody changes nothing.
        self.uid, self._gid = calls.set_file_user(_NOBODY), calls.set_file_group(_NOBODY)
        if (self.uid, self._gid) != (uid, gid):
            raise TransportError(
                f"filed cannot act as user {uid}, group {gid}: it is {self.uid}, {self._gid}"
            )

    def _groups_of(self, caller: Caller) -> tuple[int, ...]:
        """Return a process's supplementary groups; none for one that cannot be seen.

        That is one outside our PID namespace (0), one that has died and hears no answer, and one
        that acts as somebody else: it is not the caller any more, or another has got its number.
        """
        pid = caller.pid
        if pid <= 0:
            return ()
        fd = self._status.get(pid, -1)
        if fd >= 0:
            try:
                return _parse(fd, caller.uid)
            except ProcessLookupError:
                os.close(self._status.pop(pid))
        try:
            fd = self._open_status(pid)
        except (FileNotFoundError, PermissionError):
            self.become_root()  # /proc may be mounted with hidepid
            try:
                fd = self._open_status(pid)
            except (FileNotFoundError, ProcessLookupError):
                return ()
        except ProcessLookupError:
            return ()
        self._status[pid] = fd
        if len(self._status) > _REMEMBERED:
            os.close(self._status.popitem(last=False)[1])
        try:
            return _parse(fd, caller.uid)
        except ProcessLookupError:
            return ()

    def _open_status(self, pid: int) -> int:
        return calls.open_beneath(self.proc, b"%d/status" % pid, os.O_RDONLY)


def _parse(fd: int, uid: int) -> tuple[int, ...]:
    """Read the groups of a process that acts as `uid` towards file systems; none of another's."""
    status = calls.read_at(fd, _PART, 0)
    start = status.index(_USERS) + len(_USERS)
    if int(status[start : status.index(b"\n", start)].split()[_FILE_USER]) != uid:
        return ()
    start = status.index(_LINE, start) + len(_LINE)
    end = status.find(b"\n", start)
    if end < 0:
        status = calls.read_at(fd, _STATUS_MAX, 0)
        end = status.index(b"\n", start)
    return tuple(map(int, status[start:end].split()))
