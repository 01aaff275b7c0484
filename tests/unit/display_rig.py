"""A display adapter without a card: it remembers what it was told, and a scheme before it."""

from __future__ import annotations

import os
import struct
from types import SimpleNamespace

from asked import Asked

from redbear_host.classes.display import DisplayScheme
from redbear_host.classes.screen import Area, DisplayMode


class FakeCard:
    """Two displays, the second without a monitor; a picture is what was copied."""

    displays = 2

    def __init__(self, size=(64, 48)):
        self.on_changed = lambda display: None
        self.on_ready = lambda display: None
        self.sizes = [size, (0, 0)]
        self.screen = bytearray(size[0] * size[1] * 4)
        self.updates = []
        self.busy = False
        self.clears = 0
        self.cursor = None
        self.place = None
        self.limits = (64, 64)

    def size(self, display):
        return self.sizes[display]

    def modes(self, display):
        if self.sizes[display] == (0, 0):
            return []
        return [DisplayMode(64, 48, 60000, True), DisplayMode(32, 24), DisplayMode(128, 64)]

    def set_mode(self, display, width, height):
        self.sizes[display] = (width, height)
        self.screen = bytearray(width * height * 4)
        self.on_changed(display)

    def edid(self, display):
        return bytes(range(128))

    def update(self, display, pixels, stride, areas):
        if self.busy:
            return False
        width, height = self.sizes[display]
        for x, y, w, h in areas:
            assert w > 0
            assert h > 0
            assert x + w <= width
            assert y + h <= height
            for row in range(y, y + h):
                data = pixels[row * stride + x * 4 : row * stride + (x + w) * 4]
                assert len(data) == w * 4
                at = (row * width + x) * 4
                self.screen[at : at + w * 4] = data
        self.updates.append((display, list(areas)))
        return True

    def clear(self, display):
        self.clears += 1
        self.screen[:] = bytes(len(self.screen))

    def cursor_limits(self, display):
        return self.limits

    def set_cursor(self, display, image, hot_x, hot_y):
        if display == 0:
            self.cursor = (image, hot_x, hot_y)

    def move_cursor(self, display, x, y, visible):
        if display == 0:
            self.place = (x, y, visible)


class Rig:
    """A scheme, and the shim's memory of what it keeps."""

    def __init__(self, card=None):
        self.card = card or FakeCard()
        self.kept = {}
        self.live()

    def live(self):
        """Begin a life with what is kept."""
        given = {name: os.dup(fd) for name, fd in self.kept.items()}
        self.scheme = DisplayScheme("display.test", self.card, given, self.keep, self.forget)

    def die(self):
        self.scheme.close()

    def keep(self, name, fd):
        self.forget(name)
        self.kept[name] = os.dup(fd)

    def forget(self, name):
        if name in self.kept:
            os.close(self.kept.pop(name))

    def close(self):
        self.scheme.close()
        for name in list(self.kept):
            self.forget(name)

    def call(self, handle, verb, record, more=b""):
        """Make a call; return the record filled in, and the request."""
        payload = bytearray(bytes(record) + more)
        asked = Asked()
        found = self.scheme.call(handle, memoryview(payload), (verb, 0, 0), asked)
        answer = type(record).load(payload)
        return SimpleNamespace(record=answer, result=found, payload=payload, request=asked)


def damage(*areas: Area) -> memoryview:
    return memoryview(b"".join(struct.pack("<4I", *area) for area in areas))
