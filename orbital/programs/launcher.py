"""`orbital-launcher`: the bar at the bottom: programs to start, windows that are open, the time.

What it offers stands in /etc/redbear-host/launcher.toml, `[programs]`, each a name and a command;
without that file, what is installed of ours.  Windows are listed for operators (`orbital.ctl`).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

from orbital.keys import CHORD
from orbital.orbclient import (
    Button,
    Event,
    Hover,
    Mouse,
    Rect,
    Screen,
    Unknown,
    Window,
    WindowFlag,
    display_size,
)
from orbital.pixels import premultiplied
from orbital.programs.paint import BAR, LIGHT, TEXT, text
from orbital.programs.program import Program, started
from redbear_host import client as redox
from redbear_host.abi import flags as f
from redbear_host.abi.orbital import EventCode
from redbear_host.abi.scancodes import Key as Scan
from redbear_host.errors import ConfigError

_HEIGHT: Final = 48
_SIZE: Final = 16  # of letters, in pixels
_OURS: Final = ("orbterm", "orbital-clock")
_SETTINGS: Final = Path("/etc/redbear-host/launcher.toml")
_FLAGS: Final = WindowFlag.BORDERLESS | WindowFlag.TRANSPARENT | WindowFlag.UNCLOSABLE
_PROGRAM_WIDTH: Final = 120
_WINDOW_WIDTH: Final = 180
_CLOCK_WIDTH: Final = 64
_CHORD_T: Final = (EventCode.KEY + CHORD, Scan.T)  # opens a terminal, as in Redox's launcher


class Place(NamedTuple):
    """Something on the bar that can be clicked."""

    place: Rect
    words: str
    command: tuple[str, ...] = ()  # to start
    window: int = 0  # or to bring to the front
    lit: bool = False


def offered(settings: Path) -> dict[str, tuple[str, ...]]:
    """Return commands by their names; `ConfigError` for a file that makes no sense."""
    if not settings.exists():
        here = Path(sys.argv[0]).resolve().parent
        found = ((name, shutil.which(name) or shutil.which(str(here / name))) for name in _OURS)
        return {name.removeprefix("orbital-"): (path,) for name, path in found if path}
    try:
        table = tomllib.loads(settings.read_text()).get("programs", {})
        if not isinstance(table, dict) or not all(isinstance(it, str) for it in table.values()):
            raise ConfigError(f'{settings}: [programs] is no table of texts, as term = "orbterm"')
        return {name: tuple(shlex.split(command)) for name, command in table.items()}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{settings}: {error}") from error


class Launcher(Program):
    """The bar."""

    def __init__(self, window: Window, programs: dict[str, tuple[str, ...]], control: str) -> None:
        super().__init__(window)
        self._programs: Final = programs
        self._control: Final = control  # the path of orbital.ctl
        self._places: list[Place] = []
        self._pointer = (-1, -1)
        self._held = False
        self._front = 0  # the number of the window in front
        self._shown: object = None
        self._children: Final[list[subprocess.Popen[bytes]]] = []
        self._look()
        self.every(0.5, self._look)

    # -- what is on it -----------------------------------------------------------------------------

    def _look(self) -> None:
        """Draw again if it would look different."""
        self._children[:] = [child for child in self._children if child.poll() is None]
        self._places = self._placed()
        shown = self._places, time.strftime("%H:%M"), self._pointer
        if shown != self._shown:
            self._shown = shown
            self.stale = True

    def _windows(self) -> list[dict[str, Any]]:
        """Return the windows with titles, oldest first; none for who may not see them."""
        try:
            with redox.open(f"{self._control}/windows.json", f.O_RDONLY | f.O_CLOEXEC) as fd:
                said = b""
                while part := redox.read(fd, 1 << 16):
                    said += part
            found = json.loads(said)
        except (OSError, ValueError):
            return []
        self._front = self._found_front(found)
        return sorted((it for it in found if it["title"]), key=lambda it: it["id"])

    def _found_front(self, windows: list[dict[str, Any]]) -> int:
        """Return who has the keyboard, or had it until a click gave it to us; 0 for nobody."""
        by_number = {it["id"]: it for it in windows}
        focused = next((it for it in windows if it.get("focused")), {})
        if focused.get("pid") == os.getpid() and self._front in by_number:
            focused = by_number[self._front]
        return 0 if focused.get("minimised") else focused.get("id", 0)

    def _placed(self) -> list[Place]:
        places, left = [], 8
        for name, command in self._programs.items():
            places.append(Place(Rect(left, 4, _PROGRAM_WIDTH, _HEIGHT - 8), name, command))
            left += _PROGRAM_WIDTH + 4
        left += 12
        for it in self._windows():
            if left + _WINDOW_WIDTH > self.window.width - _CLOCK_WIDTH:
                break
            place = Rect(left, 4, _WINDOW_WIDTH, _HEIGHT - 8)
            title, number = str(it["title"]), int(it["id"])
            places.append(Place(place, title, window=number, lit=number == self._front))
            left += _WINDOW_WIDTH + 4
        return places

    # -- what is done with it ----------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Follow the pointer, start and show."""
        match event:
            case Mouse(x, y):
                self._pointer = x, y
            case Hover(entered):
                self._pointer = self._pointer if entered else (-1, -1)
            case Button(left, _, _):
                if left and not self._held:
                    self._click()
                self._held = left
            case Unknown(code, _, b) if (code, b & 0xFF) == _CHORD_T and b & 0x100:
                self._start(next(iter(self._programs.values()), ()))
            case Screen(width, height):
                self.window.resize(width, _HEIGHT)
                self.window.move(0, height - _HEIGHT)
                self.stale = True
            case _:
                super().on_event(event)
        self._look()

    def _click(self) -> None:
        for it in self._places:
            if it.place.holds(*self._pointer):
                if it.command:
                    self._start(it.command)
                else:
                    self._show(it)

    def _start(self, command: tuple[str, ...]) -> None:
        if not command:
            return
        try:
            child = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL)
        except OSError as error:
            sys.stderr.write(f"orbital-launcher: {command[0]}: {error.strerror}\n")
            return
        self._children.append(child)

    def _show(self, it: Place) -> None:
        """Bring a window to the front, or put away the one that is there."""
        self._windows()  # what was drawn may be older
        order = f"{'minimise' if it.window == self._front else 'focus'} {it.window}\n"
        try:
            with redox.open(f"{self._control}/control", f.O_WRONLY | f.O_CLOEXEC) as fd:
                redox.write(fd, order.encode())
        except OSError as error:  # it has been closed meanwhile
            sys.stderr.write(f"orbital-launcher: {it.words}: {error.strerror}\n")

    # -- drawing -----------------------------------------------------------------------------------

    def draw(self) -> list[Rect]:
        """Draw all of it."""
        picture = self.window.picture
        whole = Rect(0, 0, picture.width, picture.height)
        picture.fill(whole, premultiplied(BAR))
        for it in self._places:
            if it.lit or it.place.holds(*self._pointer):
                picture.fill(it.place, LIGHT)
            inner = Rect(it.place.x + 10, it.place.y, it.place.width - 20, it.place.height)
            text(picture, it.words, inner, _SIZE, TEXT)
        clock = Rect(whole.width - _CLOCK_WIDTH, 0, _CLOCK_WIDTH, whole.height)
        text(picture, time.strftime("%H:%M"), clock, _SIZE, TEXT)
        return []


def run() -> None:
    """Read the arguments and show the bar."""
    parser = argparse.ArgumentParser(description="the bar at the bottom of Orbital's display")
    parser.add_argument("--settings", type=Path, default=_SETTINGS, help="(%(default)s)")
    programs = offered(parser.parse_args().settings)
    display = os.environ.get("ORBITAL_DISPLAY") or "/scheme/orbital"
    width, height = display_size()
    with Window(width, _HEIGHT, "", 0, height - _HEIGHT, _FLAGS) as window:
        Launcher(window, programs, f"{display}.ctl").run()


def main() -> int:
    """Run; return the exit status."""
    return started(run)
