"""A desktop without a screen, programs on it, and what can be seen and typed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from up_rig import Up

from redbear_host.abi.orbital import PRESSED, EventCode, OrbitalEvent

# Scancodes of a US keyboard, as far as the tests type.
_ROWS = {0x02: "1234567890-=", 0x10: "qwertyuiop[]", 0x1E: "asdfghjkl;'`", 0x2C: "zxcvbnm,./"}
CODES = {letter: at + n for at, row in _ROWS.items() for n, letter in enumerate(row)} | {
    " ": 0x39,
    "\n": 0x1C,
    "\x1b": 0x01,
}
SHIFTED = dict(zip('!@#$%^&*()_+{}:"~<>?', "1234567890-=[];'`,./", strict=True))
SHIFT = 0x2A


class Desk:
    """An instance whose Orbital shows itself in memory, `size` pixels large."""

    def __init__(self, up: Up):
        self.up = up
        self.environment = {
            **os.environ,
            "REDBEAR_RINGS": str(up.run_dir / "ring"),
            "REDBEAR_SCHEME": str(up.mount),
            "ORBITAL_DISPLAY": "/scheme/orbital",
        }

    # -- seeing ------------------------------------------------------------------------------------

    def picture(self, name="screenshot/0.png") -> Image.Image:
        """Return what is seen now."""
        data = (self.up.mount / "orbital.ctl" / name).read_bytes()
        return Image.open(io.BytesIO(data)).convert("RGB")

    def windows(self) -> list[str]:
        return (self.up.mount / "orbital.ctl/windows").read_text().splitlines()

    def wait(self, true: Callable[[], object], within=15.0):
        """Wait until something is seen; return it."""
        deadline = time.monotonic() + within
        while not (found := true()):
            assert time.monotonic() < deadline, "\n".join(self.windows())
            time.sleep(0.03)
        return found

    def window(self, title: str) -> tuple[int, int, int, int, int]:
        """Wait for a window; return its number, place and size."""

        def find():
            for line in self.windows():
                number, size, place, _, rest = line.split(" ", 4)
                if rest.removeprefix("focused ").removeprefix("- ") == title:
                    return (int(number), *map(int, place.split(",")), *map(int, size.split("x")))
            return None

        return self.wait(find)

    # -- doing -------------------------------------------------------------------------------------

    def events(self, *events: tuple[int, int, int]) -> None:
        """Let something happen at the keyboard or the pointer."""
        with open(self.up.mount / "input/producer", "wb", buffering=0) as file:
            file.write(b"".join(bytes(OrbitalEvent(code=c, a=a, b=b)) for c, a, b in events))

    def type(self, text: str) -> None:
        """Type, on a US keyboard."""
        for letter in text:
            shift = letter in SHIFTED or letter.isupper()
            code = CODES[SHIFTED.get(letter, letter.lower())]
            strokes = [(code, PRESSED), (code, 0)]
            if shift:
                strokes = [(SHIFT, PRESSED), *strokes, (SHIFT, 0)]
            self.events(*((EventCode.KEY, 0, code | pressed) for code, pressed in strokes))

    @contextmanager
    def program(self, module: str, *arguments, **options):
        """Run one of our programs."""
        code = f"from orbital.programs.{module} import main; raise SystemExit(main())"
        with subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


@contextmanager
def desk(folder: Path, *arguments: str, size="640x480"):
    """Bring one up."""
    folder.mkdir(exist_ok=True)
    config = folder / "desk.toml"
    config.write_text(f'[daemon.orbital]\noutput = "headless"\nsize = "{size}"\n')
    with Up(folder, "--config", str(config), *arguments) as up:
        yield Desk(up)
