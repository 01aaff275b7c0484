"""A PS/2 keyboard and mouse that do as the manuals say, for tests of ps2d's driver."""

from __future__ import annotations

from daemons.ps2d.driver import KEYBOARD, MOUSE, Driver

KNOCK = [200, 100, 80]


class Devices:
    """Answers at once; `wheel`, `deaf` and `stubborn` say what they are like."""

    def __init__(self, scan_set=1, *, wheel=True, deaf=False, stubborn=0, silent=False):
        self.wheel, self.deaf, self.stubborn, self.silent = wheel, deaf, stubborn, silent
        self.sent = [], []
        self.told = []
        self.rates = []
        self.now = 100.0
        self.awaits = [None, None]
        self.out = []
        self.driver = Driver(self.send, self.told.extend, scan_set)

    def start(self):
        self.driver.start(self.now)
        self.pump()
        self.told.clear()

    def send(self, port, byte):
        self.sent[port].append(byte)
        if self.deaf:
            return False
        if not self.silent:
            if self.stubborn:
                self.stubborn -= 1
                self.out.append((port, b"\xfe"))
            else:
                self.out.append((port, self.answer(port, byte)))
        return True

    def answer(self, port, byte):
        awaited, self.awaits[port] = self.awaits[port], None
        if awaited == 0xF3:
            self.rates = [*self.rates, byte][-3:]
        elif awaited is None and byte in (0xF3, 0xF0):
            self.awaits[port] = byte
        elif byte == 0xFF:
            return b"\xfa\xaa" if port == KEYBOARD else b"\xfa\xaa\x00"
        elif byte == 0xF2 and port == MOUSE:
            return b"\xfa\x03" if self.wheel and self.rates == KNOCK else b"\xfa\x00"
        return b"\xfa"

    def pump(self):
        while self.out:
            port, data = self.out.pop(0)
            self.driver.take(port, data, self.now)

    def says(self, port, data):
        """Let a device say something; return what was told."""
        self.driver.take(port, bytes.fromhex(data) if isinstance(data, str) else data, self.now)
        self.pump()
        told, self.told[:] = list(self.told), []
        return told
