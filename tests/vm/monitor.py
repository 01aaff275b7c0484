"""QEMU's monitor, from inside the guest: `--device slot` puts it on a virtio port."""

from __future__ import annotations

import json
import os
import select
import time
from pathlib import Path
from typing import NamedTuple

from guest_machine import WITHIN

EXCHANGE = Path("/run/exchange")


class Monitor:
    """QEMU's monitor, at the guest's end of a virtio port."""

    def __init__(self):
        (port,) = (
            Path("/dev") / path.parent.name
            for path in Path("/sys/class/virtio-ports").glob("*/name")
            if path.read_text().strip() == "monitor"
        )
        self.fd = os.open(port, os.O_RDWR | os.O_CLOEXEC)
        self.rest = b""
        self.events = []
        said = self.answer("qmp_capabilities")
        # Whoever has spoken with it before in this guest has done so.
        assert "return" in said or said["error"]["class"] == "CommandNotFound", said

    def close(self):
        os.close(self.fd)

    def said(self, within):
        deadline = time.monotonic() + within
        while b"\n" not in self.rest:
            ready = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, f"the monitor is silent; it has said {self.events}"
            self.rest += os.read(self.fd, 65536)
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)

    def answer(self, command, **arguments):
        os.write(self.fd, json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            said = self.said(WITHIN)
            if "event" in said:
                self.events.append(said)
            elif "QMP" not in said:
                return said

    def ask(self, command, **arguments):
        said = self.answer(command, **arguments)
        assert "return" in said, said
        return said["return"]

    def wait_event(self, name, within=WITHIN):
        while not any(event["event"] == name for event in self.events):
            self.events.append(self.said(within))
        self.events.clear()

    def screen(self, card):
        """Take the picture that the card `card` of `redbear_host.lab.spares` shows."""
        name = f"{card}.ppm"
        file = f"{os.environ['REDBEAR_LAB_EXCHANGE']}/{name}"
        self.ask("screendump", device=card, filename=file)
        seen = EXCHANGE / name
        try:
            return Picture.read(seen.read_bytes())
        finally:
            seen.unlink()

    def key(self, code, down):
        """Press or release a key of the keyboard, by QEMU's name for it."""
        self._input("key", down=down, key={"type": "qcode", "data": code})

    def tap(self, *codes):
        """Press keys one after the other and release them."""
        for code in codes:
            self.key(code, True)
        for code in reversed(codes):
            self.key(code, False)

    def point(self, x, y):
        """Put the tablet's pen somewhere: 0 to 32767, left to right and top to bottom."""
        for axis, value in (("x", x), ("y", y)):
            self._input("abs", axis=axis, value=value)

    def button(self, down, name="left"):
        self._input("btn", down=down, button=name)

    def _input(self, kind, **data):
        self.ask("input-send-event", events=[{"type": kind, "data": data}])


class Picture(NamedTuple):
    """A picture as QEMU writes it: three bytes a pixel."""

    width: int
    height: int
    rgb: bytes

    @classmethod
    def read(cls, ppm):
        kind, size, most, rgb = ppm.split(b"\n", 3)
        assert (kind, most) == (b"P6", b"255")
        width, height = map(int, size.split())
        assert len(rgb) == width * height * 3
        return cls(width, height, rgb)

    def pixel(self, x, y):
        at = (y * self.width + x) * 3
        return int.from_bytes(self.rgb[at : at + 3], "big")

    def to_ppm(self):
        return b"P6\n%d %d\n255\n" % (self.width, self.height) + self.rgb
