"""Whatever happens, what was painted bit by bit is what one painting of everything would show."""

from __future__ import annotations

import random

import pytest
from fuzzing import rounds
from hypothesis import given, settings
from hypothesis import strategies as st
from orbital_rig import Memory, at, chord, events, key, open_window, pixels_of, press, whole

from orbital.desktop import Desktop
from orbital.rect import Rect
from orbital.region import area, disjoint
from redbear_host.abi.orbital import WindowFlag as F
from redbear_host.abi.scancodes import Key

_SCALES = (160, 160, 200, 240, 320, 100)


class Scene:
    """Windows that come, go, move and are drawn in, on screens of several kinds."""

    def __init__(self, rng: random.Random, *, planes: bool = False) -> None:
        """With `planes`, most windows are in memory of a screen, and could be shown by a plane."""
        self.rng = rng
        self.planes = planes
        self.desktop = Desktop()
        self.screens = [
            Memory(
                rng.randint(40, 240),
                rng.randint(40, 180),
                name=f"screen{number}",
                buffers=rng.randint(1, 3),
                planes=rng.choice((1, 2, 5)) if planes else rng.choice((0, 1)),
                cursor=rng.choice(((0, 0), (64, 64))),
            )
            for number in range(1 if planes else rng.randint(1, 2))
        ]
        for number, screen in enumerate(self.screens):
            screen.refuse = lambda key: (key * 7 + rng.randint(0, 1)) % 3 == 0
            place = (rng.randint(-50, 90), rng.randint(-50, 50)) if number else None
            self.desktop.add_output(screen, place, 160 if planes else rng.choice(_SCALES))

    def word(self) -> int:
        alpha = self.rng.choice((255, 255, 128, 40, 0))
        parts = [self.rng.randint(0, alpha) for _ in range(3)]
        return alpha << 24 | parts[0] << 16 | parts[1] << 8 | parts[2]

    def step(self) -> None:
        rng, desktop = self.rng, self.desktop
        windows = desktop.list()
        what = rng.randint(0, 15)
        if (what < 3 and len(windows) < 12) or not windows:
            letters = rng.choice(("", "t", "r", "l", "lt", "b", "f", "lb", "rs", "ls"))
            place = (
                rng.randint(-60, 200),
                rng.randint(-60, 150),
                rng.randint(0, 120),
                rng.randint(0, 90),
            )
            lender = rng.choice((None, None, rng.choice(self.screens)))
            if self.planes:
                place = (rng.randint(0, 60), rng.randint(0, 60), rng.randint(5, 60), 40)
                lender = rng.choice((None, *self.screens, *self.screens))
            if not (place[2] and place[3]) or "s" in letters:
                lender = None
            open_window(desktop, letters, place, self.word(), "title", lender)
            return
        window = rng.choice(windows)
        if what == 3:
            desktop.close(window)
        elif what == 4:
            desktop.move(window, rng.randint(-90, 200), rng.randint(-90, 150))
        elif what == 5:
            width, height = rng.randint(0, 120), rng.randint(0, 90)
            desktop.resize(window, width, height, bytearray(width * height * 4))
        elif what == 6:
            flag = rng.choice(
                (F.HIDDEN, F.FRONT, F.BACK, F.TRANSPARENT, F.BORDERLESS, F.FULLSCREEN)
            )
            desktop.set_flags(window, flag, rng.random() < 0.5)
        elif what == 7:
            desktop.focus(window)
        elif what == 8:
            desktop.set_title(window, rng.choice(("", "other", "ä" * 50, "\0\n")))
        elif what == 9:
            desktop.minimise(window, rng.random() < 0.5)
        elif what == 10:
            chord(desktop, Key.LEFT_SUPER, rng.choice((Key.TAB, Key.M, Key.H, Key.UP, Key.Q)))
        elif what == 11:
            key(desktop, Key.LEFT_SUPER, down=rng.random() < 0.5)
        elif what == 12:
            at(desktop, rng.randint(-60, 300), rng.randint(-60, 200))
            press(desktop, rng.randint(0, 1))
        elif what == 13 and rng.random() < 0.3:
            screen = rng.choice(self.screens)
            screen.take_size(rng.randint(40, 240), rng.randint(40, 180))
            screen.on_changed()
        elif what == 14 and rng.random() < 0.3:
            screen = rng.choice(self.screens)
            desktop.arrange(screen.name, (rng.randint(-60, 60), 0), rng.choice(_SCALES))
        elif window.image is not None:
            self.scribble(window)

    def scribble(self, window: object) -> None:
        """Draw in a window, and say where; at times more than was drawn, and beside it."""
        rng, memory = self.rng, pixels_of(window)
        x, y = rng.randint(0, window.width - 1), rng.randint(0, window.height - 1)
        width = rng.randint(1, window.width - x)
        height = rng.randint(1, window.height - y)
        row = self.word().to_bytes(4, "little") * width
        for line in range(y, y + height):
            start = (line * window.width + x) * 4
            memory[start : start + width * 4] = row
        self.desktop.damage(window, [Rect(x, y, width + rng.randint(0, 9), height)])

    def look(self) -> None:
        """Draw, on screens that are ready, and compare what they show then."""
        for screen in self.screens:
            screen.busy = self.rng.random() < 0.3
        self.desktop.draw()
        for screen in self.screens:
            if screen.busy:
                continue
            shown, wanted = (
                screen.picture(),
                whole(self.desktop, screen.name, cursor=screen.cursor_limits == (0, 0)),
            )
            if shown != wanted:
                bad = [
                    at
                    for at in range(0, len(shown), 4)
                    if shown[at : at + 4] != wanted[at : at + 4]
                ]
                first = divmod(bad[0] // 4, screen.size[0])
                raise AssertionError(
                    f"{screen.name} {screen.size}: {len(bad)} pixels differ, first at row, column"
                    f" {first}: {shown[bad[0] : bad[0] + 4].hex()} for"
                    f" {wanted[bad[0] : bad[0] + 4].hex()}; {self.desktop.list()}"
                )


@pytest.mark.fuzz
@pytest.mark.parametrize("planes", [False, True], ids=["painted", "on planes"])
def test_what_is_painted_bit_by_bit_is_what_one_painting_shows(planes: bool) -> None:
    for seed in range(rounds(60, 500)):
        scene = Scene(random.Random(seed), planes=planes)
        for _ in range(60):
            for _ in range(scene.rng.randint(1, 3)):
                scene.step()
            try:
                scene.look()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}") from error


_RECTS = st.lists(
    st.builds(
        Rect, st.integers(-9, 30), st.integers(-9, 30), st.integers(1, 20), st.integers(1, 20)
    ),
    max_size=12,
)


def cells(rects: list[Rect]) -> set[tuple[int, int]]:
    return {
        (x, y) for one in rects for x in range(one.x, one.right) for y in range(one.y, one.bottom)
    }


@given(_RECTS)
@settings(max_examples=100, deadline=None)
def test_disjoint_rectangles_hold_the_same_pixels_once(rects: list[Rect]) -> None:
    apart = disjoint(rects)
    assert cells(apart) == cells(rects)
    assert area(apart) == len(cells(rects))


def test_events_of_a_scene_are_only_for_windows_that_are_there() -> None:
    scene = Scene(random.Random(5))
    for _ in range(200):
        scene.step()
    for window in scene.desktop.list():
        assert len(window.events) == len(events(window))
