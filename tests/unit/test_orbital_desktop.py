"""Windows: their places, order, focus and flags, and what they are told."""

from __future__ import annotations

import random
import time

import pytest
from fuzzing import rounds
from orbital_rig import (
    Memory,
    at,
    click,
    colour_of,
    events,
    key,
    kinds,
    open_window,
    pixels_of,
    press,
    whole,
)

from orbital.desktop import Desktop
from orbital.events import MOST, EventQueue
from orbital.rect import Rect
from orbital.stack import level
from orbital.window import MAX_TITLE
from redbear_host.abi.orbital import EventCode, OrbitalEvent
from redbear_host.abi.orbital import WindowFlag as F


def desk(width: int = 640, height: int = 480, scale: int = 160) -> tuple[Desktop, Memory]:
    desktop, screen = Desktop(), Memory(width, height)
    desktop.add_output(screen, scale=scale)
    return desktop, screen


# -- events ----------------------------------------------------------------------------------------


def test_events_are_joined_where_only_the_last_or_the_sum_matters() -> None:
    queue = EventQueue()
    for code in (EventCode.MOUSE, EventCode.RESIZE, EventCode.SCROLL, EventCode.MOUSE_RELATIVE):
        queue.put(code, 1, 2)
        queue.put(code, 3, -5)
    assert len(queue) == 4
    data = queue.take(9)
    found = [OrbitalEvent.load(data, at) for at in range(0, 96, 24)]
    assert [(one.a, one.b) for one in found] == [(3, -5), (3, -5), (4, -3), (4, -3)]


def test_a_movement_before_a_press_stays_before_it() -> None:
    queue = EventQueue()
    queue.put(EventCode.MOUSE, 1, 1)
    queue.put(EventCode.BUTTON, 1, 0)
    queue.put(EventCode.MOUSE, 2, 2)
    assert len(queue) == 3


def test_a_size_replaces_one_that_nobody_has_read() -> None:
    queue = EventQueue()
    queue.put(EventCode.RESIZE, 1, 1)
    queue.put(EventCode.BUTTON, 1, 0)
    queue.put(EventCode.RESIZE, 2, 2)
    assert OrbitalEvent.load(queue.take(1)).a == 2
    queue.put(EventCode.RESIZE, 3, 3)
    assert len(queue) == 2


def test_who_never_reads_loses_the_oldest_and_no_memory_grows() -> None:
    queue = EventQueue()
    for number in range(5 * MOST):
        queue.put(EventCode.KEY, number, 0)
    assert (len(queue), queue.lost) == (MOST, 4 * MOST)
    assert OrbitalEvent.load(queue.take(1)).a == 4 * MOST


# -- opening ---------------------------------------------------------------------------------------


def test_windows_without_a_place_start_in_the_middle_and_cascade() -> None:
    desktop, _ = desk()
    places = [open_window(desktop, "", (-1, -1, 200, 120)).place[:2] for _ in range(3)]
    assert places == [(220, 156), (252, 188), (284, 220)]


def test_a_place_that_was_asked_for_is_taken() -> None:
    desktop, _ = desk()
    assert open_window(desktop, "", (0, 7, 10, 10)).place == (0, 7, 10, 10)
    assert open_window(desktop, "", (-5, 7, 10, 10)).place == (-5, 7, 10, 10)


def test_a_resizable_window_is_no_larger_than_what_is_above_the_task_bar() -> None:
    desktop, _ = desk()
    assert desktop.fit(F.RESIZABLE, 5000, 5000) == (640, 432)
    assert desktop.fit(F(0), 5000, 5000) == (5000, 5000)


@pytest.mark.parametrize("size", [(-1, 5), (5, -1), (32768, 1), (1, 1 << 40)])
def test_sizes_that_no_window_has_are_refused(size: tuple[int, int]) -> None:
    desktop, _ = desk()
    with pytest.raises(ValueError, match="a window of"):
        desktop.fit(F(0), *size)
    with pytest.raises(ValueError, match="a window of"):
        desktop.open(F(0), 0, 0, *size, "", bytearray(100))
    assert not desktop.list()


def test_memory_that_is_too_short_is_refused_and_nothing_changes() -> None:
    desktop, screen = desk()
    with pytest.raises(ValueError, match="bytes for"):
        desktop.open(F(0), 0, 0, 10, 10, "", bytearray(399))
    window = open_window(desktop, "", (0, 0, 10, 10))
    with pytest.raises(ValueError, match="bytes for"):
        desktop.resize(window, 100, 100, bytearray(39_999))
    assert window.place == (0, 0, 10, 10)
    desktop.draw()
    assert screen.picture() == whole(desktop, cursor=True)


def test_new_windows_take_the_focus_and_closing_gives_it_back() -> None:
    desktop, _ = desk()
    first, second = open_window(desktop), open_window(desktop)
    background = open_window(desktop, "b")
    assert desktop.focused is second
    assert events(background) == []
    assert events(first) == [("FOCUS", 1, 0), ("FOCUS", 0, 0)]
    desktop.close(second)
    assert desktop.focused is first
    assert events(first) == [("FOCUS", 1, 0)]
    desktop.close(first)
    assert desktop.focused is None


def test_the_focus_goes_to_who_had_it_last_not_to_who_is_in_front() -> None:
    desktop, _ = desk()
    front, normal = open_window(desktop, "f"), open_window(desktop)
    third = open_window(desktop)
    desktop.focus(front)
    desktop.focus(normal)
    desktop.focus(third)
    desktop.close(third)
    assert desktop.focused is normal


def test_three_levels_hold_whatever_is_focused() -> None:
    rng = random.Random(3)
    desktop, _ = desk()
    windows = [open_window(desktop, rng.choice(("", "b", "f"))) for _ in range(20)]
    for _ in range(300):
        window = rng.choice(windows)
        what = rng.randint(0, 2)
        if what == 0:
            desktop.focus(window)
        elif what == 1:
            desktop.set_flags(window, rng.choice((F.BACK, F.FRONT)), rng.random() < 0.5)
        else:
            click(desktop, rng.randint(0, 639), rng.randint(0, 479))
        order = [level(one) for one in desktop.list()]
        assert order == sorted(order)
        assert sorted(one.id for one in desktop.list()) == [one.id for one in windows]
        focused = desktop.focused
        assert focused is None or not focused.behind


def test_titles_are_cut_and_shown_to_the_list() -> None:
    desktop, _ = desk()
    window = open_window(desktop, title="x" * (1 << 20))
    assert len(window.title) == MAX_TITLE
    seen: list[str] = []
    desktop.on_list = lambda: seen.append(desktop.list()[0].title)
    desktop.set_title(window, "new")
    assert seen == ["new"]
    desktop.draw()


def test_a_closed_window_lets_its_memory_go() -> None:
    desktop, _ = desk()
    memory = colour_of(0, 10, 10)
    window = desktop.open(F(0), 0, 0, 10, 10, "", memory)
    with pytest.raises(BufferError):
        memory.extend(b"x")
    desktop.draw()
    desktop.resize(window, 20, 20, bytearray(1600))
    memory.extend(b"x")
    desktop.close(window)
    desktop.close(window)
    desktop.draw()


def test_a_resize_keeps_what_both_sizes_hold() -> None:
    desktop, _ = desk()
    window = open_window(desktop, "", (0, 0, 3, 2), 0xFF112233)
    desktop.resize(window, 2, 3, bytearray(24))
    words = pixels_of(window).cast("I").tolist()
    assert words == [0xFF112233] * 4 + [0, 0]


def test_a_resize_of_a_window_larger_than_all_screens_costs_no_more_than_they_have() -> None:
    desktop, _ = desk()  # 640 by 480 pixels
    window = open_window(desktop, "", (0, 0, 1280, 1000), 0xFF112233)
    desktop.resize(window, 1280, 999, bytearray(1280 * 999 * 4))
    words = pixels_of(window).cast("I")
    assert words[1280 * 240 - 1] == 0xFF112233
    assert words[1280 * 240] == 0


# -- flags and sizes -------------------------------------------------------------------------------


def test_a_window_is_maximised_and_restored_by_asking_its_owner() -> None:
    desktop, _ = desk()
    window = open_window(desktop, "r", (50, 60, 100, 80))
    events(window)
    desktop.set_flags(window, F.MAXIMIZED, True)
    assert events(window) == [("MOVE", 0, 28), ("RESIZE", 640, 404)]
    assert window.place == (0, 28, 100, 80)
    desktop.resize(window, 640, 404, bytearray(640 * 404 * 4))
    desktop.set_flags(window, F.MAXIMIZED, False)
    assert events(window) == [("MOVE", 50, 60), ("RESIZE", 100, 80)]


def test_a_full_screen_window_has_the_whole_screen_and_no_title_bar() -> None:
    desktop, _ = desk()
    window = open_window(desktop, "", (50, 60, 100, 80))
    events(window)
    desktop.set_flags(window, F.FULLSCREEN, True)
    assert events(window) == [("MOVE", 0, 0), ("RESIZE", 640, 480)]
    assert not window.decorated


def test_hidden_and_minimised_windows_lose_the_focus_and_get_it_back() -> None:
    desktop, _ = desk()
    first, second = open_window(desktop), open_window(desktop)
    desktop.set_flags(second, F.HIDDEN, True)
    assert desktop.focused is first
    desktop.minimise(first)
    assert desktop.focused is None
    desktop.minimise(first, False)
    assert desktop.focused is first
    desktop.set_flags(second, F.HIDDEN, False)
    assert desktop.focused is second


def test_a_display_that_changes_is_told_and_windows_stay_in_reach() -> None:
    desktop, screen = desk()
    window = open_window(desktop, "", (600, 400, 30, 30))
    full = open_window(desktop, "rs", (0, 0, 640, 480))
    desktop.set_flags(full, F.FULLSCREEN, True)
    events(window), events(full)
    screen.set_mode(320, 200)
    assert ("SCREEN", 320, 200) in events(window)
    assert window.place & Rect(0, 0, 320, 200)
    assert events(full) == [("RESIZE", 320, 200), ("SCREEN", 320, 200)]


def test_a_scale_that_changes_is_told_to_who_draws_at_it() -> None:
    desktop, _ = desk()
    plain = open_window(desktop, "", (0, 30, 40, 30))
    scaling = open_window(desktop, "s", (0, 30, 40, 30))
    assert events(scaling)[0] == ("SCALE", 160, 160)
    events(plain)
    desktop.arrange("memory", (0, 0), 240)
    assert events(plain) == [("SCREEN", 427, 320)]
    assert events(scaling) == [("SCALE", 240, 160), ("RESIZE", 60, 45)]
    desktop.resize(scaling, 60, 45, bytearray(60 * 45 * 4))
    assert scaling.place == (0, 30, 40, 30)


def test_two_outputs_at_one_place_show_the_same() -> None:
    desktop, one = Desktop(), Memory(200, 100, name="one")
    two = Memory(200, 100, name="two")
    desktop.add_output(one, (0, 0))
    desktop.add_output(two, (0, 0))
    open_window(desktop, "", (20, 40, 60, 30))
    desktop.draw()
    assert one.picture() == two.picture()


def test_windows_move_to_the_screen_that_is_left() -> None:
    desktop, one = Desktop(), Memory(200, 100, name="one")
    two = Memory(200, 100, name="two")
    desktop.add_output(one)
    desktop.add_output(two)
    window = open_window(desktop, "", (250, 40, 60, 30))
    desktop.remove_output(two)
    assert window.place & Rect(0, 0, 200, 100)
    desktop.remove_output(one)
    desktop.draw()
    desktop.add_output(one)
    desktop.draw()
    assert one.picture() == whole(desktop, "one", cursor=True)


def test_a_screen_that_goes_and_one_without_pixels_do_no_harm() -> None:
    desktop, screen = desk()
    open_window(desktop)
    screen.take_size(0, 0)
    screen.on_changed()
    desktop.draw()
    at(desktop, 5, 5)
    screen.take_size(64, 48)
    screen.on_changed()
    desktop.draw()
    assert screen.picture() == whole(desktop, cursor=True)


# -- painting --------------------------------------------------------------------------------------


def test_a_full_screen_window_is_shown_by_a_plane_and_not_painted() -> None:
    desktop, screen = Desktop(), Memory(100, 80, planes=1, cursor=(64, 64))
    desktop.add_output(screen)
    open_window(desktop, "", (10, 40, 30, 20))
    window = open_window(desktop, "l", (0, 0, 100, 80), lent_by=screen)
    desktop.draw()
    assert [layer.place for layer in screen.shown] == [Rect(0, 0, 100, 80)]
    assert set(screen.buffers[0]) == {0xEE}, "nothing was painted"
    open_window(desktop, "l", (5, 5, 10, 10))
    desktop.draw()
    assert screen.shown == [], "something is in front of it"
    assert screen.picture() == whole(desktop)
    desktop.close(window)


def test_a_window_that_is_hidden_by_others_costs_no_frame() -> None:
    desktop, screen = Desktop(), Memory(300, 200, cursor=(64, 64))
    desktop.add_output(screen)
    behind = open_window(desktop, "", (50, 50, 20, 20))
    open_window(desktop, "l", (0, 0, 300, 200))
    desktop.draw()
    frames = screen.frames
    desktop.damage(behind)
    desktop.draw()
    assert screen.frames == frames


def test_the_cursor_moves_on_its_plane_without_a_frame() -> None:
    desktop, screen = Desktop(), Memory(300, 200, cursor=(64, 64))
    desktop.add_output(screen)
    desktop.draw()
    frames = screen.frames
    at(desktop, 77, 66)
    desktop.draw()
    assert (screen.frames, screen.sprite_at) == (frames, (76, 65))
    window = open_window(desktop, "", (0, 40, 300, 160))
    desktop.set_pointer(window, shown=False)
    desktop.draw()
    assert screen.sprite is None


def test_work_is_announced_once_before_it_is_drawn() -> None:
    desktop, _ = desk()
    desktop.draw()
    calls: list[int] = []
    desktop.on_work = lambda: calls.append(1)
    window = open_window(desktop)
    desktop.damage(window)
    assert len(calls) == 1
    desktop.draw()
    desktop.damage(window, [Rect(0, 0, 1, 1)])
    assert len(calls) == 2


def test_ten_thousand_windows_stay_responsive() -> None:
    desktop, screen = Desktop(), Memory(1024, 768)
    desktop.add_output(screen)
    rng = random.Random(1)
    memory = bytearray(64 * 48 * 4)
    start = time.process_time()
    for _ in range(10_000):
        place = (rng.randint(0, 960), rng.randint(28, 700))
        flags = F.TRANSPARENT if rng.random() < 0.3 else F(0)
        window = desktop.open(flags, *place, 64, 48, "one of many", memory)
    desktop.draw()
    opened = time.process_time() - start
    start = time.process_time()
    for step in range(20):
        at(desktop, 100 + step, 100)
        desktop.put(window, 500 + step, 300)
        key(desktop, 0x1E, character="a")
        desktop.draw()
    each = (time.process_time() - start) / 20
    start = time.process_time()
    for window in desktop.list():
        desktop.damage(window)
    desktop.draw()
    drawn = time.process_time() - start
    assert opened < 20
    assert drawn < 5
    assert each < 0.1, f"{each * 1000:.1f} ms for a frame"
    assert screen.picture() == whole(desktop, cursor=True)
    start = time.process_time()
    for window in desktop.list():
        desktop.close(window)
    assert time.process_time() - start < 5


# -- hostile numbers -------------------------------------------------------------------------------


_NUMBERS = (
    0,
    1,
    -1,
    7,
    99,
    639,
    640,
    32767,
    32768,
    65535,
    1 << 31,
    (1 << 31) - 1,
    -(1 << 31),
    1 << 63,
)
_ODD = (*_NUMBERS, -(1 << 63), 1 << 90)


@pytest.mark.fuzz
def test_no_number_of_a_client_breaks_anything() -> None:
    rng = random.Random(9)
    desktop, screen = Desktop(), Memory(120, 90, buffers=2)
    desktop.add_output(screen)
    other = Memory(60, 50, name="other")
    desktop.add_output(other, scale=250)

    def number() -> int:
        return rng.choice(_ODD) if rng.random() < 0.6 else rng.randint(-200, 200)

    def memory_for(width: int, height: int) -> bytearray:
        return bytearray(max(0, min(width * height * 4, 1 << 18)))

    for turn in range(rounds(6000)):
        windows = desktop.list()
        window = rng.choice(windows) if windows else None
        what = rng.randint(0, 9)
        try:
            if window is None or (what == 0 and len(windows) < 20):
                size = desktop.fit(F(rng.getrandbits(11)), number(), number())
                memory = memory_for(*size)
                desktop.open(F(rng.getrandbits(11)), number(), number(), *size, "t", memory)
            elif what == 1:
                desktop.move(window, rng.choice((None, number())), rng.choice((None, number())))
            elif what == 2:
                size = number(), number()
                desktop.resize(window, *size, memory_for(*size))
            elif what == 3:
                rects = [Rect(number(), number(), number(), number()) for _ in range(9)]
                desktop.damage(window, rects)
            elif what == 4:
                desktop.set_flags(window, F(rng.getrandbits(11)), rng.random() < 0.5)
            elif what == 5:
                code = rng.randint(0, 22)
                desktop.input(OrbitalEvent(code=code, a=_signed(number()), b=_signed(number())))
            elif what == 6:
                desktop.drag(window, rng.choice(("", "M", "L", "R", "T", "B", "0", "x,1")))
            elif what == 7:
                desktop.set_pointer(
                    window,
                    shown=rng.random() < 0.5,
                    grabs=rng.random() < 0.1,
                    relative=rng.random() < 0.1,
                )
            elif what == 8:
                desktop.resize(window, 10, 10, bytearray(4000), number())
            elif rng.random() < 0.3:
                desktop.close(window)
        except ValueError:
            continue
        if turn % 7 == 0:
            desktop.draw()
            for one in (screen, other):
                if turn % 70 == 0:
                    assert one.picture() == whole(desktop, one.name, cursor=True)


def _signed(number: int) -> int:
    return max(-(1 << 63), min(number, (1 << 63) - 1))


def test_buttons_of_nobody_and_closing_while_held_are_swallowed() -> None:
    desktop, _ = desk()
    first = open_window(desktop, "l", (0, 0, 100, 100))
    second = open_window(desktop, "l", (200, 0, 100, 100))
    at(desktop, 250, 50)
    press(desktop, 1)
    desktop.close(second)
    events(first)
    at(desktop, 50, 50)
    press(desktop, 0)
    assert "BUTTON" not in kinds(first)
    press(desktop, 1)
    assert "BUTTON" in kinds(first)
