"""What a user before the screen does and sees: terminals, and pictures as they should be."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path

from guest_machine import WITHIN
from monitor import EXCHANGE

GOLDEN = Path(__file__).parents[1] / "golden" / "orbital-kms"
ACTIVE = Path("/sys/class/tty/tty0/active")
KDGETMODE, KDGKBMODE = 0x4B3B, 0x4B44


def asked(terminal, request):
    """Ask a virtual terminal, as tty7, for a number."""
    fd = os.open(f"/dev/{terminal}", os.O_RDWR | os.O_NOCTTY)
    try:
        return struct.unpack("i", fcntl.ioctl(fd, request, bytes(4)))[0]
    finally:
        os.close(fd)


def eventually(look, within=WITHIN):
    """Return what `look` returns once that is something."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came so"
        time.sleep(0.05)
    return found


def same_as_golden(monitor, kind, name):
    """Compare a screen with a picture of this repository, pixel for pixel."""
    from PIL import Image

    golden = Image.open(GOLDEN / f"{name}.png").convert("RGB")
    seen = None
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        seen = monitor.screen(kind)
        if (seen.width, seen.height) == golden.size and seen.rgb == golden.tobytes():
            return
        time.sleep(0.1)
    EXCHANGE.joinpath(f"{name}-seen.ppm").write_bytes(seen.to_ppm())
    raise AssertionError(f"{kind} does not show {name}.png but {name}-seen.ppm")
