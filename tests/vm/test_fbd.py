"""fbd on a frame buffer of the guest's Linux: what is drawn is seen, and the console comes back."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from guest_machine import WITHIN, wait_for
from monitor import Monitor
from taken_disk import SCHEME, redbear

pytestmark = pytest.mark.timeout(240)

GRAPHICS = Path("/sys/class/graphics")
KDGETMODE = 0x4B3B
FBIOGET_CON2FBMAP, FBIOPUT_CON2FBMAP = 0x460F, 0x4610
KD_TEXT, KD_GRAPHICS = 0, 1
VT = 5


def framebuffer() -> str:
    found = [path.name for path in GRAPHICS.glob("fb*") if "bochs" in _read(path / "name").lower()]
    assert found, "the guest has no frame buffer of bochs: give it --device bochs"
    return found[0]


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def console_mode() -> int:
    fd = os.open(f"/dev/tty{VT}", os.O_RDWR | os.O_NOCTTY)
    try:
        return struct.unpack("i", fcntl.ioctl(fd, KDGETMODE, bytes(4)))[0]
    finally:
        os.close(fd)


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    found = Monitor()
    yield found
    found.close()


@pytest.fixture(autouse=True)
def consoles() -> Iterator[None]:
    """Have the consoles on that frame buffer: Linux has put them on its first one."""
    number = int(framebuffer().removeprefix("fb"))
    fd = os.open(f"/dev/fb{number}", os.O_RDWR)
    places = {}
    for console in (1, VT):
        asked = bytearray(struct.pack("II", console, 0))
        fcntl.ioctl(fd, FBIOGET_CON2FBMAP, asked)
        _, places[console] = struct.unpack("II", asked)
        fcntl.ioctl(fd, FBIOPUT_CON2FBMAP, struct.pack("II", console, number))
    yield
    for console, place in places.items():
        fcntl.ioctl(fd, FBIOPUT_CON2FBMAP, struct.pack("II", console, place))
    os.close(fd)


def until_seen(monitor: Monitor, rgb: bytes) -> None:
    deadline = time.monotonic() + WITHIN
    while monitor.screen("bochs").rgb != rgb:
        assert time.monotonic() < deadline, "the screen shows something else"


def picture(width: int, height: int, seed: int) -> tuple[bytes, bytes]:
    """Return words as ours, and as QEMU tells them."""
    rows = [
        b"".join(bytes(((x + seed) & 0xFF, y & 0xFF, (x ^ y) & 0xFF, 0)) for x in range(width))
        for y in range(16)
    ]
    words = b"".join(rows[y % 16] for y in range(height))
    rgb = bytearray(width * height * 3)
    rgb[0::3], rgb[1::3], rgb[2::3] = words[2::4], words[1::4], words[0::4]
    return words, bytes(rgb)


@pytest.mark.parametrize("end", ["down", "supervisor killed"])
def test_linuxs_frame_buffer_is_drawn_on_and_its_console_comes_back(
    monitor: Monitor, tmp_path: Path, end: str
) -> None:
    config = tmp_path / "redbear.toml"
    config.write_text(
        f'[daemon.fbd]\nframebuffer = "{framebuffer()}"\nvt = {VT}\n'
        '[daemon.orbital]\noutput = "none"\n'
    )
    done = redbear("up", "--detach", "--config", str(config))
    assert done.returncode == 0, done.stdout + done.stderr
    ended = False
    try:
        folder = SCHEME / "display.fb"
        width, height = map(int, (folder / "size").read_text().split()[1].split("x"))
        assert console_mode() == KD_GRAPHICS
        words, rgb = picture(width, height, 1)
        (folder / "1").write_bytes(words)
        until_seen(monitor, rgb)
        state = json.loads(redbear("status", "--json").stdout)
        (pid,) = (each["pid"] for each in state["daemons"] if each["name"] == "fbd")
        os.kill(pid, signal.SIGKILL)
        until_seen(monitor, rgb)
        words, rgb = picture(width, height, 2)
        (folder / "1").write_bytes(words)
        until_seen(monitor, rgb)
        if end == "supervisor killed":
            os.kill(state["pid"], signal.SIGKILL)
            ended = True
    finally:
        if not ended:
            assert redbear("down").returncode == 0
    wait_for(lambda: console_mode() == KD_TEXT and not SCHEME.exists())
    # Linux brings what its console shows to the card a moment after it was drawn.
    wait_for(lambda: monitor.screen("bochs").rgb != rgb)
