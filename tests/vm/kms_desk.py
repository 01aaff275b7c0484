"""A very small compositor on screens of Linux's cards, for tests: coloured rectangles, one loop."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from guest_machine import WITHIN, wait_for

from kernel_shim.seat import open_card
from orbital.outputs.cards import CardSource
from orbital.rect import Rect
from redbear_host.daemon import SeatGrant
from redbear_host.lab.spares import SPARES
from redbear_host.scheme.loop import Loop


def card_of(kind):
    """Return the name Linux gave the lab's card, as card0."""
    address = SPARES[kind].address
    folder = Path("/sys/bus/pci/devices", address, "drm")
    if not folder.exists():  # a virtio device hangs below the PCI function
        (folder,) = Path("/sys/bus/pci/devices", address).glob("virtio*/drm")
    (found,) = folder.glob("card*")
    return found.name


class Desk:
    """Screens of some cards, and what is drawn on them."""

    def __init__(self, *kinds, active=True):
        self.names = [card_of(kind) for kind in kinds]
        self.fds = {name: open_card(name) for name in self.names}
        self.loop = Loop()
        self.said = []
        self.drawn = {}  # of each output, the oldest first
        seat = SeatGrant(self.fds, 0, active)
        self.source = CardSource(seat, self.loop, self.said.append)
        self.outputs = self.source.outputs

    def close(self):
        self.source.close()
        self.loop.close()

    def run(self, done, within=WITHIN):
        """Serve events until `done`."""
        deadline = self.loop.now() + within
        while not done():
            assert self.loop.now() < deadline, f"not so within {within} s"
            self.loop.at(self.loop.now() + 0.02, lambda: None)
            self.loop.run_round()

    def frame(self, output):
        """Return the next frame, when it is time."""
        found = []

        def look():
            if not found:
                frame = output.begin()
                if frame is not None:
                    found.append(frame)
            return bool(found)

        self.run(look)
        return found[0]

    def paint(self, output, *shapes):
        """Draw rectangles with a colour each on a frame, and show what they cover."""
        frame = self.frame(output)
        whole = Rect(0, 0, *output.size)
        drawn = self.drawn.setdefault(output, [(Rect(0, 0, 4096, 4096), 0)])
        for stale in frame.stale:
            for rect, colour in drawn:
                fill(frame.pixels, frame.stride, rect & stale & whole, colour)
        for rect, colour in shapes:
            fill(frame.pixels, frame.stride, rect & whole, colour)
        drawn += shapes
        output.present([rect & whole for rect, _ in shapes])
        self.run(lambda: output.begin() is not None)  # it is on the screen


def fill(pixels, stride, rect, colour):
    row = struct.pack("<I", colour) * rect.width
    for y in range(rect.y, rect.bottom):
        at = y * stride + rect.x * 4
        pixels[at : at + len(row)] = row


def state(name):
    """Return what the kernel says of a card's planes and CRTCs."""
    root = Path("/sys/kernel/debug")
    if not (root / "dri").exists():
        assert os.system(f"mount -t debugfs debugfs {root}") == 0
    wait_for((root / "dri").exists)
    return (root / "dri" / name.removeprefix("card") / "state").read_text()
