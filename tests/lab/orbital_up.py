"""A desktop under `redbear-host up`, and programs that have windows on it."""

from __future__ import annotations

import io
import json
import socket
import struct
import subprocess
import time
from pathlib import Path

from PIL import Image
from up_rig import Up, redbear

from redbear_host.abi.orbital import OrbitalEvent
from redbear_host.lab.qmp import Qmp

HERE = Path(__file__).parent
WITHIN = 20.0


def until(done, within=WITHIN, why=lambda: ""):
    """Wait until `done()` is true; return the seconds it took."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() < began + within, why()
        time.sleep(0.005)
    return time.monotonic() - began


class Orbital:
    """The files of a desktop; `up` is an instance."""

    def __init__(self, up: Up):
        self.up = up
        self.files = up.mount / "orbital"
        self.ctl = up.mount / "orbital.ctl"

    @property
    def windows(self):
        return json.loads((self.ctl / "windows.json").read_text())

    @property
    def displays(self):
        return json.loads((self.ctl / "displays.json").read_text())

    def shot(self, name="screenshot/0.png"):
        with Image.open(io.BytesIO((self.ctl / name).read_bytes())) as image:
            return image.convert("RGB")

    def run(self, *arguments):
        return redbear("orbital", "--mount", self.up.mount, *arguments)

    def input(self, *records):
        """Let a device say something."""
        data = b"".join(bytes(OrbitalEvent(code=code, a=a, b=b)) for code, a, b in records)
        with open(self.up.mount / "input" / "producer", "wb", buffering=0) as file:
            file.write(data)

    def wait_for(self, image, at, within=WITHIN):
        """Wait until `image` is to be seen at a place of the first screen."""
        box = (*at, at[0] + image.width, at[1] + image.height)
        return until(lambda: self.shot().crop(box).tobytes() == image.tobytes(), within, self._log)

    def _log(self):
        return self.up.log("orbital")


class Monitor:
    """What a lab machine's screen shows, as its QEMU says; to be used with `with`."""

    def __init__(self, path: Path):
        self._path = path
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(str(path))
        self._qmp = Qmp(self._line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._line.close()

    def shot(self):
        file = self._path.with_suffix(".ppm")
        self._qmp.execute("screendump", {"filename": str(file)})
        with Image.open(file) as image:
            return image.convert("RGB")

    def until_shown(self, image):
        """Wait until the whole screen is that; return the seconds it took."""

        def same():
            seen = self.shot()
            return seen.size == image.size and seen.tobytes() == image.tobytes()

        return until(same)


def built(folder: Path, name="orbital_window") -> Path:
    """Compile one of the C programs."""
    program = folder / name
    strict = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O"]
    subprocess.run(["gcc", *strict, "-o", program, HERE / f"{name}.c"], check=True, timeout=60)
    return program


def gradient(width, height):
    """Return what orbital_window.c draws."""
    rows = [bytes(v for x in range(width) for v in (x & 255, y & 255, 0)) for y in range(height)]
    return Image.frombytes("RGB", (width, height), b"".join(rows))


def red(width, height):
    return struct.pack("<I", 0xFFFF0000) * (width * height)
