"""Orbital's compositor beside a C loop on libpixman that paints the same scene.

Run `python benchmarks/compositor.py [--json FILE]`; needs gcc and libpixman-1-dev.  The scene is a
screen of 1920 by 1080 with eight decorated windows, every other one translucent.  Both cull what is
hidden and paint the rest from the back to the front; the pictures they leave are compared, so that
nobody wins by painting less.  Figures are frames per second of processor time, taken by turns; the
median of the rounds counts, of ratios that of the pairs.
"""

from __future__ import annotations

import argparse
import json
import random
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from orbital.desktop import Desktop
from orbital.output import Buffer, Frame, Layer
from orbital.rect import Rect
from orbital.scene import shown
from orbital.window import Window, nothing
from redbear_host.abi.orbital import SCALE_ONE, WindowFlag

SIZE: Final = (1920, 1080)
TARGET: Final = 0.9  # of the C loop's frames, painting everything
ROUNDS: Final = 15
LOOP: Final = Path(__file__).parent / "compositor" / "loop.c"
LEGS: Final = 200  # frames after which a dragged window is where it was

# What is damaged in each frame, in pixels of the screen.
SCENES: Final = {
    "full redraw": "full",
    "400x300 damage": "400x300+700+400",
    "64x64 damage": "64x64+900+560",
    "window drag": "drag",
}


class Memory:
    """An output that is memory."""

    name = "memory"
    size = SIZE
    cursor_limits = (64, 64)

    def __init__(self) -> None:
        self.memory: Final = bytearray(SIZE[0] * SIZE[1] * 4)
        self.on_ready: Callable[[], object] = nothing
        self.on_changed: Callable[[], object] = nothing
        self._frame: Final = Frame(memoryview(self.memory), SIZE[0] * 4, ())

    def modes(self) -> Sequence[tuple[int, int]]:
        """Have one."""
        return [SIZE]

    def set_mode(self, width: int, height: int) -> None:
        """Have only one."""

    def begin(self) -> Frame:
        """Be ready."""
        return self._frame

    def present(self, damage: Sequence[Rect]) -> None:
        """Show it to nobody."""

    def set_cursor(self, picture: memoryview | None, width: int, height: int) -> None:
        """Have a plane for it, as most cards do."""

    def move_cursor(self, x: int, y: int) -> None:
        """Have a plane for it."""

    def lend(self, width: int, height: int) -> Buffer | None:
        """Have nothing to lend."""

    def take_back(self, buffer: Buffer) -> None:
        """Have lent nothing."""

    def assign(self, layers: Sequence[Layer]) -> frozenset[int]:
        """Have no planes."""
        return frozenset()

    def close(self) -> None:
        """Hold nothing."""


def scene() -> tuple[Desktop, list[Window], Memory]:
    """Open the windows; the first of the list is in front."""
    rng = random.Random(1)
    desktop, output = Desktop(), Memory()
    desktop.add_output(output, scale=SCALE_ONE)
    for number in range(8):
        width, height = 520 + 40 * number, 380 + 20 * number
        flags = WindowFlag.TRANSPARENT if number % 2 else WindowFlag(0)
        alpha = 0xA0 if number % 2 else 0xFF
        row = bytes(
            value
            for _ in range(width)
            for value in (*(rng.randrange(alpha + 1) for _ in range(3)), alpha)
        )
        x, y = 60 + 140 * number, 60 + 70 * number
        title = f"Window {number}"
        desktop.open(flags, x, y, width, height, title, bytearray(row * height))
    return desktop, list(desktop.list()), output


def layers(desktop: Desktop, windows: Sequence[Window]) -> bytes:
    """Return the scene as loop.c reads it: title bars and bodies as the desktop has them."""
    screen = next(iter(desktop.layout))
    parts = []
    for number, window in enumerate(windows):
        item = shown(screen, window)
        bar = desktop.bar_picture(screen, window)
        for place, opaque, memory in (
            (item.bar, False, bar.copied()),
            (item.body, window.opaque, item.image.copied()),
        ):
            parts += [struct.pack("<6i", *place, opaque, number), memory]
    return b"".join(parts)


def step_of(desktop: Desktop, windows: Sequence[Window], kind: str) -> Callable[[int], None]:
    """Return what is done before the frame with a number is drawn."""
    front = windows[0]
    x, y = front.place[:2]
    if kind == "full":
        return lambda frame: desktop.repaint()
    if kind == "drag":
        # The first hundred frames go right, the next go left, and so on.
        return lambda frame: desktop.put(
            front, x + (100 - frame % 100 - 1 if frame // 100 % 2 else frame % 100 + 1), y
        )
    across, down, left, top = map(int, kind.replace("+", "x").split("x"))
    window = next(window for window in windows if window.place.holds(left, top))
    if not window.place.covers(Rect(left, top, across, down)):
        raise ValueError(f"{kind} is not in one window")
    rects = [Rect(left - window.place.x, top - window.place.y, across, down)]
    return lambda frame: desktop.damage(window, rects)


def ours(desktop: Desktop, step: Callable[[int], None], seconds: float) -> float:
    """Return our frames per second of processor time."""
    frames, start = 0, time.process_time()
    while True:
        for _ in range(8):
            step(frames)
            desktop.draw()
            frames += 1
        spent = time.process_time() - start
        if spent >= seconds and frames % LEGS == 0:
            return frames / spent


def theirs(loop: Path, layers_file: Path, kind: str, seconds: float) -> tuple[float, bytes]:
    """Return the C loop's."""
    picture = loop.with_name("picture")
    said = subprocess.run(
        [loop, layers_file, *map(str, SIZE), str(seconds), kind, picture],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(said.stdout), picture.read_bytes()


def differing(one: bytes, other: bytes) -> int:
    """Return how many pixels differ, whatever their unused bytes are."""
    mask = 0x00FFFFFF
    a, b = (memoryview(picture).cast("I") for picture in (one, other))
    return sum((x ^ y) & mask != 0 for x, y in zip(a, b, strict=True))


def main() -> int:
    """Measure by turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--seconds", type=float, default=0.2, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        loop, file = Path(folder) / "loop", Path(folder) / "scene"
        subprocess.run(
            ["gcc", "-O2", "-I/usr/include/pixman-1", "-o", loop, LOOP, "-lpixman-1"], check=True
        )
        desktop, windows, _ = scene()
        file.write_bytes(layers(desktop, windows))
        print(f"{'frames per second of CPU':26}{'ours':>10}{'C':>10}{'ratio':>8}{'ours':>12}")
        for name, kind in SCENES.items():
            desktop, windows, output = scene()
            desktop.draw()
            step = step_of(desktop, windows, kind)
            mine, its = [], []
            for _ in range(options.rounds):
                mine.append(ours(desktop, step, options.seconds))
                rate, picture = theirs(loop, file, kind, options.seconds)
                its.append(rate)
            wrong = differing(bytes(output.memory), picture)
            if wrong:
                raise SystemExit(f"{name}: {wrong} pixels are not what the C loop painted")
            # Pairs, because neighbours on the machine slow down both of a turn.
            ratio = median(one / other for one, other in zip(mine, its, strict=True))
            figures[name] = {"ours": median(mine), "c": median(its), "ratio": ratio}
            print(
                f"{name:26}{median(mine):10,.0f}{median(its):10,.0f}{ratio:8.2f}"
                f"{1e6 / median(mine):9,.0f} us"
            )
    reached = figures["full redraw"]["ratio"] >= TARGET
    print(f"full redraw: {TARGET} of the C loop {'reached' if reached else 'missed'}")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
