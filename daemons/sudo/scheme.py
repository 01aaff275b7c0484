"""The scheme `sudo`.

```
/scheme/sudo          write your own password            (members of the group sudo, and root)
        su            write root's                       (anybody; at the ring door only)
```

A right password is taken; a wrong one is EPERM, after a while, and the handle stays usable.  After
too many a user is locked out for a time: EPERM at once, whatever is written.  `openat` of "ns" on a
handle whose password was right gives a folder with `scheme/` and `ring/`: a wider namespace, for
`setns` of libredox.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ClassVar, Final, Protocol

from daemons.sudo.accounts import Accounts, User
from daemons.sudo.hashes import PASSWORD_MOST, matches
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_FILE, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import LATER, Later, Request
from redbear_host.scheme.scheme import ROOT, Foreign, Opened, Scheme

log = logging.getLogger(__name__)

NS: Final = "ns"
SU: Final = "su"
_HANDLES_MOST: Final = 64  # of one user
_ROOT_NAME: Final = b"root"


class AskNamespace(Protocol):
    """Ask the shim for a user's wider namespace; `then` gets a descriptor, or -1 for none."""

    def __call__(self, user: str, then: Callable[[int], None]) -> None:
        """Ask."""
        ...


class _Handle:
    """One open of the scheme: whose password is asked, and who gave the right one."""

    __slots__ = ("as_root", "granted", "owner")

    def __init__(self, owner: int, as_root: bool) -> None:
        self.owner: Final = owner
        self.as_root: Final = as_root
        self.granted: str | None = None


class _Record:
    """What a user has tried lately."""

    __slots__ = ("locked_until", "thinking", "wrong")

    def __init__(self) -> None:
        self.wrong = 0
        self.locked_until = 0.0
        self.thinking = False  # a wrong password is being thought about


class SudoScheme(Scheme):
    """See the module.  Times are in seconds."""

    name = "sudo"
    root_is_file: ClassVar[bool] = True

    def __init__(
        self,
        accounts: Accounts,
        loop: Loop,
        ask: AskNamespace,
        tries: int,
        delay: float,
        lock: float,
    ) -> None:
        self._accounts: Final = accounts
        self._loop: Final = loop
        self._ask: Final = ask
        self._tries: Final = tries
        self._delay: Final = delay
        self._lock: Final = lock
        self._handles: Final[dict[int, _Handle]] = {}
        self._records: Final[dict[int, _Record]] = {}
        self._next = ROOT + 1

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened | Foreign | Later:
        """Open the scheme, `su`, or the namespace that a right password has earned."""
        if parent != ROOT:
            return self._open_namespace(self._handle(parent), path, request)
        if path not in ("", SU):
            raise Refused(e.ENOENT)
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        uid = request.caller.uid
        if sum(one.owner == uid for one in self._handles.values()) >= _HANDLES_MOST:
            raise Refused(e.EMFILE)
        number, self._next = self._next, self._next + 1
        self._handles[number] = _Handle(uid, path == SU)
        return Opened(number)

    def _open_namespace(self, handle: _Handle, path: str, request: Request) -> Later:
        if path != NS:
            raise Refused(e.ENOENT)
        if handle.granted is None:
            raise Refused(e.EPERM)

        def then(fd: int) -> None:
            if fd < 0:
                request.refuse(e.EIO)
            else:
                request.answer(Foreign(fd))

        self._ask(handle.granted, then)
        return LATER

    def fpath(self, handle: int) -> str:
        """Return the canonical path."""
        return f"/scheme/{self.name}{'/su' if self._handle(handle).as_root else ''}"

    def on_close(self, handle: int) -> None:
        """Forget the handle, and what it had earned."""
        del self._handles[handle]

    # -- passwords ---------------------------------------------------------------------------------

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int | Later:
        """Check a password; one newline at its end does not count."""
        opened = self._handle(handle)
        count = len(data)
        password = bytes(data[: PASSWORD_MOST + 2]).removesuffix(b"\n")
        if not 0 < len(password) <= PASSWORD_MOST or b"\0" in password:
            raise Refused(e.EINVAL)
        uid = request.caller.uid
        record = self._records.setdefault(uid, _Record())
        if record.thinking or self._loop.now() < record.locked_until:
            raise Refused(e.EPERM)
        user = self._accounts.user(uid)
        if self._check(user, password, opened.as_root):
            record.wrong = 0
            opened.granted = _ROOT_NAME.decode() if opened.as_root else _name(user)
            log.info("uid %d: password accepted, as %s", uid, opened.granted)
            return count
        record.wrong += 1
        log.warning("uid %d: password refused, %d in a row", uid, record.wrong)
        if record.wrong >= self._tries:
            record.locked_until = self._loop.now() + self._lock
            record.wrong = 0
            log.warning("uid %d: locked out for %g s", uid, self._lock)
        record.thinking = True
        self._loop.at(self._loop.now() + self._delay, lambda: _end(record, request))
        return LATER

    def _check(self, user: User | None, password: bytes, as_root: bool) -> bool:
        """Tell whether the password is right; it takes as long whoever asks."""
        may = user is not None and (as_root or self._accounts.may_sudo(user))
        name = _ROOT_NAME if as_root else user.name if user is not None else b""
        return matches(password, self._accounts.hash(name)) and may

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Return nothing: there is nothing to read."""
        self._handle(handle)
        return b""

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe the file."""
        if handle != ROOT:
            self._handle(handle)
        return Stat(st_mode=MODE_FILE | 0o666, st_nlink=1)

    def _handle(self, handle: int) -> _Handle:
        try:
            return self._handles[handle]
        except KeyError:
            raise Refused(e.EBADF) from None


def _name(user: User | None) -> str:
    return "" if user is None else user.name.decode(errors="surrogateescape")


def _end(record: _Record, request: Request) -> None:
    record.thinking = False
    request.refuse(e.EPERM)
