"""Every call of libredox, as what goes into an Sqe and how its answer is read.

Argument orders: `redbear_host.abi.sqe.Opcode`.  Nothing is sent here, so that the blocking client,
the asyncio one and batches share it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

from redbear_host.abi import dirent
from redbear_host.abi.dirent import Dirent, DirentHeader
from redbear_host.abi.flags import O_FCNTL_MASK
from redbear_host.abi.sqe import Opcode
from redbear_host.abi.stat import Stat, StatVfs
from redbear_host.client.slot import Slot
from redbear_host.ring.layout import NO_OFFSET

Bytes: TypeAlias = bytes | bytearray | memoryview
T = TypeVar("T")

NO_BUFFER: Final = -1
FPATH_ROOM: Final = 4096
_TIMES: Final = Struct("<qi4xqi4x")  # two TimeSpecs
_OPEN: Final = int(Opcode.OPEN_AT)
_READ: Final = int(Opcode.READ)
_WRITE: Final = int(Opcode.WRITE)


class Call(NamedTuple, Generic[T]):
    """One call: `payload` goes in, up to `room` bytes come out, `words` stand behind the buffer."""

    opcode: int
    handle: int
    payload: Bytes
    room: int  # NO_BUFFER: the words stand right behind the handle
    words: tuple[int, ...]  # three behind a buffer, four without
    decode: Callable[[Slot], T]
    fds: Sequence[int] = ()


# Calls a tuple's own constructor: half the time of the named one, in every read and write.
_make: Final[Callable[[type[Call[Any]], tuple[Any, ...]], Call[Any]]] = tuple.__new__


class Answer(NamedTuple):
    """What an open or dup brought: a handle of the scheme, or somebody else's descriptor."""

    handle: int
    new_flags: int
    fd: int  # -1 when it is a handle


def _result(slot: Slot) -> int:
    return slot.result


def _bytes(slot: Slot) -> bytes:
    at = slot.at
    return slot.arena[at : at + min(slot.result, slot.room)].tobytes()


def _opened(slot: Slot) -> Answer:
    if slot.fds:
        fds, slot.fds = slot.fds, ()
        return Answer(-1, 0, fds[0])
    return Answer(slot.result, slot.new_flags, -1)


def _mapped(slot: Slot) -> tuple[int, int]:
    fds, slot.fds = slot.fds, ()
    return (fds[0] if fds else -1), slot.result


def _received(slot: Slot) -> list[int]:
    fds, slot.fds = slot.fds, ()
    return list(fds)


def _stat(slot: Slot) -> Stat:
    return Stat.load(slot.arena, slot.at)


def _statvfs(slot: Slot) -> StatVfs:
    return StatVfs.load(slot.arena, slot.at)


def _path(slot: Slot) -> str:
    return _bytes(slot).decode(errors="surrogateescape")


def _entries(slot: Slot) -> list[Dirent]:
    return list(dirent.unpack(_bytes(slot)))


def _plain(opcode: Opcode, handle: int, a: int = 0, b: int = 0, c: int = 0) -> Call[int]:
    return Call(opcode, handle, b"", NO_BUFFER, (a, b, c, 0), _result)


def openat(parent: int, path: bytes, flags: int, mode: int = 0) -> Call[Answer]:
    """Open; the permissions of what is made travel in the low twelve bits of the flags."""
    words = (flags | mode & 0o7777, flags & O_FCNTL_MASK, 0)
    return Call(_OPEN, parent, path, 0, words, _opened)


def dup(handle: int, name: Bytes) -> Call[Answer]:
    """Open something by name relative to a handle."""
    return Call(Opcode.DUP, handle, name, 0, (0, 0, 0), _opened)


def read(handle: int, size: int, offset: int = NO_OFFSET, flags: int = 0) -> Call[bytes]:
    """Read at most `size` bytes; `flags` are those fcntl can change."""
    return _make(Call, (_READ, handle, b"", size, (offset, flags, 0), _bytes, ()))


def write(handle: int, data: Bytes, offset: int = NO_OFFSET, flags: int = 0) -> Call[int]:
    """Write; the answer counts the bytes taken."""
    return _make(Call, (_WRITE, handle, data, 0, (offset, flags, 0), _result, ()))


def close(handle: int) -> Call[int]:
    """Close, and hear when it is done."""
    return _plain(Opcode.CLOSE, handle)


def fsize(handle: int) -> Call[int]:
    """Ask for the size that SEEK_END counts from."""
    return _plain(Opcode.FSIZE, handle)


def fchmod(handle: int, mode: int) -> Call[int]:
    """Change permission bits."""
    return _plain(Opcode.FCHMOD, handle, mode)


def fchown(handle: int, uid: int, gid: int) -> Call[int]:
    """Change the owner; -1 leaves one as it is."""
    return _plain(Opcode.FCHOWN, handle, uid & 0xFFFF_FFFF, gid & 0xFFFF_FFFF)


def fcntl(handle: int, command: int, argument: int) -> Call[int]:
    """Ask the scheme what it says to a change of flags."""
    return _plain(Opcode.FCNTL, handle, command, argument)


def fevent(handle: int, mask: int) -> Call[int]:
    """Ask which events are true now, and for those to come."""
    return _plain(Opcode.FEVENT, handle, mask)


def fsync(handle: int) -> Call[int]:
    """Make durable."""
    return _plain(Opcode.FSYNC, handle)


def ftruncate(handle: int, length: int) -> Call[int]:
    """Set the length."""
    return _plain(Opcode.FTRUNCATE, handle, length)


def fpath(handle: int) -> Call[str]:
    """Ask for the canonical path."""
    return Call(Opcode.FPATH, handle, b"", FPATH_ROOM, (0, 0, 0), _path)


def frename(handle: int, path: bytes) -> Call[int]:
    """Give another name."""
    return Call(Opcode.FRENAME, handle, path, 0, (0, 0, 0), _result)


def flink(handle: int, path: bytes) -> Call[int]:
    """Give one more name."""
    return Call(Opcode.FLINK, handle, path, 0, (0, 0, 0), _result)


def unlinkat(parent: int, path: bytes, flags: int) -> Call[int]:
    """Remove a name."""
    return Call(Opcode.UNLINK_AT, parent, path, 0, (flags, 0, 0), _result)


def fstat(handle: int) -> Call[Stat]:
    """Describe the file."""
    return Call(Opcode.FSTAT, handle, b"", Stat.size, (0, 0, 0), _stat)


def fstatvfs(handle: int) -> Call[StatVfs]:
    """Describe what the file lives on."""
    return Call(Opcode.FSTATVFS, handle, b"", StatVfs.size, (0, 0, 0), _statvfs)


def futimens(handle: int, times: tuple[int, int] | None) -> Call[int]:
    """Set access and modification time, in nanoseconds; None is now."""
    raw = b""
    if times is not None:
        (atime, atime_ns), (mtime, mtime_ns) = (divmod(t, 1_000_000_000) for t in times)
        raw = _TIMES.pack(atime, atime_ns, mtime, mtime_ns)
    return Call(Opcode.FUTIMENS, handle, raw, 0, (0, 0, 0), _result)


def getdents(handle: int, room: int, opaque: int) -> Call[list[Dirent]]:
    """List a directory, as far as it fits, from an entry's `next_opaque_id` on."""
    words = (DirentHeader.size, opaque, 0)
    return Call(Opcode.GETDENTS, handle, b"", room, words, _entries)


def call(
    handle: int, payload: Bytes, room: int, metadata: Sequence[int], std_fs: bool = False
) -> Call[tuple[int, bytes]]:
    """Redox's call; the payload as it is afterwards comes back, `room` bytes of it."""
    a, b, c = (*metadata, 0, 0, 0)[:3]

    def decode(slot: Slot) -> tuple[int, bytes]:
        return slot.result, slot.arena[slot.at : slot.at + room].tobytes()

    opcode = Opcode.STD_FS_CALL if std_fs else Opcode.CALL
    return Call(opcode, handle, payload, room, (a, b, c), decode)


def sendfd(handle: int, fds: Sequence[int], flags: int, argument: int) -> Call[int]:
    """Hand descriptors to the scheme."""
    words = (flags, argument, len(fds), 0)
    return Call(Opcode.SENDFD, handle, b"", NO_BUFFER, words, _result, fds)


def mmap_prep(handle: int, length: int, flags: int, offset: int) -> Call[tuple[int, int]]:
    """Ask for what is to be mapped: a descriptor, and the offset in it."""
    return Call(Opcode.MMAP_PREP, handle, b"", NO_BUFFER, (length, flags, offset, 0), _mapped)


def munmap(handle: int, length: int, flags: int, offset: int) -> Call[int]:
    """Say that it is unmapped."""
    return _plain(Opcode.MUNMAP, handle, length, flags, offset)


def recvfd(handle: int, count: int, flags: int, metadata: Sequence[int]) -> Call[list[int]]:
    """Ask for at most `count` descriptors."""
    words = (flags, count, *(*metadata, 0, 0)[:2])
    return Call(Opcode.RECVFD, handle, b"", NO_BUFFER, words, _received)
