"""inputd's desk and scheme without a daemon, and records as tuples."""

from __future__ import annotations

import os
import struct

from asked import Asked, Posted, opened

from daemons.inputd.desk import Desk
from daemons.inputd.devices import Devices
from daemons.inputd.keymaps import KEYMAPS
from daemons.inputd.scheme import InputScheme
from daemons.inputd.source import Source
from daemons.inputd.state import State, make_memory
from daemons.inputd.typist import Typist
from redbear_host.abi import flags as f
from redbear_host.abi.orbital import PRESSED, EventCode

EVENT = struct.Struct("<qqq")
KEY, MOUSE, BUTTON, SCROLL = (
    int(code) for code in (EventCode.KEY, EventCode.MOUSE, EventCode.BUTTON, EventCode.SCROLL)
)
RELATIVE, TEXT = int(EventCode.MOUSE_RELATIVE), int(EventCode.TEXT_INPUT)
PAD_BUTTON = int(EventCode.CONTROLLER_BUTTON)


def press(key, character=0):
    return (KEY, character, key | PRESSED)


def release(key, character=0):
    return (KEY, character, key)


def pack(*records):
    return b"".join(EVENT.pack(*record) for record in records)


def unpack(data):
    return list(EVENT.iter_unpack(data))


class Input:
    """One life; `again()` is its successor."""

    def __init__(self, keymap="us", fd=None):
        self.fd = make_memory() if fd is None else fd
        self.state = State(self.fd)
        self.desk = Desk(Typist(KEYMAPS[keymap]), self.state)
        self.devices = Devices()
        self.scheme = InputScheme(self.desk, self.devices)
        self.posted = Posted(self.scheme)
        self.source = Source("test")
        self.desk.add_source(self.source)

    def again(self):
        return Input(fd=os.dup(self.fd))

    def open(self, path, flags=f.O_RDONLY, uid=0, pid=1):
        return opened(self.scheme, path, flags, uid, pid)

    def producer(self):
        return self.open("producer", f.O_WRONLY)

    def write(self, handle, data):
        return self.scheme.write(handle, memoryview(data), 0, 0, Asked())

    def feed(self, *records):
        self.desk.feed(self.source, records)

    def read(self, handle, size=1 << 16):
        return unpack(self.scheme.read(handle, size, 0, 0, Asked()))

    def text(self, name):
        handle = self.open(name)
        data = bytes(self.scheme.read(handle, 1 << 16, 0, 0, Asked())).decode()
        self.scheme.on_close(handle)
        return data
