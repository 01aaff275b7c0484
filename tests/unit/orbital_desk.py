"""The schemes of Orbital on a screen in memory, without a process, a door or a shim."""

from __future__ import annotations

import os

from asked import Asked

from orbital.clients import Clients
from orbital.clipboard import Clipboard
from orbital.control import ControlScheme
from orbital.desktop import Desktop
from orbital.gate import Gate
from orbital.outputs.headless import Headless
from orbital.scheme import OrbitalScheme
from redbear_host.abi import flags as f
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.scheme import ROOT

SIZE = (640, 480)


class Shim:
    """Keeps descriptors for the next life."""

    def __init__(self):
        self.kept = {}

    def keep(self, name, fd):
        self.forget(name)
        self.kept[name] = os.dup(fd)

    def forget(self, name):
        if name in self.kept:
            os.close(self.kept.pop(name))

    def hand_over(self):
        return {name: os.dup(fd) for name, fd in self.kept.items()}


class Desk:
    """One life."""

    def __init__(self, shim=None, memory=64 << 20, operators=(), output=None):
        self.shim = shim or Shim()
        self.desktop = Desktop()
        self.output = output or Headless(Loop(), *SIZE, 60)
        self.clients = Clients(self.desktop, self.shim, self.shim.hand_over(), memory)
        self.clipboard = Clipboard()
        self.gate = Gate()
        self.scheme = OrbitalScheme(self.desktop, self.clients, self.clipboard, self.gate)
        self.control = ControlScheme(
            self.desktop, self.clients, self.clipboard, self.gate, operators
        )
        self.desktop.on_list = self.control.note_list
        self.desktop.add_output(self.output)
        self.clients.put_back()
        self.gate.open()

    def close(self):
        """Give the memory of all windows back, here and at the shim."""
        for client in self.clients:
            self.clients.close(client)
        for name in tuple(self.shim.kept):
            self.shim.forget(name)

    def open(self, path, pid=1, uid=0, flags=f.O_RDWR, scheme=None):
        asked = Asked(uid, pid)
        return (scheme or self.scheme).openat(ROOT, path, flags, 0, asked).handle

    def write(self, handle, data, scheme=None):
        return (scheme or self.scheme).write(handle, memoryview(data), 0, 0, Asked())

    def read(self, handle, size=1 << 20, offset=0, scheme=None):
        return bytes((scheme or self.scheme).read(handle, size, offset, 0, Asked()))

    def window(self, handle):
        return self.scheme._file(handle).client.window

    def number(self, handle):
        return self.scheme.fstat(handle).st_ino

    def shown(self):
        """Return what the screen shows, as rows of words."""
        width, height, pixels = self.desktop.picture("headless", cursor=False)
        words = memoryview(pixels).cast("I")
        return [
            [word & 0xFFFFFF for word in words[y * width : (y + 1) * width]] for y in range(height)
        ]
