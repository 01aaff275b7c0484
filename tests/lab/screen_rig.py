"""A client of a display scheme's v2, and pictures of what a lab machine's screen shows."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from PIL import Image
from up_rig import Up

from redbear_host import client
from redbear_host.abi import display as abi
from redbear_host.abi import flags as f
from redbear_host.abi.display import Verb
from redbear_host.bits import Struct
from redbear_host.lab.qmp import Qmp

S = TypeVar("S", bound=Struct)

WITHIN = 20.0


class Buffer:
    """A frame buffer, mapped."""

    def __init__(self, terminal: Terminal, width: int, height: int) -> None:
        made = terminal.call(
            Verb.CREATE_DUMB_FRAMEBUFFER, abi.CreateFramebuffer(width=width, height=height)
        )
        self.number, self.width, self.height = made.framebuffer, width, height
        found = terminal.call(
            Verb.DUMB_FRAMEBUFFER_MAP_OFFSET, abi.MapOffset(framebuffer=self.number)
        )
        self.offset = found.offset
        self.size = width * height * 4
        self.mapping = client.fmap(terminal.fd, self.size, offset=found.offset)

    @property
    def pixels(self) -> memoryview:
        return self.mapping.view

    def draw(self, image: Image.Image, x: int = 0, y: int = 0) -> None:
        """Draw a picture with its top left pixel at x, y; it has to fit."""
        data = image.convert("RGB").tobytes("raw", "BGRX")
        row = image.width * 4
        for line in range(image.height):
            at = ((y + line) * self.width + x) * 4
            self.pixels[at : at + row] = data[line * row : (line + 1) * row]

    @property
    def image(self) -> Image.Image:
        return Image.frombytes("RGB", (self.width, self.height), bytes(self.pixels), "raw", "BGRX")


class Terminal:
    """`v2/VT`, opened."""

    def __init__(self, scheme: str, vt: int = 1) -> None:
        self.path = f"/scheme/{scheme}/v2/{vt}"
        self.fd = client.open(self.path, f.O_RDWR)

    def close(self) -> None:
        with suppress(OSError):  # its daemon may have died
            self.fd.close()

    def call(self, verb: Verb, record: S, more: bytes = b"") -> S:
        payload = bytearray(bytes(record) + more)
        client.call_rw(self.fd, payload, 0, [verb])
        return type(record).load(payload)

    def get(self, verb: Verb, display: int, room: int) -> bytes:
        payload = bytearray(bytes(abi.DisplayId(display=display)).ljust(room, b"\0"))
        return bytes(payload[: client.call_rw(self.fd, payload, 0, [verb])])

    @property
    def displays(self) -> int:
        return self.call(Verb.DISPLAY_COUNT, abi.DisplayCount()).count

    def size(self, display: int = 0) -> tuple[int, int]:
        found = self.call(Verb.DISPLAY_SIZE, abi.DisplaySize(display=display))
        return found.width, found.height

    def set_mode(self, width: int, height: int, display: int = 0) -> None:
        self.call(Verb.SET_MODE, abi.DisplaySize(display=display, width=width, height=height))

    def modes(self, display: int = 0) -> list[abi.Mode]:
        data = self.get(Verb.MODES, display, abi.MODES_MOST * abi.Mode.size)
        return [abi.Mode.load(data, at) for at in range(0, len(data), abi.Mode.size)]

    def edid(self, display: int = 0) -> bytes:
        return self.get(Verb.EDID, display, 1024)

    def buffer(self, width: int, height: int) -> Buffer:
        return Buffer(self, width, height)

    def update(self, buffer: Buffer, area: Sequence[int] | None = None, display: int = 0) -> None:
        x, y, width, height = area or (0, 0, buffer.width, buffer.height)
        plane = abi.UpdatePlane(
            display=display, framebuffer=buffer.number, x=x, y=y, width=width, height=height
        )
        self.call(Verb.UPDATE_PLANE, plane)


def pattern(width: int, height: int, seed: int = 0) -> Image.Image:
    """Make a picture in which every pixel tells its place, more or less."""
    across = bytes((x * 7 + seed * 31) & 0xFF for x in range(width))
    rows = []
    for y in range(height):
        down = (y * 5 + seed * 17) & 0xFF
        row = bytearray(width * 3)
        row[0::3] = across
        row[1::3] = bytes([down]) * width
        row[2::3] = bytes((x ^ y ^ seed) & 0xFF for x in range(width))
        rows.append(bytes(row))
    return Image.frombytes("RGB", (width, height), b"".join(rows))


class Screen(Up):
    """An instance with one graphics card of the lab, and its monitor's socket."""

    def __init__(self, folder: Path, kind: str, keys: str = "", *arguments: str) -> None:
        self.socket = folder / "qmp"
        self.folder = folder
        more = f",{keys}" if keys else ""
        config = folder / "redbear.toml"
        config.write_text('[daemon.orbital]\noutput = "none"\n')  # the screen is ours
        lab = f"{kind}:qmp={self.socket}{more}"
        super().__init__(folder, "--config", str(config), "--lab", lab, *arguments)

    def __enter__(self) -> Screen:
        super().__enter__()
        os.environ["REDBEAR_RINGS"] = str(self.run_dir / "ring")
        os.environ["REDBEAR_SCHEME"] = str(self.mount)
        line = socket.socket(socket.AF_UNIX)
        line.connect(str(self.socket))
        self.line = line
        self.qmp = Qmp(line)
        self.terminals: list[Terminal] = []
        return self

    def terminal(self, vt: int = 1) -> Terminal:
        made = Terminal(self.scheme, vt)
        self.terminals.append(made)
        return made

    def __exit__(self, *details: object) -> None:
        for terminal in self.terminals:
            terminal.close()
        client.forget()
        del os.environ["REDBEAR_RINGS"], os.environ["REDBEAR_SCHEME"]
        self.line.close()
        super().__exit__(*details)

    @property
    def scheme(self) -> str:
        (name,) = (n for n in os.listdir(self.mount) if n.startswith("display."))
        return name

    @property
    def files(self) -> Path:
        return self.mount / self.scheme

    def shot(self, **more: object) -> Image.Image:
        """Return what is seen, as QEMU tells."""
        path = self.folder / "shot.ppm"
        self.qmp.execute("screendump", {"filename": str(path), **more})
        with Image.open(path) as image:
            return image.convert("RGB")

    def until_shown(self, image: Image.Image, within: float = WITHIN) -> float:
        """Wait until the whole screen is that; return the seconds it took."""
        began = time.monotonic()
        while (seen := self.shot()).tobytes() != image.tobytes() or seen.size != image.size:
            assert time.monotonic() < began + within, self.log("")
            time.sleep(0.005)
        return time.monotonic() - began
