"""WebSocket's frames, the server's side: what a browser page sends comes out, ours go in.

Ref: RFC 6455 §5.  A browser's frames are masked, ours are not.  Only bytes are spoken: no text, no
extensions.  Payloads are handed on as they come, so the length of a frame costs nothing.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Final

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # §1.3
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_FIN: Final = 0x80
_MASKED: Final = 0x80
_CONTROL_MOST: Final = 125  # bytes of a control frame's payload
_NORMAL, _NOT_SPOKEN, _NO_BYTES = 1000, 1002, 1003  # why it is closed, §7.4.1


def accept(key: str) -> str:
    """Return what answers a browser's Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _MAGIC).digest()).decode()


class WebSocket:
    """One connection after its handshake; `out` is what is to be sent beside what is wrapped."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.ended = ""
        self._in: Final = bytearray()
        self._left = 0  # bytes of the present frame's payload
        self._mask = b""
        self._at = 0  # of the payload, for the mask
        self._control = -1  # the opcode of the present frame, if that is of control
        self._payload: Final = bytearray()  # of that
        self._inside = False  # of a message of several frames

    def wrap(self, data: bytes) -> bytes:
        """Return a frame of bytes."""
        return _frame(_BINARY, data)

    def receive(self, data: bytes) -> bytes:
        """Return the payload in what came; empty once it has `ended`."""
        if self.ended:
            return b""
        waiting = self._in
        waiting += data
        found = []
        while waiting and not self.ended:
            if not self._left and not self._head():
                break
            if self._left:
                piece = self._unmasked(bytes(waiting[: self._left]))
                del waiting[: len(piece)]
                if self._control >= 0:
                    self._payload.extend(piece)
                else:
                    found.append(piece)
            if not self._left and self._control >= 0:
                self._obey()
        return b"".join(found)

    def _head(self) -> bool:
        """Read a frame's head if it is whole."""
        data = self._in
        if len(data) < 2:
            return False
        first, second = data[0], data[1]
        length, size = second & 0x7F, 2
        if length >= 126:
            size += 2 if length == 126 else 8
        if not self._check(first, second, length) or len(data) < size + 4:
            return False
        if size > 2:
            length = int.from_bytes(data[2:size], "big")
        self._mask = bytes(data[size : size + 4])
        del data[: size + 4]
        opcode = first & 0x0F
        self._left, self._at = length, 0
        self._control = opcode if opcode >= _CLOSE else -1
        if self._control < 0:
            self._inside = not first & _FIN
        return True

    def _check(self, first: int, second: int, length: int) -> bool:
        """Close for a frame that may not come."""
        opcode, wrong = first & 0x0F, 0
        if first & 0x70 or not second & _MASKED or (length == 127 and self._is_endless()):
            wrong = _NOT_SPOKEN
        elif opcode >= _CLOSE:
            known = opcode in (_CLOSE, _PING, _PONG)
            wrong = 0 if known and first & _FIN and length <= _CONTROL_MOST else _NOT_SPOKEN
        elif opcode == _TEXT:
            wrong = _NO_BYTES
        elif opcode not in (_CONTINUATION, _BINARY) or (opcode == _CONTINUATION) != self._inside:
            wrong = _NOT_SPOKEN
        if wrong:
            self._close(wrong, "does not speak WebSocket, or not with bytes")
        return not wrong

    def _is_endless(self) -> bool:
        """Whether the length has its highest bit set, which §5.2 forbids."""
        return len(self._in) > 2 and bool(self._in[2] & 0x80)

    def _unmasked(self, piece: bytes) -> bytes:
        size, start = len(piece), self._at & 3
        mask = (self._mask[start:] + self._mask * (size // 4 + 1))[:size]
        plain = int.from_bytes(piece, "little") ^ int.from_bytes(mask, "little")
        self._left -= size
        self._at += size
        return plain.to_bytes(size, "little")

    def _obey(self) -> None:
        opcode, self._control = self._control, -1
        payload = bytes(self._payload)
        self._payload.clear()
        if opcode == _PING:
            self.out.append(_frame(_PONG, payload))
        elif opcode == _CLOSE:
            self._close(_NORMAL, "has gone")

    def _close(self, code: int, why: str) -> None:
        self.ended = why
        self.out.append(_frame(_CLOSE, code.to_bytes(2, "big")))


def _frame(opcode: int, data: bytes) -> bytes:
    size = len(data)
    if size < 126:
        head = bytes((_FIN | opcode, size))
    elif size < 1 << 16:
        head = struct.pack(">BBH", _FIN | opcode, 126, size)
    else:
        head = struct.pack(">BBQ", _FIN | opcode, 127, size)
    return head + data
