"""vncd under `up`: a picture of ours on its display, our place at the keyboard, and viewers."""

from __future__ import annotations

import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from up_rig import Up, redbear

from redbear_host import client
from redbear_host.abi import flags as f

EVENT = struct.Struct("<qqq")
WIDTH, HEIGHT = 640, 400
SETTINGS = """
[daemon.vncd]
port = 0
web_port = 0
width = 640
height = 400
"""


class Desk:
    """One instance with vncd; whoever reads `input/consumer` last sits at the display."""

    def __init__(self, up):
        self.up = up
        self.display = up.mount / "display.vnc"
        self._seat = None
        self._file = -1
        self.vt = 0

    def sit_down(self):
        """Take the keyboard, and show our terminal on the display."""
        os.environ["REDBEAR_RINGS"] = str(self.up.run_dir / "ring")
        client.forget()
        self._seat = client.open("/scheme/input/consumer", f.O_RDONLY | f.O_NONBLOCK)
        self.vt = int(self._seat.fpath().rsplit("/", 1)[1])
        (self.up.mount / "input/vt").write_text(f"{self.vt}\n")
        # Held: without a handle on it the terminal would give the display to another.
        self._file = os.open(self.display / str(self.vt), os.O_WRONLY)

    def leave(self):
        if self._seat is not None:
            self._seat.close()
            os.close(self._file)
        client.forget()
        os.environ.pop("REDBEAR_RINGS", None)

    def draw(self, data):
        """Show a picture: words 0xXXRRGGBB."""
        at = 0
        while at < len(data):
            at += os.pwrite(self._file, data[at:], at)
        end = time.monotonic() + 10
        while (self.display / "active").read_text() != f"{self.vt}\n":  # inputd says so, soon
            assert time.monotonic() < end, "our terminal does not become the active one"
            time.sleep(0.01)

    def heard(self, count):
        """Return the next `count` events."""
        found = []
        queue = client.EventQueue()
        queue.subscribe(self._seat, f.EVENT_READ)
        while len(found) < count:
            try:
                found += EVENT.iter_unpack(self._seat.read(100 * EVENT.size))
            except BlockingIOError:
                assert queue.next_event(10) is not None, found
        queue.close()
        return found

    def silent(self):
        """Throw away what was heard and not asked for."""
        try:
            while self._seat.read(100 * EVENT.size):
                pass
        except BlockingIOError:
            pass

    @property
    def ways(self):
        done = redbear("vnc", "--json", "--mount", self.up.mount)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def address(self):
        host, port = self.ways["address"].rsplit(":", 1)
        return host, int(port)

    def vncdo(self, *words, timeout=40):
        """Run vncdotool's command."""
        ways = self.ways
        server = ways["address"].replace(":", "::")
        command = [Path(sys.executable).with_name("vncdo"), "-s", server]
        done = subprocess.run(
            [*command, "-p", ways["password"], *map(str, words)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def captured(self, folder, *words):
        """What vncdotool sees."""
        file = folder / "seen.png"
        self.vncdo(*words, "capture", file)
        return Image.open(file).convert("RGB")


@contextmanager
def desk(settings=SETTINGS, sits=True):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        (Path(folder) / "up.toml").write_text(settings)
        with Up(Path(folder), "--vnc", "--config", Path(folder) / "up.toml") as up:
            found = Desk(up)
            if sits:
                found.sit_down()
            try:
                yield found
            finally:
                found.leave()


def picture(width=WIDTH, height=HEIGHT, seed=1):
    """A picture with plain areas, a fine pattern and noise, as words 0xXXRRGGBB."""
    dice = random.Random(seed)
    image = Image.new("RGB", (width, height), (16, 32 + seed % 200, 64))
    image.paste((240, 128, 16), (width // 2, 0, width, height // 2))
    size = width // 2, height // 2
    noise = Image.frombytes("RGB", size, dice.randbytes(size[0] * size[1] * 3))
    image.paste(noise, (0, height // 2))
    for x in range(width // 2, width, 3):
        image.paste((255, 255, 255), (x, height // 2, x + 1, height))
    return image


def words(image):
    return image.convert("RGBA").tobytes("raw", "BGRA")


class Caller:
    """A viewer of our own that says what it likes."""

    def __init__(self, path, encodings=(0,), wants=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self.take(12)
        self.socket.sendall(b"RFB 003.008\n")
        assert self.take(2) == b"\1\1"
        self.socket.sendall(b"\1")
        assert self.take(4) == bytes(4)
        self.socket.sendall(b"\1")
        self.width, self.height, *_, length = struct.unpack(">HH16sI", self.take(24))
        self.take(length)
        if wants:
            count = len(encodings)
            self.socket.sendall(struct.pack(f">BxH{count}i", 2, count, *encodings))
            self.ask(False)

    def ask(self, incremental=True):
        self.socket.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def take(self, count):
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            assert piece, f"it has hung up after {bytes(data[:50])!r}"
            data += piece
        return bytes(data)

    def update(self):
        """Read an update of raw rectangles; return how many bytes of pixels were in it."""
        kind, count = struct.unpack(">BxH", self.take(4))
        assert kind == 0
        size = 0
        for _ in range(count):
            _, _, w, h, encoding = struct.unpack(">HHHHi", self.take(12))
            if encoding == 0:
                size += len(self.take(4 * w * h))
            else:
                (length,) = struct.unpack(">I", self.take(4))
                size += len(self.take(length))
        return size

    def gone(self):
        """Tell whether it has hung up on us."""
        if not select.select([self.socket], [], [], 20)[0]:
            return False
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
