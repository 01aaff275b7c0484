"""The schemes `audio` and `audio.ctl`: paths and handles.

```
/scheme/audio               what is written is played: 16 bits, left and right, 44100 Hz
/scheme/audio.ctl/in/FORMAT the same for other formats (daemons.audiod.format)
                 /capture   read: what the card records, from the open on; for root
                 /clients   read: who plays; written: `ID VOLUME`
                 /volume    0 to 100, of all
                 /stats
```

At the ring door `volume` and FORMAT can be opened below `audio`, too, and a handle that plays can
be asked for one of another format by dup.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import ClassVar, Final

from daemons.audiod import tables
from daemons.audiod.format import Format
from daemons.audiod.player import Player
from daemons.audiod.recorder import Recorder
from daemons.audiod.stream import QUEUE, Stream
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR, MODE_FILE, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.request import LATER, Caller, Later, Request, Unheard
from redbear_host.scheme.scheme import POSITIONED, ROOT, Bytes, Entry, Opened, Scheme

_BLOCK: Final = 4096
_COMMAND_MOST: Final = 64  # bytes
_FORMATS: Final = ("44100-s16-2", "48000-s16-2", "48000-s16-1", "48000-f32-2", "8000-u8-1")

# Not the truth, since there is no end.  Linux lets two programs write to one file at the same time
# only where they cannot make it longer; else one that waits for room keeps all others waiting.
_SIZE: Final = 1 << 30


class Kind(Enum):
    """What a path stands for."""

    FOLDER = auto()
    STREAM = auto()
    CAPTURE = auto()
    VOLUME = auto()
    CLIENTS = auto()
    STATS = auto()


_MODES: Final = {
    Kind.FOLDER: MODE_DIR | 0o755,
    Kind.STREAM: MODE_CHR | 0o666,
    Kind.CAPTURE: MODE_CHR | 0o400,
    Kind.VOLUME: MODE_FILE | 0o666,
    Kind.CLIENTS: MODE_FILE | 0o666,
    Kind.STATS: MODE_FILE | 0o444,
}


_TEXTS: Final = (Kind.VOLUME, Kind.CLIENTS, Kind.STATS)


class _File:
    __slots__ = ("flags", "format", "kind", "path", "stream", "text")

    def __init__(self, kind: Kind, path: str, flags: int, spelling: Format) -> None:
        self.kind: Final = kind
        self.path: Final = path
        self.flags: Final = flags
        self.format: Final = spelling
        self.stream: Stream | None = None
        self.text = b""


class _Schemes(Scheme):
    """What both have: streams and texts.

    They `replay`: a write that was parked has done nothing, and one that was taken and not answered
    when we died is played twice at worst.
    """

    replays: ClassVar[bool] = True
    reopens: ClassVar[bool] = True

    def __init__(self, player: Player) -> None:
        self._player: Final = player
        self._files: Final[dict[int, _File]] = {}
        self._next = ROOT + 1

    def resolve(self, path: str) -> tuple[Kind, Format]:
        """Say what a path stands for; ENOENT."""
        raise Refused(e.ENOENT)

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open a stream, a text or a folder."""
        path = path.strip("/")
        if parent != ROOT:
            above = self._file(parent)
            if above.kind is not Kind.FOLDER:
                raise Refused(e.ENOTDIR)
            path = f"{above.path}/{path}".strip("/")
        kind, spelling = self.resolve(path)
        if kind is Kind.FOLDER and flags & f.O_WRONLY:
            raise Refused(e.EISDIR)
        if kind is not Kind.FOLDER and flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        return self._add(_File(kind, path, flags, spelling), request)

    def _add(self, file: _File, request: Request) -> Opened:
        if not file.flags & f.O_STAT:
            if file.kind is Kind.STREAM:
                number = request.inode if isinstance(request, Unheard) else 0
                file.stream = self._player.open(file.format, request.caller, number)
            elif file.kind in _TEXTS and file.flags & f.O_RDONLY:
                file.text = self._text(file.kind).encode()
        handle, self._next = self._next, self._next + 1
        self._files[handle] = file
        if file.stream is not None:
            self._player.room_for[file.stream.number] = self._tell(handle, f.EVENT_WRITE)
        return Opened(handle, POSITIONED if file.kind in _TEXTS else 0)

    def _tell(self, handle: int, event: int) -> Callable[[], None]:
        return lambda: self.post_fevent(handle, event)

    def dup(self, handle: int, name: Bytes, request: Request) -> Opened:
        """Open a stream of another format beside one; EINVAL for what is no format."""
        if self._file(handle).kind is not Kind.STREAM:
            raise Refused(e.EOPNOTSUPP)
        spelling = _format(bytes(name).decode("ascii", "replace"), e.EINVAL)
        flags = self._file(handle).flags & ~f.O_STAT
        return self._add(_File(Kind.STREAM, str(spelling), flags, spelling), request)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/NAME/…`."""
        return f"/scheme/{self.name}/{self._file(handle).path}".rstrip("/")

    def on_close(self, handle: int) -> None:
        """Forget the handle; what it has queued is played to the end."""
        file = self._files.pop(handle, None)
        if file is not None and file.stream is not None:
            self._player.room_for.pop(file.stream.number, None)
            self._player.close(file.stream)

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Return a text; what is played cannot be read."""
        file = self._file(handle)
        if file.kind is Kind.FOLDER:
            raise Refused(e.EISDIR)
        if file.kind is Kind.STREAM or not file.flags & f.O_RDONLY:
            raise Refused(e.EBADF)
        if offset == 0:
            file.text = self._text(file.kind).encode()
        return file.text[offset : offset + size]

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Queue sound, as much as there is room for; or set a volume."""
        file = self._file(handle)
        if not file.flags & f.O_WRONLY:
            raise Refused(e.EBADF)
        if file.stream is not None:
            count = self._player.write(file.stream, data, request.caller.pid)
            if file.stream.level >= QUEUE or count < len(data):
                file.stream.wanted = True
            if not count and data:
                raise Refused(e.EWOULDBLOCK)
            return count
        words = bytes(data[: _COMMAND_MOST + 1]).decode("ascii", "replace").split()
        if len(data) > _COMMAND_MOST or not all(word.isdecimal() for word in words):
            raise Refused(e.EINVAL)
        self._set(file.kind, [int(word) for word in words], request.caller)
        return len(data)

    def _set(self, kind: Kind, numbers: Sequence[int], caller: Caller) -> None:
        """Set the volume of all, or a stream's, which its user may and root."""
        if len(numbers) != (2 if kind is Kind.CLIENTS else 1) or numbers[-1] > 100:
            raise Refused(e.EINVAL)
        if kind is Kind.VOLUME:
            self._player.volume = numbers[0]
        elif kind is Kind.CLIENTS:
            stream = self._player.streams.get(numbers[0])
            if stream is None:
                raise Refused(e.ENOENT)
            if caller.uid not in (0, stream.caller.uid):
                raise Refused(e.EACCES)
            stream.volume = numbers[1]
        else:
            raise Refused(e.EBADF)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: `>` cuts the file off first."""
        if not self._file(handle).flags & f.O_WRONLY:
            raise Refused(e.EBADF)

    def fsync(self, handle: int, request: Request) -> Later | None:
        """Wait until all that was written is played."""
        stream = self._file(handle).stream
        if stream is None or self._player.drain(stream, request):
            return None
        return LATER

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe a file; a stream's inode is its number, by which a successor knows it."""
        file = self._file(handle)
        inode = 2 if file.stream is None else file.stream.number
        size = _SIZE if file.kind is Kind.STREAM else len(file.text)
        links = 2 if file.kind is Kind.FOLDER else 1
        return Stat(
            st_ino=inode,
            st_mode=_MODES[file.kind],
            st_nlink=links,
            st_size=0 if file.kind is Kind.FOLDER else size,
            st_blksize=_BLOCK,
        )

    def fsize(self, handle: int) -> int:
        """Return the length of a text."""
        file = self._file(handle)
        if file.kind is Kind.STREAM:
            raise Refused(e.ESPIPE)
        return len(file.text)

    def fevent(self, handle: int, mask: int) -> int:
        """Be ready to write while there is room, and to read a text always."""
        stream = self._file(handle).stream
        if stream is None:
            return mask
        if stream.level >= QUEUE:
            stream.wanted = True
            return 0
        return mask & f.EVENT_WRITE

    def _text(self, kind: Kind) -> str:
        if kind is Kind.VOLUME:
            return str(self._player.volume)
        if kind is Kind.CLIENTS:
            return tables.clients(self._player.streams.values())
        return tables.stats(self._player)

    def _file(self, handle: int) -> _File:
        if handle == ROOT:
            return _File(self.resolve("")[0], "", 0, Format())
        found = self._files.get(handle)
        if found is None:
            raise Refused(e.EBADF)
        return found


class AudioScheme(_Schemes):
    """`audio`, as Redox has it, and other formats by their names."""

    name = "audio"
    root_is_file: ClassVar[bool] = True

    def resolve(self, path: str) -> tuple[Kind, Format]:
        """Know the root, `volume`, and formats."""
        if not path:
            return Kind.STREAM, Format()
        if path == "volume":
            return Kind.VOLUME, Format()
        return Kind.STREAM, _format(path, e.ENOENT)


class ControlScheme(_Schemes):
    """`audio.ctl`: a folder, for programs that have nothing but files."""

    name = "audio.ctl"
    _KINDS: ClassVar = {
        "": Kind.FOLDER,
        "in": Kind.FOLDER,
        "capture": Kind.CAPTURE,
        "clients": Kind.CLIENTS,
        "volume": Kind.VOLUME,
        "stats": Kind.STATS,
    }

    def __init__(self, player: Player, recorder: Recorder) -> None:
        super().__init__(player)
        self._recorder: Final = recorder

    def resolve(self, path: str) -> tuple[Kind, Format]:
        """Know the files, and formats below `in`."""
        kind = self._KINDS.get(path)
        if kind is not None:
            return kind, Format()
        folder, _, name = path.partition("/")
        if folder != "in":
            raise Refused(e.ENOENT)
        return Kind.STREAM, _format(name, e.ENOENT)

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open a file; `capture` begins to record, for root: what is said here is nobody else's."""
        opened = super().openat(parent, path, flags, fcntl_flags, request)
        if self._file(opened.handle).kind is Kind.CAPTURE and not flags & f.O_STAT:
            if request.caller.uid != 0 or flags & f.O_WRONLY:
                self.on_close(opened.handle)
                raise Refused(e.EACCES)
            self._recorder.add(opened.handle, self._tell(opened.handle, f.EVENT_READ))
        return opened

    def on_close(self, handle: int) -> None:
        """Forget the handle."""
        self._recorder.remove(handle)
        super().on_close(handle)

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Return a text, or what was recorded."""
        if self._file(handle).kind is not Kind.CAPTURE:
            return super().read(handle, size, offset, fcntl_flags, request)
        reader = self._recorder.readers.get(handle)
        if reader is None:
            raise Refused(e.EBADF)
        if not reader.waiting and size:
            raise Refused(e.EWOULDBLOCK)
        return reader.take(size)

    def fevent(self, handle: int, mask: int) -> int:
        """Be ready to read `capture` when something was recorded."""
        reader = self._recorder.readers.get(handle)
        if reader is None:
            return super().fevent(handle, mask)
        return mask & f.EVENT_READ if reader.waiting else 0

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the files; of the formats a few, since all have a name."""
        file = self._file(handle)
        if file.kind is not Kind.FOLDER:
            raise Refused(e.ENOTDIR)
        if file.path:
            return [Entry(name, f.DT_REG) for name in _FORMATS]
        return [
            Entry(name, f.DT_DIR if kind is Kind.FOLDER else f.DT_REG)
            for name, kind in self._KINDS.items()
            if name
        ]

    def _text(self, kind: Kind) -> str:
        text = super()._text(kind)
        return f"{text}\n" if kind is Kind.VOLUME else text


def _format(text: str, errno: int) -> Format:
    try:
        return Format.parse(text)
    except ValueError:
        raise Refused(errno) from None
