"""Opening, making, moving and removing names below the root, as a caller.

A successor may be asked to do again what its predecessor did and did not say.  A request that may
have been run already is `replayed`; then what is there is taken for the predecessor's work if it
looks exactly like it: an empty file or directory of the caller's, the very link.  The client's
kernel had found the name free, and lets nobody else make it meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from daemons.filed import calls
from daemons.filed.callers import Callers
from daemons.filed.handles import Appending, Handle
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller, Request, Unheard

_LOOK: Final = os.O_PATH | os.O_NOFOLLOW
# Not blocking: a FIFO or a file with a lease would hold up everybody.
_ALWAYS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_ACCESS: Final = {f.O_RDONLY: os.O_RDONLY, f.O_WRONLY: os.O_WRONLY, f.O_RDWR: os.O_RDWR}
_MODE: Final = 0o7777
_PATH_MAX: Final = 4095


class _Place(NamedTuple):
    """A name in an open directory."""

    folder: int
    name: bytes


class Names:
    """The names below the directory `root`."""

    def __init__(self, root: int, callers: Callers) -> None:
        self._root: Final = root
        self._callers: Final = callers

    def full(self, path: str, caller: Caller, parent: Handle | None = None) -> bytes:
        """Return a path relative to the root, from one relative to a directory that is open.

        ESTALE if that directory does not have the name any more by which it was opened: nothing
        may be reached through one that somebody has moved away.
        """
        try:
            own = path.encode("utf-8", "surrogateescape").strip(b"/")
        except UnicodeEncodeError:
            raise Refused(e.EINVAL) from None
        if b"\0" in own:
            raise Refused(e.EINVAL)
        if parent is not None and parent.path:
            self._callers.become(caller)
            try:
                self._check_named(parent)
            except OSError as err:
                raise refused(err) from None
            own = b"/".join(part for part in (parent.path, own) if part)
        if len(own) > _PATH_MAX:
            raise Refused(e.ENAMETOOLONG)
        return own

    # -- opening -----------------------------------------------------------------------------------

    def open(
        self, path: bytes, flags: int, request: Request
    ) -> tuple[Handle, os.stat_result | None]:
        """Open `path` with Redox's `flags` for the caller of `request`.

        Also returns what it is, but for what is only looked at.
        """
        self._callers.become(request.caller)
        access = flags & f.O_ACCMODE
        if flags & f.O_STAT or not access:
            return self._look(path, flags), None
        if flags & f.O_SYMLINK:
            return self._open_link(path, flags), None
        if flags & f.O_CREAT and flags & f.O_DIRECTORY:
            self._make_directory(path, flags, request)
            flags &= ~(f.O_EXCL | f.O_CREAT)
            made = True
        else:
            made = False
        wanted = _ACCESS[access] | _ALWAYS
        if flags & f.O_TRUNC:
            wanted |= os.O_TRUNC
        if flags & f.O_DIRECTORY:
            wanted |= os.O_DIRECTORY
        if flags & f.O_APPEND:
            wanted |= os.O_APPEND
        mode = 0
        if flags & f.O_CREAT:
            wanted |= os.O_CREAT | (os.O_EXCL if flags & f.O_EXCL else 0)
            mode = flags & _MODE
        try:
            fd = calls.open_beneath(self._root, path or b".", wanted, mode)
        except OSError as err:
            if made and err.errno == errno.EACCES:  # made without the right to read it
                return self._look(path, flags), None
            fd = self._open_again(path, wanted, err, request)
        found = _describe(fd)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFDIR and not flags & f.O_DIRECTORY:
            os.close(fd)
            raise Refused(e.EISDIR)
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            os.close(fd)
            raise Refused(e.ENXIO)
        handle = Handle(
            fd,
            path,
            looks=False,
            may_read=access != f.O_WRONLY,
            may_write=access != f.O_RDONLY,
            appending=Appending(bool(flags & f.O_APPEND)),
        )
        return handle, found

    def _look(self, path: bytes, flags: int) -> Handle:
        only = os.O_DIRECTORY if flags & f.O_DIRECTORY else 0
        return Handle(calls.open_beneath(self._root, path or b".", _LOOK | only), path, looks=True)

    def _open_again(self, path: bytes, wanted: int, err: OSError, request: Request) -> int:
        """Open what cannot be opened as it is, if it was open before.

        A handle outlives the permission it was opened with: who made a file that nobody may write
        can still write it.  Its owner could give himself any permission, so nothing is given away.
        """
        caller = request.caller
        if isinstance(request, Unheard) and err.errno == errno.EACCES:
            self._callers.become_root()
            fd = calls.open_beneath(self._root, path or b".", wanted)
            if _describe(fd).st_uid == caller.uid:
                return fd
            os.close(fd)
        if request.replayed and err.errno == errno.EEXIST and wanted & os.O_EXCL:
            fd = calls.open_beneath(self._root, path, wanted & ~(os.O_CREAT | os.O_EXCL))
            found = _describe(fd)
            if stat.S_ISREG(found.st_mode) and _is_fresh(found, caller):
                return fd
            os.close(fd)
        raise err

    def _make_directory(self, path: bytes, flags: int, request: Request) -> None:
        with self._placed(path) as place:
            try:
                os.mkdir(place.name, flags & _MODE, dir_fd=place.folder)
                return
            except FileExistsError:
                if not flags & f.O_EXCL:
                    return
                if not request.replayed:
                    raise
        fd = calls.open_beneath(self._root, path, _LOOK | os.O_DIRECTORY)
        found = _describe(fd)
        os.close(fd)
        # An empty directory is linked from itself and its parent; some file systems count one.
        if not _is_fresh(found, request.caller) or found.st_nlink > 2:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    def content(self, handle: Handle, size: int, offset: int) -> bytes:
        """Read what `handle` was perhaps not opened to read: for our own eyes, not its client's."""
        if handle.may_read:
            return calls.read_at(handle.fd, size, offset)
        self._callers.become_root()
        self._check_named(handle)
        fd = calls.open_beneath(self._root, handle.path, os.O_RDONLY | _ALWAYS)
        try:
            return calls.read_at(fd, size, offset)
        finally:
            os.close(fd)

    # -- links -------------------------------------------------------------------------------------

    def _open_link(self, path: bytes, flags: int) -> Handle:
        """Open a link itself, or begin one, which is made when its target is written."""
        try:
            fd = calls.open_beneath(self._root, path or b".", _LOOK)
        except FileNotFoundError:
            if not flags & f.O_CREAT:
                raise
            with self._placed(path):  # is there a directory for it?
                return Handle(-1, path, looks=True)
        if flags & f.O_CREAT and flags & f.O_EXCL:
            os.close(fd)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if not stat.S_ISLNK(_describe(fd).st_mode):
            os.close(fd)
            raise Refused(e.EINVAL)
        return Handle(fd, path, looks=True)

    def target(self, link: Handle) -> bytes:
        """Return where a link leads; EBADF for what is none."""
        try:
            return os.readlink(b"", dir_fd=link.fd)
        except OSError:
            raise Refused(e.EBADF) from None

    def make_link(self, link: Handle, target: bytes, caller: Caller) -> None:
        """Make a link that was begun; writing the same target to one that is there is harmless."""
        if link.fd >= 0:
            if self.target(link) != target:
                raise Refused(e.EINVAL)
            return
        self._callers.become(caller)
        with self._placed(link.path) as place:
            try:
                os.symlink(target, place.name, dir_fd=place.folder)
            except ValueError:  # a NUL
                raise Refused(e.EINVAL) from None
            link.fd = calls.open_beneath(place.folder, place.name, _LOOK)

    # -- moving and removing -----------------------------------------------------------------------

    def remove(self, path: bytes, directory: bool, caller: Caller) -> None:
        """Remove a name."""
        self._callers.become(caller)
        with self._placed(path) as place:
            if directory:
                os.rmdir(place.name, dir_fd=place.folder)
            else:
                os.unlink(place.name, dir_fd=place.folder)

    def rename(self, handle: Handle, new: bytes, caller: Caller) -> None:
        """Move what `handle` shows from the name it was opened by to another."""
        self._callers.become(caller)
        self._check_named(handle)
        with self._placed(handle.path) as old, self._placed(new) as place:
            os.rename(old.name, place.name, src_dir_fd=old.folder, dst_dir_fd=place.folder)

    def link(self, handle: Handle, new: bytes, caller: Caller) -> None:
        """Give what `handle` shows one more name."""
        self._callers.become(caller)
        self._check_named(handle)
        with self._placed(handle.path) as old, self._placed(new) as place:
            folders = {"src_dir_fd": old.folder, "dst_dir_fd": place.folder}
            os.link(old.name, place.name, **folders, follow_symlinks=False)

    @contextmanager
    def _placed(self, path: bytes) -> Iterator[_Place]:
        """Open the directory a name is in, as the present caller; EBUSY for the root itself."""
        above, _, name = path.rpartition(b"/")
        if not name:
            raise Refused(e.EBUSY)
        flags = os.O_PATH | os.O_DIRECTORY
        folder = calls.open_beneath(self._root, above or b".", flags)
        try:
            yield _Place(folder, name)
        finally:
            os.close(folder)

    def _check_named(self, handle: Handle) -> None:
        """Refuse with ESTALE a handle whose path leads to something else, or nowhere."""
        if handle.fd < 0:
            raise Refused(e.ENOENT)
        try:
            fd = calls.open_beneath(self._root, handle.path or b".", _LOOK)
        except FileNotFoundError:
            raise Refused(e.ESTALE) from None
        named, held = _describe(fd), os.fstat(handle.fd)
        os.close(fd)
        if (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino):
            raise Refused(e.ESTALE)


def _describe(fd: int) -> os.stat_result:
    """Describe a new descriptor; it is closed if that fails (a server behind it has gone)."""
    try:
        return os.fstat(fd)
    except OSError:
        os.close(fd)
        raise


def _is_fresh(found: os.stat_result, caller: Caller) -> bool:
    """Tell whether something looks as if `caller` had just made it."""
    return found.st_uid == caller.uid and (stat.S_ISDIR(found.st_mode) or found.st_size == 0)


def refused(err: OSError) -> Refused:
    """Turn Linux's refusal into Redox's: the numbers are the same, but those a scheme parks by."""
    return Refused(err.errno or e.EIO, str(err))
