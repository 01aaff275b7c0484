"""The scheme of a network card's driver (Redox's driver-network), and Linux's network behind it.

```
/scheme/network.NAME/data      one frame a read, one frame a write; "" at the ring door, as on Redox
                    /mac       6 bytes, the hardware address; written: another one
                    /link      "1000\\n", Mb/s, or "down\\n"; polls readable when it has changed
                    /stats     lines NAME VALUE: ours in small letters, then the card's
                    /joins     lines INTERFACE WHO: the TAPs that are joined, who has the wire first
                    /monitor   frames of both directions as records (redbear_host.classes.frames)
```
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import Stat
from redbear_host.classes import frames as fr
from redbear_host.classes.adapter import NetworkAdapter
from redbear_host.classes.joined import Joined
from redbear_host.classes.netfiles import (
    FOLDER,
    MAC,
    NAMES,
    STREAMS,
    WRITABLE,
    Kind,
    OpenFile,
    describe,
    kind_of,
)
from redbear_host.classes.readers import Monitor, Reader
from redbear_host.classes.wire import Wire
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import POSITIONED, ROOT, Bytes, Entry, Opened, Scheme

__all__ = ["NetworkScheme"]

_MTU: Final = 1500  # what networks agree on
_TAG: Final = 4  # bytes of a VLAN tag, for which there is room where that costs none of it


class NetworkScheme(Scheme):
    """Serves one adapter, to root only.

    `end_batch` must run at the end of every round of the event loop, `close` before the adapter is
    stopped; `Daemon.serve_network` sees to both.

    Frames that wait for a reader when its driver dies are lost, as any network may lose them.
    """

    replays: ClassVar[bool] = False
    reopens: ClassVar[bool] = True
    calls_in_place: ClassVar[bool] = True

    def __init__(self, name: str, adapter: NetworkAdapter, loop: Loop) -> None:
        if not name.startswith("network."):
            raise ValueError(f"the name of a network scheme starts with network., not {name!r}")
        self.name = name
        self.on_facts: Callable[[dict[str, Any]], object] = lambda facts: None
        """Called with `facts` when they have changed."""
        self._wire: Final = Wire(adapter, loop)
        self._adapter: Final = adapter
        self._open: Final[dict[int, OpenFile]] = {}
        self._services: Final[dict[str, Joined]] = {}  # joins of the shim's services, by their name
        self._next = ROOT + 1
        self._link_state = 0  # counts its changes
        self._wire.on_frames = lambda number: self.post_fevent(number, f.EVENT_READ)
        self._wire.on_room = self._on_room
        self._wire.on_link = self._on_link

    # -- for the daemon ----------------------------------------------------------------------------

    @property
    def facts(self) -> dict[str, Any]:
        """What those who join want to know of the card; Mb/s, bytes."""
        mac = self._wire.mac.hex(":")
        mtu = self._adapter.max_frame - fr.FRAME_LEAST
        if mtu >= _MTU + _TAG:
            mtu -= _TAG
        return {"mac": mac, "link": self._wire.link, "mtu": mtu}

    def end_batch(self) -> None:
        """Tell the card of the frames that were committed since the last call."""
        self._wire.end_batch()

    def join(self, fd: int, by: str, mac: str | None = None) -> None:
        """Let the TAP behind `fd` have the wire, on behalf of service `by`.

        It is closed when it is let go.  It takes the place of an earlier one by the same service;
        the card has the address `mac` meanwhile.  `Refused` (EINVAL) if it is no TAP; the
        descriptor stays the caller's then.
        """
        tap = Joined(fd, by, None if mac is None else bytes.fromhex(mac.replace(":", "")))
        before = self._services.get(by)
        self._services[by] = tap
        self._join(tap, before)

    def part(self, by: str) -> None:
        """Let a service's TAP go."""
        tap = self._services.pop(by, None)
        if tap is not None:
            self._part(tap)

    def leave(self) -> None:
        """Hear that the card has left: ENODEV for whoever waits, and from now on."""
        self._wire.leave()
        for number in list(self._open):
            self.post_fevent(number, f.EVENT_READ | f.EVENT_WRITE)

    def close(self) -> None:
        """Let all joins go; a successor of the daemon has them again at once."""
        self._wire.close()

    def _join(self, tap: Joined, instead: Joined | None) -> None:
        before = self._wire.mac
        self._wire.join(tap, instead)
        if self._wire.mac != before:
            self.on_facts(self.facts)

    def _part(self, tap: Joined) -> None:
        before = self._wire.mac
        self._wire.part(tap)
        if self._wire.mac != before:
            self.on_facts(self.facts)

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open a file; "" is `data` unless it is looked at or opened as a directory.

        EINVAL for other names, as on Redox; ENOENT where one is only looked up.
        """
        if parent != ROOT and self._handle(parent).kind is not Kind.FOLDER:
            raise Refused(e.ENOTDIR)
        if request.caller.uid != 0:
            raise Refused(e.EACCES)
        path = path.strip("/")
        kind = kind_of(path, flags)
        if flags & f.O_CREAT and flags & f.O_EXCL:
            raise Refused(e.EEXIST)
        opened = OpenFile(kind, path, flags)
        if opened.writes and kind not in WRITABLE:
            raise Refused(e.EISDIR if kind is Kind.FOLDER else e.EACCES)
        number, self._next = self._next, self._next + 1
        self._open[number] = opened
        if opened.reads and kind is Kind.DATA:
            opened.reader = self._wire.add_reader(number)
        elif opened.reads and kind is Kind.MONITOR:
            opened.monitor = self._wire.add_monitor(number)
        return Opened(number, 0 if kind in STREAMS else POSITIONED)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/NAME/data` and the like."""
        return f"/scheme/{self.name}/{self._handle(handle).path}"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the files; upstream has no getdents."""
        if self._handle(handle).kind is not Kind.FOLDER:
            raise Refused(e.ENOTDIR)
        return [Entry(name, f.DT_REG, kind.value) for name, kind in NAMES.items()]

    def on_close(self, handle: int) -> None:
        """Forget the handle; the TAP it has joined goes with it."""
        closed = self._open.pop(handle)
        if closed.kind in STREAMS:
            self._wire.remove(handle)
        if closed.joined is not None:
            self._part(closed.joined)

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> Bytes:
        """Read a frame (what does not fit is lost), records, or text from `offset` on."""
        opened = self._handle(handle)
        if opened.kind is Kind.FOLDER:
            raise Refused(e.EISDIR)
        if not opened.reads:
            raise Refused(e.EBADF)
        if self._wire.gone:
            raise Refused(e.ENODEV)
        if opened.kind is Kind.DATA:
            found = self._wire.take_one(self._reader(opened), size)
        elif opened.monitor is not None:
            if opened.monitor:
                return self._records(opened.monitor, size)
            found = None
        else:
            return self._text(opened, offset)[offset : offset + size]
        if found is None:
            raise Refused(e.EWOULDBLOCK)
        return found

    @staticmethod
    def _reader(opened: OpenFile) -> Reader:
        """Return who reads; a handle that has joined a TAP has left its frames to it."""
        if opened.reader is None:
            raise Refused(e.EBUSY)
        return opened.reader

    @staticmethod
    def _records(monitor: Monitor, size: int) -> bytes:
        found = monitor.read(size)
        if found is None:
            raise Refused(e.EINVAL)  # not even one fits
        return found

    def _text(self, opened: OpenFile, offset: int) -> bytes:
        if offset == 0:
            opened.seen = self._link_state
            opened.text = self._now(opened.kind)
        return opened.text

    def _now(self, kind: Kind) -> bytes:
        if kind is Kind.MAC:
            return self._wire.mac
        if kind is Kind.LINK:
            return f"{self._wire.link or 'down'}\n".encode()
        if kind is Kind.STATS:
            counts = self._wire.statistics()
            return "".join(f"{name} {value}\n" for name, value in counts.items()).encode()
        joins = reversed(self._wire.joins)
        return "".join(f"{tap.name} {tap.by}\n" for tap in joins).encode()

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Send a frame, or set the address: six bytes of a single station, EINVAL else.

        EINVAL for what is too short to be a frame, EMSGSIZE for what the card cannot send.
        """
        opened = self._handle(handle)
        if not opened.writes:
            raise Refused(e.EBADF)
        if self._wire.gone:
            raise Refused(e.ENODEV)
        length = len(data)
        if opened.kind is Kind.MAC:
            self._set_mac(bytes(data), offset)
            return length
        if length < fr.FRAME_LEAST:
            raise Refused(e.EINVAL)
        if length > self._adapter.max_frame:
            raise Refused(e.EMSGSIZE)
        if opened.joined is not None:
            raise Refused(e.EBUSY)
        if not self._wire.send_one(data):
            raise Refused(e.EWOULDBLOCK)
        return length

    def _set_mac(self, mac: bytes, offset: int) -> None:
        if offset or len(mac) != MAC or mac[0] & 1 or not any(mac):
            raise Refused(e.EINVAL)
        self._wire.set_mac(mac)
        self.on_facts(self.facts)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: `>` is how shells write."""
        if not self._handle(handle).writes:
            raise Refused(e.EBADF)

    # -- many frames, TAPs -------------------------------------------------------------------------

    def call(
        self, handle: int, payload: memoryview, metadata: Sequence[int], request: Request
    ) -> int:
        """SEND, RECEIVE or PROMISCUOUS (`redbear_host.classes.frames`); EINVAL for other verbs.

        `payload` is the client's own memory: only what was copied out of it is checked.
        """
        opened = self._handle(handle)
        if opened.kind is not Kind.DATA:
            raise Refused(e.EOPNOTSUPP)
        if self._wire.gone:
            raise Refused(e.ENODEV)
        verb, count = metadata[0], metadata[1]
        if verb == fr.SEND:
            return self._send(opened, payload, count)
        if verb == fr.RECEIVE:
            return self._receive(opened, payload, count)
        if verb == fr.PROMISCUOUS and count in (0, 1):
            self._wire.set_curious(handle, bool(count))
            return 0
        raise Refused(e.EINVAL)

    def _send(self, opened: OpenFile, payload: memoryview, count: int) -> int:
        if not opened.writes:
            raise Refused(e.EBADF)
        if opened.joined is not None:
            raise Refused(e.EBUSY)
        start = count * fr.LENGTH
        if not 0 < count <= fr.BATCH_MOST or start > len(payload):
            raise Refused(e.EINVAL)
        lengths = fr.table(count).unpack_from(payload)
        if min(lengths) < fr.FRAME_LEAST or sum(lengths) > len(payload) - start:
            raise Refused(e.EINVAL)
        if max(lengths) > self._adapter.max_frame:
            raise Refused(e.EMSGSIZE)
        sent = self._wire.send(lengths, payload[start:])
        if not sent:
            raise Refused(e.EWOULDBLOCK)
        return sent

    def _receive(self, opened: OpenFile, payload: memoryview, most: int) -> int:
        if not opened.reads:
            raise Refused(e.EBADF)
        reader = self._reader(opened)
        start = most * fr.LENGTH
        if not 0 < most <= fr.BATCH_MOST or start > len(payload):
            raise Refused(e.EINVAL)
        lengths = self._wire.take(reader, most, payload[start:])
        if lengths is None:
            raise Refused(e.EWOULDBLOCK)
        if not lengths:
            raise Refused(e.EINVAL)  # not even the first fits
        fr.table(len(lengths)).pack_into(payload, 0, *lengths)
        return len(lengths)

    def on_sendfd(
        self, handle: int, fds: Sequence[int], flags: int, argument: int, request: Request
    ) -> int:
        """Join a TAP, for as long as this data handle is open; it reads and writes no more.

        Another one takes the place of the first.  EINVAL if it is no TAP.
        """
        opened = self._handle(handle)
        if opened.kind is not Kind.DATA:
            raise Refused(e.EOPNOTSUPP)
        if not (opened.reads and opened.writes):
            raise Refused(e.EBADF)
        if self._wire.gone:
            raise Refused(e.ENODEV)
        if len(fds) != 1:
            raise Refused(e.EINVAL)
        tap = Joined(fds[0], f"pid {request.caller.pid}")
        if opened.reader is not None:
            opened.reader = None
            self._wire.remove(handle)
        before, opened.joined = opened.joined, tap
        self._join(tap, before)
        return 0

    # -- facts and events --------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe a file or the directory."""
        return describe(self._handle(handle).kind)

    def fsize(self, handle: int) -> int:
        """Return the size of what is read at present."""
        opened = self._handle(handle)
        if opened.kind in STREAMS:
            raise Refused(e.ESPIPE)
        return MAC if opened.kind is Kind.MAC else len(opened.text)

    def fevent(self, handle: int, mask: int) -> int:
        """Be readable when a frame waits or the link has changed, writable when there is room."""
        opened = self._handle(handle)
        if self._wire.gone:
            return mask
        ready = mask
        if opened.kind is Kind.DATA:
            reader = opened.reader
            if reader is None or not self._wire.waits(reader):
                ready &= ~f.EVENT_READ
            if mask & f.EVENT_WRITE and not (opened.writes and self._wire.room):
                ready &= ~f.EVENT_WRITE
        elif opened.kind is Kind.MONITOR:
            ready = mask & f.EVENT_READ if opened.monitor else 0
        elif opened.kind is Kind.LINK and opened.seen == self._link_state:
            ready &= ~f.EVENT_READ
        return ready

    def _on_room(self) -> None:
        for number, opened in self._open.items():
            if opened.kind is Kind.DATA and opened.writes:
                self.post_fevent(number, f.EVENT_WRITE)

    def _on_link(self) -> None:
        self._link_state += 1
        for number, opened in self._open.items():
            if opened.kind is Kind.LINK:
                self.post_fevent(number, f.EVENT_READ)
        self.on_facts(self.facts)

    def _handle(self, handle: int) -> OpenFile:
        if handle == ROOT:
            return FOLDER
        try:
            return self._open[handle]
        except KeyError:
            raise Refused(e.EBADF) from None
