"""`Scheme`: what a daemon implements to serve a name below /scheme.

The methods are those of Redox's scheme trait, with its defaults (redox-scheme 0.8 and 0.11):
handles are numbers the scheme chooses, paths are relative to a directory handle and carry no
leading slash, flags are Redox's (`redbear_host.abi.flags`), errors are raised as `Refused(errno)`.

Two errors mean different things and must not be confused: `EWOULDBLOCK` (41) parks the request
until the scheme posts an event on the handle, `EAGAIN` (11) goes to the caller.

The same scheme is served to plain Linux programs through FUSE (`schemefs`) and to libredox programs
through rings; it cannot tell which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final, NamedTuple, TypeAlias

from redbear_host.abi import errno as e
from redbear_host.abi.stat import Stat, StatVfs, TimeSpec
from redbear_host.errors import Refused
from redbear_host.scheme.request import Later, Request

__all__ = ["CACHED", "POSITIONED", "ROOT", "Entry", "Foreign", "Mapped", "Opened", "Scheme"]

ROOT: Final = 0  # the handle every path starts from; never closed
POSITIONED: Final = 1  # NewFdFlags: the handle has an offset; without it the file is a stream
CACHED: Final = 1 << 8  # ours: the kernel may keep the file's pages, and map them shared

Bytes: TypeAlias = bytes | bytearray | memoryview


class Opened(NamedTuple):
    """The answer to an open: the scheme's own number for the handle, and NewFdFlags.

    `backing` is a descriptor of a Linux file with the same bytes, or -1: a kernel that can
    (FUSE passthrough, 6.9) then reads, writes and maps that file without asking us, if the flags
    say `CACHED`.  It stays the scheme's own, and need not outlive the open.
    """

    handle: int
    flags: int = 0
    backing: int = -1


class Foreign(NamedTuple):
    """Another answer to an open: a descriptor of somebody else's (Redox's OtherScheme).

    The door sends it to the client and closes it.  Only the ring door can.
    """

    fd: int


class Mapped(NamedTuple):
    """The answer to mmap_prep: which part of which file the client is to map.

    The descriptor stays the scheme's own; the door sends a duplicate.
    """

    fd: int
    offset: int  # bytes, a multiple of the page size


class Entry(NamedTuple):
    """One name in a directory; `kind` is a Dirent kind (0 when unknown)."""

    name: str
    kind: int = 0
    inode: int = 0


class Scheme:
    """One name below /scheme.  Override what the scheme can do; the rest answers as Redox does."""

    name: str = ""

    root_is_file: ClassVar[bool] = False
    """True where the root itself is the file (rand, null, zero): opening "" opens it."""

    replays: ClassVar[bool] = False
    """True when doing a read, write or flush twice is the same as doing it once, so that after a
    crash the successor may run again what its predecessor took and did not answer.  Otherwise such
    requests fail with EIO: an honest error beats a doubled packet."""

    reopens: ClassVar[bool] = False
    """True when a handle is fully described by its path, flags and caller, so that a successor can
    open it again.  Otherwise handles of a dead daemon answer EIO from then on."""

    caches: ClassVar[float] = 0.0
    """For how many seconds the kernel may believe what it was told of a name and its facts.  More
    than 0 is right only where every change is made through this one mount, and by one name."""

    calls_in_place: ClassVar[bool] = False
    """True when `call` is to be given the ring client's own memory instead of a copy, to save two
    of all.  The client can change it at any time, so only what was copied out of it may be checked;
    it is answered at once or parked (EWOULDBLOCK), and no view of it is kept."""

    listeners: tuple[Callable[[int, int], None], ...] = ()
    """The doors it is served through, which add themselves; see `post_fevent`."""

    def post_fevent(self, handle: int, flags: int) -> None:
        """Say that a handle has become ready (EVENT_READ, EVENT_WRITE or both).

        Requests parked on it run again, pollers wake, event queues hear of it.
        """
        for listener in self.listeners:
            listener(handle, flags)

    # -- names ---------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened | Foreign | Later:
        """Open `path` below the directory handle `parent`.

        With `O_STAT` the handle is only looked at (fstat, fpath): such an open must have no effect.
        Everybody may look: the doors read, write and call nothing by such a handle.
        With `O_CREAT` the low twelve bits of `flags` are the permissions of what is made: a file,
        with `O_DIRECTORY` a directory, with `O_SYMLINK` a link whose target is then written to it.
        `O_SYMLINK` opens a link itself, and reading it gives the target.
        """
        raise Refused(e.ENOENT)

    def hold_to_redox(self, handle: int) -> None:
        """Hear that `handle` was opened by a libredox program, at the ring door.

        Where plain programs are allowed more than Redox allows, its own rules hold for this one.
        """

    def dup(self, handle: int, name: Bytes, request: Request) -> Opened | Foreign | Later:
        """Open something by name relative to an open handle (a listener's "listen", …)."""
        raise Refused(e.EOPNOTSUPP)

    def unlinkat(self, parent: int, path: str, flags: int, request: Request) -> None:
        """Remove a name; `flags` may hold AT_REMOVEDIR (0x200)."""
        raise Refused(e.ENOENT)

    def frename(self, handle: int, path: str, request: Request) -> None:
        """Give the file behind `handle` another name."""
        raise Refused(e.EOPNOTSUPP)

    def flink(self, handle: int, path: str, request: Request) -> None:
        """Give the file behind `handle` one more name."""
        raise Refused(e.EOPNOTSUPP)

    def fpath(self, handle: int) -> str:
        """Return the handle's canonical path, `/scheme/NAME/…`."""
        raise Refused(e.EOPNOTSUPP)

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List a directory whole; the door cuts it to the caller's buffer."""
        raise Refused(e.ENOTDIR)

    def on_close(self, handle: int) -> None:
        """Forget the handle; its last user is gone.  Nothing is answered."""

    # -- bytes ---------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> Bytes | Later:
        """Return at most `size` bytes; empty at the end of the file.

        A returned view must stay unchanged until the handler's caller returns; a view passed to
        `request.answer` until that call returns.
        """
        raise Refused(e.EBADF)

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int | Later:
        """Take bytes; return how many.

        `data` stays valid until the request is answered, and no client can change it meanwhile.
        """
        raise Refused(e.EBADF)

    def fsync(self, handle: int, request: Request) -> Later | None:
        """Make what was written durable."""
        return None

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Set the file's length."""
        raise Refused(e.EBADF)

    def fallocate(
        self, handle: int, mode: int, offset: int, length: int, request: Request
    ) -> Later | None:
        """Punch a hole or zero a range, as Linux's fallocate; Redox has no such call."""
        raise Refused(e.EOPNOTSUPP)

    def ioctl(
        self, handle: int, command: int, data: bytes, out_size: int, request: Request
    ) -> bytes | int | Later:
        """Answer Linux's ioctl; not a Redox call.

        Of commands whose number tells their size `data` is what the caller passed in, and at most
        `out_size` bytes go back.  Of all others only the caller knows what its argument means: a
        daemon that may (`asks = ["client"]` in its manifest) reaches it by `request.memory`, which
        is None otherwise, and for 32-bit programs.  An int is what ioctl(2) returns; with bytes
        that is 0.
        """
        raise Refused(e.ENOTTY)

    # -- facts ---------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe the file."""
        raise Refused(e.EOPNOTSUPP)

    def fstatvfs(self, handle: int) -> StatVfs:
        """Describe what the file lives on."""
        raise Refused(e.EOPNOTSUPP)

    def fsize(self, handle: int) -> int:
        """Return the size SEEK_END counts from, in bytes."""
        raise Refused(e.ESPIPE)

    def access(self, handle: int, wanted: int, request: Request) -> None:
        """Refuse with EACCES what the caller may not do: read (4), write (2), run or search (1).

        For Linux's access(2) and chdir(2).  Redox opens to find out, and where this is not
        overridden it is the open that decides.
        """

    def fchmod(self, handle: int, mode: int, request: Request) -> None:
        """Change permission bits."""
        raise Refused(e.EOPNOTSUPP)

    def fchown(self, handle: int, uid: int, gid: int, request: Request) -> None:
        """Change the owner; 0xFFFFFFFF leaves one as it is."""
        raise Refused(e.EOPNOTSUPP)

    def futimens(self, handle: int, times: Iterable[TimeSpec], request: Request) -> None:
        """Set access and modification time, in that order."""
        raise Refused(e.EBADF)

    def fcntl(self, handle: int, command: int, argument: int, request: Request) -> int:
        """Redox's fcntl, as far as the scheme has a say."""
        raise Refused(e.EOPNOTSUPP)

    # -- events and calls ------------------------------------------------------------------------

    def fevent(self, handle: int, mask: int) -> int:
        """Return which of `mask`'s events are true now; later ones go through `post_fevent`."""
        raise Refused(e.EOPNOTSUPP)

    def call(
        self, handle: int, payload: memoryview, metadata: Sequence[int], request: Request
    ) -> int | Later:
        """Redox's call: `payload` goes in and comes out, at most three metadata words."""
        raise Refused(e.EOPNOTSUPP)

    def on_sendfd(
        self, handle: int, fds: Sequence[int], flags: int, argument: int, request: Request
    ) -> int | Later:
        """Take descriptors from a client; from now on they are the scheme's to close.

        `argument` is the client's one metadata word.  If it raises, the door closes them.
        """
        raise Refused(e.EOPNOTSUPP)

    def on_recvfd(
        self, handle: int, count: int, flags: int, metadata: Sequence[int], request: Request
    ) -> Sequence[int] | Later:
        """Hand at most `count` descriptors to a client; the door closes them once they are sent."""
        raise Refused(e.EOPNOTSUPP)

    # -- memory ----------------------------------------------------------------------------------

    def mmap_prep(
        self, handle: int, offset: int, size: int, flags: int, request: Request
    ) -> Mapped | Later:
        """Say what a client maps that asks for `size` bytes from `offset`; `flags` are Redox's."""
        raise Refused(e.EOPNOTSUPP)

    def munmap(self, handle: int, offset: int, size: int, flags: int) -> None:
        """Hear that a client has unmapped what it had mapped."""
