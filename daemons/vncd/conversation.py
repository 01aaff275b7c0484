"""What a viewer and we say to each other, from the version on; without sockets or time.

Ref: RFC 6143 §7.1 to §7.5.  It is written as it is read in the protocol: a generator that yields
how many bytes come next.  What a viewer says is never kept beyond the message it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Final, Protocol, TypeAlias

from daemons.vncd import messages as m
from daemons.vncd.messages import Encoding, Outcome, Say, Security
from daemons.vncd.painter import Painter
from daemons.vncd.pixels import FORMAT_SIZE, MAPPED, OURS, Malformed, colour_map, parse
from redbear_host.classes.screen import Area

_Talk: TypeAlias = Generator[int, bytes, None]
_PIECE: Final = 4096  # bytes of what is thrown away at a time
_ENCODINGS_MOST: Final = 1024  # looked at; those behind are not


class Host(Protocol):
    """What a conversation needs of whoever leads it."""

    @property
    def name(self) -> str:
        """The desktop's."""
        ...

    def challenge(self) -> bytes | None:
        """Return 16 random bytes; None: he comes in without."""
        ...

    def admit(self, challenge: bytes, response: bytes) -> str:
        """Judge a response; the empty text lets him in, any other says why not."""
        ...

    def key(self, symbol: int, scancode: int, pressed: bool) -> None:
        """Take a key: X's symbol, and the scancode of QEMU's extension or 0."""
        ...

    def pointer(self, x: int, y: int, buttons: int) -> None:
        """Take the pointer's place and buttons, as RFB has them."""
        ...

    def resize(self, width: int, height: int) -> Outcome:
        """Give the screen another size."""
        ...


class Conversation:
    """The protocol's server side; `out` is what is to be sent before anything else."""

    def __init__(self, host: Host, make_painter: Callable[[], Painter | None]) -> None:
        """`make_painter` lets the viewer see the screen; None: there are enough who do."""
        self.out: Final[list[bytes]] = [m.VERSION]
        self.painter: Painter | None = None  # once he is in
        self.challenged = False  # he was asked for the password
        self.ended = ""  # why nothing more is heard
        self._host: Final = host
        self._make_painter: Final = make_painter
        self._in: Final = bytearray()
        self._talk: Final = self._all()
        self._needs = next(self._talk)  # bytes; how many come next

    def receive(self, data: bytes) -> None:
        """Take what the viewer has sent, in pieces of any size."""
        waiting = self._in
        waiting += data
        at = 0
        while not self.ended and len(waiting) - at >= self._needs:
            piece = bytes(waiting[at : at + self._needs])
            at += len(piece)
            try:
                self._needs = self._talk.send(piece)
            except StopIteration:
                self.ended = "was refused"
            except Malformed as error:
                self.ended = f"does not speak the protocol: {error}"
        del waiting[:at]

    # -- coming in ---------------------------------------------------------------------------------

    def _all(self) -> _Talk:
        said = yield len(m.VERSION)
        if said[:4] != m.VERSION[:4] or said[-1:] != b"\n":
            raise Malformed("no version")
        version = m.VERSIONS.get(said, 3)
        challenge = self._host.challenge()
        kind = Security.NONE if challenge is None else Security.VNC
        if version == 3:
            self.out.append(int(kind).to_bytes(4, "big"))
        else:
            self.out.append(bytes((1, kind)))
            chosen = yield 1
            if chosen[0] != kind:
                raise Malformed(f"chose security {chosen[0]}")
        if challenge is not None:
            self.out.append(challenge)
            self.challenged = True
            why = self._host.admit(challenge, (yield m.CHALLENGE_SIZE))
            if why:
                self.out.append(m.failed(why) if version == 8 else m.failed(why)[:4])
                return
        if challenge is not None or version == 8:
            self.out.append(m.SECURITY_OK)
        yield 1  # ClientInit: all share, whatever he says
        painter = self.painter = self._make_painter()
        if painter is None:
            return
        self.out.append(m.server_init(painter.width, painter.height, OURS.pack(), self._host.name))
        fences = continuous = False
        while True:
            kind_of = yield 1
            match kind_of[0]:
                case Say.SET_PIXEL_FORMAT:
                    self._set_format(painter, (yield 3 + FORMAT_SIZE))
                case Say.SET_ENCODINGS:
                    can = yield from self._encodings(painter)
                    if Encoding.FENCE in can and not fences:
                        self.out.append(m.fence(m.FENCE_REQUEST, b""))
                    if Encoding.CONTINUOUS_UPDATES in can and not continuous:
                        self.out.append(m.END_OF_CONTINUOUS_UPDATES)
                    fences = fences or Encoding.FENCE in can
                    continuous = continuous or Encoding.CONTINUOUS_UPDATES in can
                case Say.UPDATE_REQUEST:
                    incremental, *area = m.UPDATE_REQUEST.unpack((yield m.UPDATE_REQUEST.size))
                    painter.ask(Area(*area), bool(incremental))
                case Say.KEY:
                    pressed, symbol = m.KEY.unpack((yield m.KEY.size))
                    self._host.key(symbol, 0, bool(pressed))
                case Say.POINTER:
                    buttons, x, y = m.POINTER.unpack((yield m.POINTER.size))
                    self._host.pointer(x, y, buttons)
                case Say.CUT_TEXT:
                    (size,) = m.CUT_TEXT.unpack((yield m.CUT_TEXT.size))
                    yield from _skip(abs(size))  # negative: the extended clipboard's
                case Say.CONTINUOUS_UPDATES:
                    data = yield m.CONTINUOUS_UPDATES.size
                    self._steady(painter, data)
                case Say.FENCE:
                    yield from self._fence()
                case Say.SET_DESKTOP_SIZE:
                    yield from self._set_size(painter)
                case Say.QEMU:
                    yield from self._qemu()
                case unknown:
                    raise Malformed(f"message {unknown}")

    # -- messages ----------------------------------------------------------------------------------

    def _set_format(self, painter: Painter, data: bytes) -> None:
        (raw,) = m.PIXEL_FORMAT.unpack(data)
        found = parse(raw)
        painter.use_format(found)
        if found == MAPPED:
            self.out.append(m.colours(colour_map()))

    def _encodings(self, painter: Painter) -> Generator[int, bytes, set[int]]:
        (count,) = m.ENCODINGS.unpack((yield m.ENCODINGS.size))
        looked_at = min(count, _ENCODINGS_MOST)
        data = (yield 4 * looked_at) if looked_at else b""
        yield from _skip(4 * (count - looked_at))
        found = [
            int.from_bytes(data[at : at + 4], "big", signed=True) for at in range(0, len(data), 4)
        ]
        painter.use_encodings(found)
        return set(found)

    def _steady(self, painter: Painter, data: bytes) -> None:
        on, *area = m.CONTINUOUS_UPDATES.unpack(data)
        painter.ask_steadily(Area(*area) if on else None)
        if not on:
            self.out.append(m.END_OF_CONTINUOUS_UPDATES)

    def _fence(self) -> _Talk:
        flags, size = m.FENCE.unpack((yield m.FENCE.size))
        if size > m.TEXT_MOST:
            raise Malformed(f"a fence of {size} bytes")
        payload = (yield size) if size else b""
        if flags & m.FENCE_REQUEST:
            self.out.append(m.fence(flags & m.FENCE_KNOWN, payload))

    def _set_size(self, painter: Painter) -> _Talk:
        width, height, screens = m.DESKTOP_SIZE.unpack((yield m.DESKTOP_SIZE.size))
        yield from _skip(m.SCREEN.size * screens)  # there is one, of that size
        outcome = self._host.resize(width, height)
        if outcome is not Outcome.DONE:
            painter.answered(outcome)

    def _qemu(self) -> _Talk:
        kind, pressed, symbol, scancode = m.QEMU_KEY.unpack((yield m.QEMU_KEY.size))
        if kind:
            raise Malformed(f"QEMU's message {kind}")
        self._host.key(symbol, scancode, bool(pressed))


def _skip(count: int) -> _Talk:
    """Throw bytes away, as they come."""
    while count:
        piece = min(count, _PIECE)
        yield piece
        count -= piece
