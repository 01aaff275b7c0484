"""How fast vncd shows what is drawn: updates/s to one viewer, its time per frame, and input's way.

Starts an instance of its own, without any card.  A viewer on its Unix socket reads as fast as it
can; each frame is drawn into a mapped frame buffer and shown by UPDATE_PLANE, and the next begins
when the viewer has it.

    sudo .venv/bin/python benchmarks/vnc.py [--seconds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.abi.display import CreateFramebuffer, MapOffset, UpdatePlane, Verb
from redbear_host.bits import Struct

WIDTH, HEIGHT = 1920, 1080
COMMAND = [sys.executable, "-m", "redbear_host"]
SETTINGS = f"[daemon.vncd]\nport = -1\nweb_port = -1\nwidth = {WIDTH}\nheight = {HEIGHT}\n"
RAW, ZLIB, ZRLE = 0, 6, 16


class Viewer:
    """Reads updates and forgets them."""

    def __init__(self, path: Path, encoding: int) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self._room = bytearray(1 << 23)
        self._take(12)
        self.socket.sendall(b"RFB 003.008\n\1\1")
        self._take(2 + 4 + 20)
        self._take(*struct.unpack(">I", self._take(4)))
        self.socket.sendall(struct.pack(">BxHi", 2, 1, encoding))
        self.ask(False)
        self.update()

    def _take(self, count: int) -> bytes:
        view = memoryview(self._room)
        done = 0
        while done < count:
            got = self.socket.recv_into(view[done:count], count - done)
            assert got, "vncd has hung up"
            done += got
        return bytes(view[: min(count, 64)])

    def ask(self, incremental: bool = True) -> None:
        self.socket.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, WIDTH, HEIGHT))

    def update(self) -> int:
        _, count = struct.unpack(">BxH", self._take(4))
        size = 0
        for _ in range(count):
            _, _, width, height, encoding = struct.unpack(">HHHHi", self._take(12))
            length = width * height * 4
            if encoding != RAW:
                (length,) = struct.unpack(">I", self._take(4))
            self._take(length)
            size += length
        return size


class Canvas:
    """A frame buffer of display.vnc."""

    def __init__(self, vt: int) -> None:
        self._fd = client.open(f"/scheme/display.vnc/v2/{vt}", f.O_RDWR)
        asked = self._call(
            Verb.CREATE_DUMB_FRAMEBUFFER, CreateFramebuffer(width=WIDTH, height=HEIGHT)
        )
        self._number = CreateFramebuffer.load(asked).framebuffer
        place = self._call(Verb.DUMB_FRAMEBUFFER_MAP_OFFSET, MapOffset(framebuffer=self._number))
        offset = MapOffset.load(place).offset
        rights = f.MAP_SHARED | f.PROT_READ | f.PROT_WRITE
        self._mapping = client.fmap(self._fd, WIDTH * HEIGHT * 4, rights, offset)
        self.pixels = self._mapping.view

    def _call(self, verb: Verb, record: Struct) -> bytearray:
        payload = bytearray(bytes(record))
        client.call_rw(self._fd, payload, 0, [verb])
        return payload

    def show(self, x: int, y: int, width: int, height: int) -> None:
        wanted = UpdatePlane(framebuffer=self._number, x=x, y=y, width=width, height=height)
        self._call(Verb.UPDATE_PLANE, wanted)


def desktop(seed: int) -> bytes:
    """Make a picture like a desktop's: plain areas, text-like patterns, some noise."""
    dice = random.Random(seed)
    row = bytearray()
    glyphs = [dice.choice((b"\x20\x20\x20\xff", b"\xe0\xe0\xe0\xff")) for _ in range(WIDTH // 2)]
    row += b"".join(glyphs) + bytes((seed % 250, 64, 96, 255)) * (WIDTH // 2)
    plain = bytes((200, seed % 250, 100, 255)) * WIDTH
    noise = dice.randbytes(WIDTH // 8 * 4) + plain[: WIDTH * 7 // 8 * 4]
    part = HEIGHT // 3
    return bytes(row) * part + plain * part + noise * (HEIGHT - 2 * part)


def cpu(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def shown(
    canvas: Canvas, viewer: Viewer, pid: int, small: bool, seconds: float
) -> dict[str, float]:
    pictures = [desktop(seed) for seed in range(3)]
    plane, answers, sizes, count = canvas.pixels, [], [], 0
    began, used = time.monotonic(), cpu(pid)
    while time.monotonic() < began + seconds:
        picture = pictures[count % 3]
        viewer.ask()
        if small:
            for y in range(128, 192):
                at = (y * WIDTH + 128) * 4
                plane[at : at + 256] = picture[at : at + 256]
        else:
            plane[:] = picture
        at = (128 * WIDTH + 128) * 4
        plane[at : at + 4] = struct.pack("<I", count + 1)  # so that no two are alike
        before = time.monotonic()
        canvas.show(*((128, 128, 64, 64) if small else (0, 0, WIDTH, HEIGHT)))
        answers.append(time.monotonic() - before)
        sizes.append(viewer.update())
        count += 1
    passed = time.monotonic() - began
    return {
        "updates_s": round(count / passed, 1),
        "cpu_ms": round((cpu(pid) - used) / count * 1000, 3),
        "kilobytes": round(statistics.mean(sizes) / 1024, 1),
        "update_plane_ms": round(statistics.median(answers) * 1000, 3),
    }


def typing(viewer: Viewer, seat: client.Fd, count: int = 500) -> dict[str, float]:
    """From a viewer's key to a consumer's record."""
    took = []
    for _ in range(count):
        began = time.monotonic()
        viewer.socket.sendall(struct.pack(">BB2xI", 4, 1, ord("a")))
        seat.read(24)
        took.append(time.monotonic() - began)
    took.sort()
    return {
        "median_us": round(took[count // 2] * 1e6),
        "p99_us": round(took[count * 99 // 100] * 1e6),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mount, run_dir = Path(folder) / "scheme", Path(folder) / "run"
        settings = Path(folder) / "up.toml"
        settings.write_text(SETTINGS)
        where = ["--mount", str(mount), "--run-dir", str(run_dir)]
        up = [*COMMAND, "up", "--detach", "--config", str(settings), *where]
        subprocess.run(up, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            os.environ["REDBEAR_RINGS"] = str(run_dir / "ring")
            state = json.loads((run_dir / "state.json").read_text())
            (pid,) = (one["pid"] for one in state["daemons"] if one["name"] == "vncd")
            seat = client.open("/scheme/input/consumer", f.O_RDONLY)
            vt = int(seat.fpath().rsplit("/", 1)[1])
            (mount / "input/vt").write_text(f"{vt}\n")
            canvas = Canvas(vt)
            time.sleep(1)  # vncd has heard of all that
            found: dict[str, dict[str, float]] = {}
            for name, encoding in (("Raw", RAW), ("Zlib", ZLIB), ("ZRLE", ZRLE)):
                viewer = Viewer(run_dir / "vnc.socket", encoding)
                for small, what in ((False, "1920x1080"), (True, "64x64")):
                    found[f"{name}, {what}"] = shown(canvas, viewer, pid, small, args.seconds)
                viewer.socket.close()
            found["typing"] = typing(Viewer(run_dir / "vnc.socket", RAW), seat)
        finally:
            down = [*COMMAND, "down", "--run-dir", str(run_dir)]
            subprocess.run(down, check=False, stderr=subprocess.DEVNULL)
    for name, figures in found.items():
        print(f"{name:16}", "  ".join(f"{key} {value}" for key, value in figures.items()))
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
