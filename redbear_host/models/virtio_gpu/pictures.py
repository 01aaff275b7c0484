"""Resources, scanouts and cursors of the model: the 2D commands (VIRTIO 1.2, 5.7.6)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from redbear_host.models.function import Host

OK, OK_INFO, OK_EDID = 0x1100, 0x1101, 0x1104
UNSPEC, BAD_SCANOUT, BAD_RESOURCE, BAD_PARAMETER = 0x1200, 0x1202, 0x1203, 0x1205

_SCANOUTS: Final = 16


@dataclass
class _Resource:
    width: int
    height: int
    pixels: bytearray
    backing: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class CursorSeen:
    """What a monitor shows above its picture."""

    image: bytes = b""
    place: tuple[int, int] = (0, 0)
    hot: tuple[int, int] = (0, 0)


class Pictures:
    """What the driver has made, and what is seen of it: `seen` changes with a flush only."""

    def __init__(self, outputs: int, violations: list[str]) -> None:
        self.connected: Final = [(1024, 768)] + [(0, 0)] * (outputs - 1)
        self.edid = bytes(128)
        self._violations: Final = violations
        self.transferred = 0  # pixels
        self.flushes = 0
        self.forget()

    def forget(self) -> None:
        """Be as after a reset."""
        self._resources: dict[int, _Resource] = {}
        self._scanouts: dict[int, int] = {}
        self.seen: dict[int, bytearray] = {}
        self.sizes: dict[int, tuple[int, int]] = {}
        self.cursors: dict[int, CursorSeen] = {}

    def do(self, request: bytes, host: Host) -> bytes:
        """Carry a command out; return the response."""
        (kind,) = struct.unpack_from("<I", request)
        known: dict[int, Callable[[bytes], int | bytes]] = {
            0x100: self._info,
            0x101: self._create,
            0x102: self._unref,
            0x103: self._set_scanout,
            0x104: self._flush,
            0x106: self._attach,
            0x10A: self._edid,
            0x300: self._cursor,
            0x301: self._cursor,
        }
        found = known.get(kind)
        if kind == 0x105:
            return _head(self._transfer(request, host))
        if found is None:
            self._violations.append(f"command {kind:#x}")
            return _head(UNSPEC)
        answer = found(request)
        return answer if isinstance(answer, bytes) else _head(answer)

    def _complain(self, what: str, answer: int) -> int:
        self._violations.append(what)
        return answer

    def _info(self, _request: bytes) -> bytes:
        raw = _head(OK_INFO)
        for n in range(_SCANOUTS):
            width, height = self.connected[n] if n < len(self.connected) else (0, 0)
            raw += struct.pack("<6I", 0, 0, width, height, int(bool(width)), 0)
        return raw

    def _edid(self, _request: bytes) -> bytes:
        return _head(OK_EDID) + struct.pack("<II", len(self.edid), 0) + self.edid.ljust(1024, b"\0")

    def _create(self, request: bytes) -> int:
        number, form, width, height = struct.unpack_from("<4I", request, 24)
        if not number or number in self._resources or form not in (1, 2):
            return self._complain(f"resource {number} of format {form}", BAD_RESOURCE)
        self._resources[number] = _Resource(width, height, bytearray(width * height * 4))
        return OK

    def _unref(self, request: bytes) -> int:
        (number,) = struct.unpack_from("<I", request, 24)
        if self._resources.pop(number, None) is None:
            return self._complain(f"no resource {number} to let go of", BAD_RESOURCE)
        return OK

    def _attach(self, request: bytes) -> int:
        number, count = struct.unpack_from("<II", request, 24)
        found = self._resources.get(number)
        if found is None or found.backing:
            return self._complain(f"resource {number} gets memory", BAD_RESOURCE)
        found.backing = [struct.unpack_from("<QI", request, 32 + 16 * n) for n in range(count)]
        return OK

    def _set_scanout(self, request: bytes) -> int:
        x, y, width, height, scanout, number = struct.unpack_from("<6I", request, 24)
        if scanout >= len(self.connected):
            return self._complain(f"scanout {scanout}", BAD_SCANOUT)
        if not number:
            for it in (self._scanouts, self.seen, self.sizes):
                it.pop(scanout, None)
            return OK
        found = self._resources.get(number)
        if found is None or (x, y, width, height) != (0, 0, found.width, found.height):
            return self._complain(f"scanout {scanout} of resource {number}", BAD_PARAMETER)
        self._scanouts[scanout] = number
        self.sizes[scanout] = (width, height)
        self.seen[scanout] = bytearray(width * height * 4)
        return OK

    def _area(self, request: bytes, number: int) -> _Resource | None:
        found = self._resources.get(number)
        x, y, width, height = struct.unpack_from("<4I", request, 24)
        if found is None or not width or not height:
            return None
        return found if x + width <= found.width and y + height <= found.height else None

    def _transfer(self, request: bytes, host: Host) -> int:
        x, y, width, height, offset, number = struct.unpack_from("<4IQI", request, 24)
        found = self._area(request, number)
        if found is None or len(found.backing) != 1:
            return self._complain(f"a transfer to resource {number}", BAD_PARAMETER)
        address, length = found.backing[0]
        pitch = found.width * 4
        for row in range(height):
            start = offset + row * pitch
            if start + width * 4 > length:
                return self._complain("a transfer beyond its memory", BAD_PARAMETER)
            data = host.memory(address + start, width * 4, "a transfer")
            if data is None:
                return BAD_PARAMETER
            at = (y + row) * pitch + x * 4
            found.pixels[at : at + width * 4] = data
        self.transferred += width * height
        return OK

    def _flush(self, request: bytes) -> int:
        x, y, width, height, number = struct.unpack_from("<5I", request, 24)
        found = self._area(request, number)
        if found is None:
            return self._complain(f"a flush of resource {number}", BAD_PARAMETER)
        self.flushes += 1
        for scanout, shown in self._scanouts.items():
            if shown == number:
                for row in range(y, y + height):
                    at = (row * found.width + x) * 4
                    self.seen[scanout][at : at + width * 4] = found.pixels[at : at + width * 4]
        return OK

    def _cursor(self, request: bytes) -> int:
        (kind,) = struct.unpack_from("<I", request)
        scanout, x, y, _, number, hot_x, hot_y = struct.unpack_from("<IiiIIII", request, 24)
        seen = self.cursors.setdefault(scanout, CursorSeen())
        seen.place = (x, y)
        if kind == 0x300:
            found = self._resources.get(number)
            seen.hot = (hot_x, hot_y)
            seen.image = b"" if found is None else bytes(found.pixels)
        return OK


def _head(kind: int) -> bytes:
    return struct.pack("<I", kind).ljust(24, b"\0")
