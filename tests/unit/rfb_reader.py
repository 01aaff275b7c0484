"""What a viewer of the Remote Framebuffer protocol would show; written from RFC 6143 for tests."""

from __future__ import annotations

import struct
import zlib

NATIVE = (32, 24, 0, 1, 255, 255, 255, 16, 8, 0)


class Picture:
    """Rows of (red, green, blue), each as the viewer's format has it."""

    def __init__(self, width, height, pixel_format=NATIVE):
        self.resize(width, height)
        self.format = pixel_format
        self.streams = {6: zlib.decompressobj(), 16: zlib.decompressobj()}
        self.pseudo = []  # (x, y, width, height, encoding, data)
        self.tiles = 0

    def resize(self, width, height):
        self.width, self.height = width, height
        self.rows = [[(0, 0, 0)] * width for _ in range(height)]

    def take(self, data):
        """Apply every whole FramebufferUpdate at the start of `data`; return what is left."""
        while data:
            assert data[0] == 0, data[:8]
            (count,) = struct.unpack_from(">H", data, 2)
            self._data, self._at = data, 4
            for _ in range(count):
                self._rectangle()
            data = data[self._at :]
        return data

    def _read(self, count):
        assert self._at + count <= len(self._data), "an update ends in the middle"
        found = self._data[self._at : self._at + count]
        self._at += count
        return found

    def _rectangle(self):
        x, y, w, h, encoding = struct.unpack(">HHHHi", self._read(12))
        if encoding >= 0:
            assert x + w <= self.width, (x, w, self.width)
            assert y + h <= self.height, (y, h, self.height)
        match encoding:
            case 0:
                self._paint(self._read(w * h * self._size), x, y, w, h)
            case 6:
                self._paint(self._inflated(6), x, y, w, h)
            case 16:
                self._zrle(self._inflated(16), x, y, w, h)
            case -223:
                self.resize(w, h)
            case -308:
                (screens,) = self._read(4)[:1]
                self._read(16 * screens)
                self.pseudo.append((x, y, w, h, encoding, b""))
                if y == 0 and (w, h) != (self.width, self.height):
                    self.resize(w, h)
            case -239:
                data = self._read(w * h * self._size + (w + 7) // 8 * h)
                self.pseudo.append((x, y, w, h, encoding, data))
            case -314:
                assert self._read(4) == b"\0\0\0\0"
                self.pseudo.append((x, y, w, h, encoding, self._read(4 * w * h)))
            case -258:
                self.pseudo.append((x, y, w, h, encoding, b""))
            case _:
                raise AssertionError(f"encoding {encoding}")

    @property
    def _size(self):
        return self.format[0] // 8

    def _inflated(self, encoding):
        (size,) = struct.unpack(">I", self._read(4))
        return self.streams[encoding].decompress(self._read(size))

    def _pixel(self, data):
        _, _, big, _, red_max, green_max, blue_max, red, green, blue = self.format
        value = int.from_bytes(data, "big" if big else "little")
        return value >> red & red_max, value >> green & green_max, value >> blue & blue_max

    def _cpixel(self, data):
        """A CPIXEL: three bytes where the fourth would hold nothing."""
        bits, depth, big, _, red_max, green_max, blue_max, red, green, blue = self.format
        taken = red_max << red | green_max << green | blue_max << blue
        if bits == 32 and depth <= 24 and taken >> 24 and not taken & 0xFF:
            data = data + b"\0" if big else b"\0" + data
        elif len(data) == 3 and big:
            data = b"\0" + data
        return self._pixel(data)

    @property
    def _cpixel_size(self):
        bits, depth, _, _, red_max, green_max, blue_max, red, green, blue = self.format
        taken = red_max << red | green_max << green | blue_max << blue
        three = bits == 32 and depth <= 24 and (taken < 1 << 24 or not taken & 0xFF)
        return 3 if three else bits // 8

    def _paint(self, data, x, y, w, h, size=None, pixel=None):
        size, pixel = size or self._size, pixel or self._pixel
        assert len(data) == w * h * size
        for j in range(h):
            for i in range(w):
                at = (j * w + i) * size
                self.rows[y + j][x + i] = pixel(data[at : at + size])

    def _zrle(self, data, x, y, w, h):
        size, at = self._cpixel_size, 0
        for top in range(y, y + h, 64):
            for left in range(x, x + w, 64):
                wide, high = min(64, x + w - left), min(64, y + h - top)
                kind, at = data[at], at + 1
                self.tiles += 1
                if kind == 0:
                    part = data[at : at + wide * high * size]
                    at += len(part)
                elif kind == 1:
                    part = data[at : at + size] * (wide * high)
                    at += size
                else:
                    raise AssertionError(f"a tile of kind {kind}")
                self._paint(part, left, top, wide, high, size, self._cpixel)
        assert at == len(data)
