"""A desktop without a screen, programs on it, and what can be seen and typed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from orbital_up import WITHIN, Orbital, until
from up_rig import Up

from redbear_host.abi.orbital import PRESSED, EventCode

# Scancodes of a US keyboard, as far as the tests type.
_ROWS = {0x02: "1234567890-=", 0x10: "qwertyuiop[]", 0x1E: "asdfghjkl;'`", 0x2C: "zxcvbnm,./"}
CODES = {letter: at + n for at, row in _ROWS.items() for n, letter in enumerate(row)} | {
    " ": 0x39,
    "\n": 0x1C,
    "\x1b": 0x01,
}
SHIFTED = dict(zip('!@#$%^&*()_+{}:"~<>?', "1234567890-=[];'`,./", strict=True))
SHIFT = 0x2A


class Desk(Orbital):
    """An instance whose Orbital shows itself in memory, `size` pixels large."""

    def __init__(self, up: Up):
        super().__init__(up)
        self.environment = {
            **os.environ,
            "REDBEAR_RINGS": str(up.run_dir / "ring"),
            "REDBEAR_SCHEME": str(up.mount),
            "ORBITAL_DISPLAY": "/scheme/orbital",
        }

    # -- seeing ------------------------------------------------------------------------------------

    def wait(self, true: Callable[[], object], within=WITHIN):
        """Wait until something is seen; return it."""
        seen: list[object] = []

        def done():
            seen[:] = [true()]
            return seen[0]

        until(done, within, lambda: "\n".join(self.lines()))
        return seen[0]

    def lines(self) -> list[str]:
        """Return the list of windows that is for people."""
        return (self.ctl / "windows").read_text().splitlines()

    def window(self, title: str) -> tuple[int, int, int, int, int]:
        """Wait for a window; return its number, place and size."""

        named = self.wait(lambda: [it for it in self.windows if it["title"] == title])
        return tuple(named[0][key] for key in ("id", "x", "y", "width", "height"))

    # -- doing -------------------------------------------------------------------------------------

    def type(self, text: str) -> None:
        """Type, on a US keyboard."""
        for letter in text:
            shift = letter in SHIFTED or letter.isupper()
            code = CODES[SHIFTED.get(letter, letter.lower())]
            strokes = [(code, PRESSED), (code, 0)]
            if shift:
                strokes = [(SHIFT, PRESSED), *strokes, (SHIFT, 0)]
            self.input(*((EventCode.KEY, 0, code | pressed) for code, pressed in strokes))

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
