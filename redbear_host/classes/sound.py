"""The scheme of a sound card's driver: Redox's `audiohw`.

```
/scheme/audiohw             samples: two channels of 16 bits, little-endian, at the card's rate;
                            read (by plain programs): what is recorded
dup("format"), "position", "stats", "capture", "jacks", "codecs", "codec#N"     docs/protocol.md
```
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import ClassVar, Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_FILE, Stat
from redbear_host.classes.recorders import Recorder
from redbear_host.classes.soundcard import AHEAD, BUFFER, FRAME, FRAMES, SoundCard
from redbear_host.errors import DeviceError, Refused
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import POSITIONED, ROOT, Bytes, Opened, Scheme

__all__ = ["SoundScheme"]

_TAILS_MOST: Final = 64  # closed handles whose last sub-buffer waits for room
_CODEC: Final = "codec#"


class _Kind(Enum):
    """What a handle is open on; the value is its inode."""

    SAMPLES = 1
    CAPTURE = 2
    FORMAT = 3
    POSITION = 4
    STATS = 5
    JACKS = 6
    CODECS = 7
    CODEC = 8


_NAMES: Final = {
    "capture": _Kind.CAPTURE,
    "format": _Kind.FORMAT,
    "position": _Kind.POSITION,
    "stats": _Kind.STATS,
    "jacks": _Kind.JACKS,
    "codecs": _Kind.CODECS,
}
_STREAMS: Final = (_Kind.SAMPLES, _Kind.CAPTURE)


class _Open:
    """One handle."""

    __slots__ = ("codec", "kind", "name", "partial", "reads", "recorder", "seen", "text", "writes")

    def __init__(self, kind: _Kind, name: str, reads: bool, writes: bool, codec: int = 0) -> None:
        self.kind: Final = kind
        self.name: Final = name
        self.reads = reads
        self.writes: Final = writes
        self.codec: Final = codec
        self.partial: Final = bytearray()  # of a sub-buffer, less than a whole one
        self.recorder: Recorder | None = None
        self.text = b""  # what is being read, as it was at offset 0
        self.seen = -1  # which state of the jacks that was


class SoundScheme(Scheme):
    """Serves one card, to root only.

    It `replays`: what a predecessor had put before the card was lost with it, so a write that is
    done again is heard once.
    """

    root_is_file: ClassVar[bool] = True
    replays: ClassVar[bool] = True
    reopens: ClassVar[bool] = True

    def __init__(self, name: str, card: SoundCard) -> None:
        self.name = name
        self._card: Final = card
        self._open: Final[dict[int, _Open]] = {}
        # Who writes, the one who wrote last at the end: each gets his turn.
        self._writers: Final[dict[int, _Open]] = {}
        # Who has written and has not said since that this is the end: they are waited for.
        self._playing: Final[set[int]] = set()
        self._recorders: Final[dict[int, Recorder]] = {}
        self._tails: Final[deque[bytes]] = deque()
        self._next = ROOT + 1
        self._captured = 0
        self._overruns = 0
        self._jacks_state = 0  # counts its changes
        card.on_played = self._on_played
        card.on_recorded = self._on_recorded
        card.on_jacks = self._on_jacks

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open the card for its samples, whatever the path, as on Redox."""
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if flags & f.O_STAT:
            return self._add(_Open(_Kind.SAMPLES, "", reads=False, writes=False))
        if request.caller.uid != 0:
            raise Refused(e.EACCES)
        reads, writes = bool(flags & f.O_RDONLY), bool(flags & f.O_WRONLY)
        return self._add(_Open(_Kind.SAMPLES, "", reads, writes))

    def hold_to_redox(self, handle: int) -> None:
        """Refuse to read `audiohw`, as Redox does; `capture` is there instead."""
        opened = self._handle(handle)
        if opened.kind is _Kind.SAMPLES:
            opened.reads = False

    def dup(self, handle: int, name: Bytes, request: Request) -> Opened:
        """Open what is known of the card, or what it records; see docs/protocol.md."""
        if self._handle(handle).kind is not _Kind.SAMPLES:
            raise Refused(e.EOPNOTSUPP)
        text = bytes(name).decode("utf-8", "replace")
        if text.startswith(_CODEC):
            number = text.removeprefix(_CODEC)
            if not (number.isascii() and number.isdecimal()) or len(number) > len("15"):
                raise Refused(e.ENOENT)
            if int(number) not in self._card.codecs():
                raise Refused(e.ENOENT)
            return self._add(_Open(_Kind.CODEC, text, True, False, int(number)))
        kind = _NAMES.get(text)
        if kind is None:
            raise Refused(e.ENOENT)
        if kind is _Kind.CAPTURE and not self._card.capture_rate:
            raise Refused(e.ENODEV)
        return self._add(_Open(kind, text, reads=True, writes=False))

    def _add(self, opened: _Open) -> Opened:
        number, self._next = self._next, self._next + 1
        self._open[number] = opened
        if opened.writes:
            self._writers[number] = opened
        return Opened(number, 0 if opened.kind in _STREAMS else POSITIONED)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/audiohw` and the like."""
        name = self._handle(handle).name
        return f"/scheme/{self.name}/{name}".rstrip("/")

    def on_close(self, handle: int) -> None:
        """Forget the handle; what it has written is played to its end."""
        closed = self._open.pop(handle)
        if self._recorders.pop(handle, None) is not None and not self._recorders:
            self._card.record(False)
        if self._writers.pop(handle, None) is None:
            return
        if closed.partial and len(self._tails) < _TAILS_MOST:
            self._tails.append(bytes(closed.partial).ljust(BUFFER, b"\0"))
            self._play_tails()
        self._end(handle)

    def _end(self, handle: int) -> None:
        """Wait for this writer no longer."""
        self._playing.discard(handle)
        if not self._playing and not self._tails:
            self._card.finish()

    def _play_tails(self) -> None:
        while self._tails and self._card.room():
            self._card.play(self._tails.popleft())

    # -- playing -----------------------------------------------------------------------------------

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Play samples, as many as there is room for; see docs/protocol.md."""
        opened = self._handle(handle)
        if not opened.writes:
            raise Refused(e.EBADF)
        self._check_card()
        size = len(data)
        if not size or size % FRAME:
            raise Refused(e.EINVAL)
        room = 0 if self._tails else self._card.room()
        partial, taken = opened.partial, 0
        while taken < size:
            need = BUFFER - len(partial)
            if size - taken < need:
                partial += data[taken:]
                taken = size
                break
            if not room:
                break
            if partial:
                partial += data[taken : taken + need]
                self._card.play(partial)
                partial.clear()
            else:
                self._card.play(data[taken : taken + need])
            room -= 1
            taken += need
        if not taken:
            raise Refused(e.EWOULDBLOCK)
        self._writers[handle] = self._writers.pop(handle)
        self._playing.add(handle)
        return taken

    def fsync(self, handle: int, request: Request) -> None:
        """Wait until all that was written is played."""
        opened = self._handle(handle)
        if not opened.writes:
            return
        self._check_card()
        if opened.partial:
            if self._tails or not self._card.room():
                raise Refused(e.EWOULDBLOCK)
            self._card.play(bytes(opened.partial).ljust(BUFFER, b"\0"))
            opened.partial.clear()
        if self._tails or self._card.written != self._card.played:
            self._end(handle)
            raise Refused(e.EWOULDBLOCK)
        self._playing.discard(handle)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: `>` is how shells write."""
        if not self._handle(handle).writes:
            raise Refused(e.EBADF)

    def _check_card(self) -> None:
        if self._card.gone:
            raise Refused(e.ENODEV)
        if self._card.failed:
            raise Refused(e.EIO)

    def _on_played(self) -> None:
        if self._tails:
            self._play_tails()
            if not self._tails and not self._playing:
                self._card.finish()
        for number in tuple(self._writers):
            self.post_fevent(number, f.EVENT_WRITE)

    # -- reading -----------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> Bytes:
        """Read what is recorded, or text from `offset` on."""
        opened = self._handle(handle)
        if not opened.reads:
            raise Refused(e.EBADF)
        if opened.kind not in _STREAMS:
            if offset == 0:
                opened.seen = self._jacks_state
                opened.text = self._now(opened).encode()
            return opened.text[offset : offset + size]
        if not self._card.capture_rate:
            raise Refused(e.EBADF)
        if size < FRAME:
            raise Refused(e.EINVAL)
        recorder = opened.recorder
        if recorder is None:
            recorder = opened.recorder = self._recorders[handle] = Recorder()
            self._card.record(True)
        if recorder:
            return recorder.read(size)
        self._check_card()
        if self._card.deaf:
            raise Refused(e.EIO)
        raise Refused(e.EWOULDBLOCK)

    def _on_recorded(self) -> None:
        card = self._card
        while (recorded := card.recorded()) is not None:
            samples = bytes(recorded)
            card.release()
            self._captured += FRAMES
            for recorder in self._recorders.values():
                self._overruns += recorder.add(samples)
        for number in tuple(self._recorders):
            self.post_fevent(number, f.EVENT_READ)

    def _now(self, opened: _Open) -> str:
        card = self._card
        match opened.kind:
            case _Kind.JACKS:
                return card.jacks()
            case _Kind.CODECS:
                return "".join(f"{_CODEC}{number}\n" for number in card.codecs())
            case _Kind.CODEC:
                return self._codec_text(opened.codec)
            case _Kind.FORMAT:
                facts = {
                    "rate": card.rate,
                    "channels": 2,
                    "bits": 16,
                    "buffer": BUFFER,
                    "ahead": AHEAD,
                    "capture": card.capture_rate,
                }
            case _Kind.POSITION:
                card.room()  # which looks at the card
                facts = {"written": card.written, "played": card.played}
            case _:
                card.room()
                facts = {
                    "written": card.written,
                    "played": card.played,
                    "captured": self._captured,
                    **card.statistics(),
                    "overruns": self._overruns,
                }
        return "".join(f"{name} {value}\n" for name, value in facts.items())

    def _codec_text(self, number: int) -> str:
        self._check_card()
        try:
            return self._card.codec_text(number)
        except (KeyError, DeviceError):
            raise Refused(e.EIO) from None

    def _on_jacks(self) -> None:
        self._jacks_state += 1
        for number, opened in tuple(self._open.items()):
            if opened.kind is _Kind.JACKS:
                self.post_fevent(number, f.EVENT_READ)

    # -- facts and events --------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe a character file for root, or a text."""
        kind = self._handle(handle).kind
        mode = MODE_CHR | 0o600 if kind is _Kind.SAMPLES else MODE_FILE | 0o400
        return Stat(st_ino=kind.value, st_mode=mode, st_nlink=1, st_blksize=BUFFER)

    def fsize(self, handle: int) -> int:
        """Return the size of what is read at present."""
        opened = self._handle(handle)
        if opened.kind in _STREAMS:
            raise Refused(e.ESPIPE)
        return len(opened.text)

    def fevent(self, handle: int, mask: int) -> int:
        """Be writable where there is room, readable when something was recorded or has changed."""
        opened = self._handle(handle)
        if self._card.gone or self._card.failed:
            return mask
        ready = mask
        if not opened.writes or self._tails or not self._card.room():
            ready &= ~f.EVENT_WRITE
        if opened.kind in _STREAMS:
            # Who has not read yet does not record, and would wait for ever.
            waits = opened.recorder is not None and not opened.recorder and not self._card.deaf
            if not opened.reads or waits:
                ready &= ~f.EVENT_READ
        elif opened.kind is _Kind.JACKS and opened.seen == self._jacks_state:
            ready &= ~f.EVENT_READ
        return ready

    def _handle(self, handle: int) -> _Open:
        try:
            return self._open[handle]
        except KeyError:
            raise Refused(e.EBADF) from None
