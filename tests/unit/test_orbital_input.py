"""Who hears of keys and of the pointer, and what decorations and Super do."""

from __future__ import annotations

import random

import pytest
from orbital_rig import Memory, at, chord, click, events, key, kinds, open_window, press

from orbital.desktop import Desktop, Volume
from orbital.frame import Part, part_at
from orbital.pointer import Shape
from redbear_host.abi.orbital import POINTER_RANGE, EventCode, OrbitalEvent
from redbear_host.abi.orbital import WindowFlag as F
from redbear_host.abi.scancodes import Key

A = 0x1E


def desk() -> Desktop:
    desktop = Desktop()
    desktop.add_output(Memory(640, 480))
    at(desktop, 639, 479)
    return desktop


# -- the pointer -----------------------------------------------------------------------------------


def test_absolute_devices_reach_every_corner() -> None:
    desktop = desk()
    for value, corner in ((0, (0, 0)), (POINTER_RANGE, (639, 479))):
        desktop.input(OrbitalEvent(code=EventCode.MOUSE, a=value, b=value))
        assert (desktop.pointer.x, desktop.pointer.y) == corner


def test_a_device_of_one_display_reaches_only_that() -> None:
    desktop = desk()
    desktop.add_output(Memory(100, 100, name="right"))
    desktop.input(OrbitalEvent(code=EventCode.MOUSE, a=0, b=0), on="right")
    assert (desktop.pointer.x, desktop.pointer.y) == (640, 0)
    desktop.input(OrbitalEvent(code=EventCode.MOUSE_RELATIVE, a=-5, b=300))
    assert (desktop.pointer.x, desktop.pointer.y) == (635, 300)


def test_motion_goes_to_the_window_on_top_with_its_own_coordinates() -> None:
    desktop = desk()
    below = open_window(desktop, "l", (0, 0, 100, 100))
    above = open_window(desktop, "l", (50, 50, 100, 100))
    events(below), events(above)
    at(desktop, 60, 70)
    assert events(above) == [("HOVER", 1, 0), ("MOUSE", 10, 20)]
    assert events(below) == []
    at(desktop, 10, 20)
    assert events(above) == [("HOVER", 0, 0)]
    assert events(below) == [("HOVER", 1, 0), ("MOUSE", 10, 20)]


def test_while_a_button_is_held_all_goes_to_where_it_was_pressed() -> None:
    desktop = desk()
    one = open_window(desktop, "l", (0, 0, 100, 100))
    two = open_window(desktop, "l", (200, 0, 100, 100))
    at(desktop, 50, 50)
    press(desktop, 1)
    events(one), events(two)
    at(desktop, 250, 60)
    press(desktop, 3)
    press(desktop, 2)
    press(desktop, 0)
    assert events(one) == [
        ("MOUSE", 250, 60),
        ("BUTTON", 3, 0),
        ("BUTTON", 2, 0),
        ("BUTTON", 0, 0),
        ("HOVER", 0, 0),
    ]
    assert events(two) == [("HOVER", 1, 0)]


def test_a_click_focuses_and_raises_but_not_what_is_behind_all() -> None:
    desktop = desk()
    back = open_window(desktop, "bl", (0, 0, 640, 480))
    one = open_window(desktop, "l", (0, 0, 100, 100))
    two = open_window(desktop, "l", (50, 50, 100, 100))
    click(desktop, 10, 10)
    assert desktop.focused is one
    assert desktop.list()[:2] == [one, two]
    click(desktop, 400, 400)
    assert desktop.focused is one
    assert kinds(back)[-2:] == ["BUTTON", "BUTTON"]


def test_the_wheel_turns_in_the_window_under_the_pointer() -> None:
    desktop = desk()
    under = open_window(desktop, "l", (0, 0, 100, 100))
    focused = open_window(desktop, "l", (200, 0, 100, 100))
    at(desktop, 50, 50)
    events(under), events(focused)
    desktop.input(OrbitalEvent(code=EventCode.SCROLL, a=0, b=-1))
    desktop.input(OrbitalEvent(code=EventCode.SCROLL, a=0, b=-2))
    assert events(under) == [("SCROLL", 0, -3)]
    assert events(focused) == []


def test_a_grab_holds_the_pointer_while_its_window_has_the_focus() -> None:
    desktop = desk()
    window = open_window(desktop, "l", (100, 100, 50, 50))
    other = open_window(desktop, "l", (300, 100, 50, 50))
    desktop.set_pointer(window, grabs=True)
    at(desktop, 320, 120)
    assert (desktop.pointer.x, desktop.pointer.y) == (320, 120), "it has no focus yet"
    desktop.focus(window)
    at(desktop, 600, 10)
    assert (desktop.pointer.x, desktop.pointer.y) == (149, 100)
    events(window), events(other)
    press(desktop, 1)
    press(desktop, 0)
    assert kinds(window) == ["BUTTON", "BUTTON"]
    assert "BUTTON" not in kinds(other)
    desktop.set_pointer(window, grabs=False)
    at(desktop, 600, 10)
    assert desktop.pointer.x == 600


def test_a_relative_window_gets_movements_and_the_pointer_stays() -> None:
    desktop = desk()
    window = open_window(desktop, "l", (100, 100, 50, 50))
    at(desktop, 110, 110)
    desktop.set_pointer(window, relative=True)
    assert desktop.pointer.shape == Shape.HIDDEN
    events(window)
    desktop.input(OrbitalEvent(code=EventCode.MOUSE_RELATIVE, a=300, b=-7))
    at(desktop, 112, 109)
    assert events(window) == [("MOUSE_RELATIVE", 302, -8)]
    assert (desktop.pointer.x, desktop.pointer.y) == (110, 110)


def test_a_window_under_a_still_pointer_hears_of_it() -> None:
    desktop = desk()
    at(desktop, 300, 200)
    window = open_window(desktop, "l", (250, 150, 100, 100))
    desktop.draw()
    assert ("HOVER", 1, 0) in events(window)
    desktop.move(window, 0, 0)
    desktop.draw()
    assert events(window) == [("HOVER", 0, 0)]


# -- decorations -----------------------------------------------------------------------------------


def test_the_parts_of_a_window_are_where_they_are_drawn() -> None:
    desktop = desk()
    window = open_window(desktop, "r", (100, 100, 200, 80))
    where = {
        (150, 110): Part.BODY,
        (110, 80): Part.TITLE,
        (290, 80): Part.CLOSE,
        (272, 80): Part.MAXIMISE,
        (254, 80): Part.MINIMISE,
        (95, 120): Part.LEFT,
        (304, 120): Part.RIGHT,
        (200, 185): Part.BOTTOM,
        (95, 184): Part.BOTTOM_LEFT,
        (304, 184): Part.BOTTOM_RIGHT,
        (91, 120): None,
        (150, 71): None,
        (150, 188): None,
    }
    assert {point: part_at(window, *point) for point in where} == where
    assert part_at(open_window(desktop, "", (100, 100, 200, 80)), 95, 120) is None
    assert part_at(open_window(desktop, "u", (100, 100, 200, 80)), 290, 80) == Part.MINIMISE


def test_the_close_button_asks_the_owner() -> None:
    desktop = desk()
    window = open_window(desktop, "", (100, 100, 200, 80))
    click(desktop, 290, 80)
    assert "QUIT" in kinds(window)
    assert "BUTTON" not in kinds(window)


def test_the_other_buttons_maximise_and_minimise() -> None:
    desktop = desk()
    window = open_window(desktop, "r", (100, 100, 200, 80))
    click(desktop, 272, 80)
    assert window.flags & F.MAXIMIZED
    click(desktop, 640 - 440 - 30, 10)
    events(window)
    desktop.set_flags(window, F.MAXIMIZED, False)
    click(desktop, 254, 80)
    assert window.minimised


def test_a_title_bar_moves_its_window() -> None:
    desktop = desk()
    window = open_window(desktop, "", (100, 100, 200, 80))
    events(window)
    at(desktop, 120, 90)
    press(desktop, 1)
    at(desktop, 140, 120)
    at(desktop, 150, 95)
    press(desktop, 0)
    at(desktop, 300, 300)
    assert window.place[:2] == (130, 105)
    assert events(window) == [("MOVE", 130, 105)]


def test_a_maximised_window_is_taken_off_by_its_title_bar() -> None:
    desktop = desk()
    window = open_window(desktop, "r", (100, 100, 200, 80))
    desktop.set_flags(window, F.MAXIMIZED, True)
    at(desktop, 20, 10)
    press(desktop, 1)
    at(desktop, 60, 50)
    press(desktop, 0)
    assert not window.flags & F.MAXIMIZED
    assert window.place[:2] == (40, 68)


@pytest.mark.parametrize(
    ("start", "by", "asked"),
    [
        ((304, 120), (10, 99), (210, 80)),
        ((200, 184), (9, 20), (200, 100)),
        ((304, 184), (5, 6), (205, 86)),
    ],
)
def test_borders_ask_for_a_size(
    start: tuple[int, int], by: tuple[int, int], asked: tuple[int, int]
) -> None:
    desktop = desk()
    window = open_window(desktop, "r", (100, 100, 200, 80))
    events(window)
    at(desktop, *start)
    press(desktop, 1)
    at(desktop, start[0] + 1, start[1] + 1)
    at(desktop, start[0] + by[0], start[1] + by[1])
    press(desktop, 0)
    assert events(window) == [("RESIZE", *asked)]


def test_the_right_edge_stays_while_the_left_is_pulled() -> None:
    desktop = desk()
    window = open_window(desktop, "r", (100, 100, 200, 80))
    at(desktop, 95, 120)
    press(desktop, 1)
    at(desktop, 65, 120)
    press(desktop, 0)
    assert events(window)[-1] == ("RESIZE", 230, 80)
    desktop.resize(window, 230, 80, bytearray(230 * 80 * 4))
    assert window.place == (70, 100, 230, 80)
    desktop.resize(window, 100, 80, bytearray(100 * 80 * 4))
    assert window.place == (70, 100, 100, 80), "a size of its own wish leaves it where it is"


def test_who_draws_its_own_decorations_is_moved_only_while_it_holds_a_button() -> None:
    desktop = desk()
    window = open_window(desktop, "l", (100, 100, 200, 80))
    desktop.drag(window, "")
    at(desktop, 150, 120)
    assert window.place[:2] == (100, 100)
    press(desktop, 1)
    events(window)
    desktop.drag(window, "M")
    at(desktop, 160, 130)
    press(desktop, 0)
    assert window.place[:2] == (110, 110)
    assert (
        events(window)
        == [("BUTTON", 0, 0), ("MOVE", 110, 110), ("HOVER", 0, 0), ("HOVER", 1, 0)][:2]
    )
    with pytest.raises(ValueError, match="no edge"):
        desktop.drag(window, "0")


# -- the keyboard ----------------------------------------------------------------------------------


def test_keys_go_to_the_focused_window_with_their_text_first() -> None:
    desktop = desk()
    other, window = open_window(desktop), open_window(desktop)
    events(other), events(window)
    key(desktop, A, character="a")
    key(desktop, A, down=False)
    assert events(window) == [
        ("TEXT_INPUT", ord("a"), 0),
        ("KEY", 0, A | 0x100),
        ("KEY", 0, A),
    ]
    assert events(other) == []


@pytest.mark.parametrize("character", ["\n", "\t", "\x1b", "\x7f"])
def test_control_keys_are_no_text_but_keep_their_character(character: str) -> None:
    desktop = desk()
    window = open_window(desktop)
    events(window)
    key(desktop, A, character=character)
    assert events(window) == [("KEY", ord(character), A | 0x100)]


@pytest.mark.parametrize("modifier", [Key.CTRL, Key.ALT])
def test_a_command_is_no_text(modifier: Key) -> None:
    desktop = desk()
    window = open_window(desktop)
    key(desktop, modifier)
    events(window)
    key(desktop, A, character="a")
    assert events(window) == [("KEY", ord("a"), A | 0x100)]


def test_the_release_of_a_key_goes_where_its_press_went() -> None:
    desktop = desk()
    one, two = open_window(desktop), open_window(desktop)
    events(one), events(two)
    key(desktop, A, character="a")
    desktop.focus(one)
    key(desktop, A, down=False)
    assert kinds(two) == ["TEXT_INPUT", "KEY", "FOCUS", "KEY"]
    assert kinds(one) == ["FOCUS"]


def test_leaving_the_keyboard_lets_go_of_all_keys() -> None:
    desktop = desk()
    window = open_window(desktop, "l", (0, 0, 100, 100))
    at(desktop, 5, 5)
    press(desktop, 1)
    key(desktop, A)
    key(desktop, Key.LEFT_SUPER)
    events(window)
    desktop.release_input()
    assert events(window) == [("KEY", 0, A), ("BUTTON", 0, 0)]
    key(desktop, A, character="a")
    assert "TEXT_INPUT" in kinds(window)


def test_super_chords_do_what_they_say() -> None:
    desktop = desk()
    window = open_window(desktop, "r", (104, 100, 200, 80))
    events(window)
    for scancode, wanted in (
        (Key.Q, [("QUIT", 0, 0)]),
        (Key.C, [("CLIPBOARD", 1, 0)]),
        (Key.X, [("CLIPBOARD", 2, 0)]),
        (Key.V, [("CLIPBOARD", 3, 17)]),
        (Key.RIGHT, [("MOVE", 112, 100)]),
        (Key.LEFT, [("MOVE", 96, 100)]),
        (Key.DOWN, [("MOVE", 96, 112)]),
        (Key.M, [("MOVE", 0, 28), ("RESIZE", 640, 404)]),
        (Key.ENTER, [("MOVE", 96, 112), ("RESIZE", 200, 80)]),
    ):
        desktop.keys.clipboard_size = lambda: 17
        chord(desktop, Key.LEFT_SUPER, scancode)
        found = events(window)
        # Nobody answered RESIZE, so restoring has no other size to ask for.
        assert found == wanted or (scancode == Key.ENTER and found == wanted[:1]), scancode


def test_super_shift_and_an_arrow_take_half_of_the_screen() -> None:
    desktop = desk()
    window = open_window(desktop, "r", (100, 100, 200, 80))
    events(window)
    chord(desktop, Key.LEFT_SUPER, Key.LEFT_SHIFT, Key.RIGHT)
    assert events(window) == [("MOVE", 320, 28), ("RESIZE", 320, 404)]
    chord(desktop, Key.LEFT_SUPER, Key.LEFT_SHIFT, Key.ENTER)
    assert window.flags & F.FULLSCREEN


def test_super_tab_goes_through_titled_windows_and_brings_them_back() -> None:
    desktop = desk()
    one, _, three = (open_window(desktop, title=title) for title in ("one", "", "three"))
    desktop.minimise(one)
    desktop.focus(three)
    key(desktop, Key.LEFT_SUPER)
    key(desktop, Key.TAB)
    assert list(desktop.keys.switcher.titles) == ["three", "one"]
    key(desktop, Key.TAB, down=False)
    assert desktop.focused is three
    key(desktop, Key.LEFT_SUPER, down=False)
    assert desktop.focused is one
    assert not one.minimised
    assert not desktop.keys.switcher.titles


def test_volume_is_for_whoever_asked() -> None:
    desktop = desk()
    asked: list[Volume] = []
    desktop.on_volume = asked.append
    for scancode in (Key.BRACE_OPEN, Key.BRACE_CLOSE, Key.BACKSLASH):
        chord(desktop, Key.RIGHT_SUPER, scancode)
    for scancode in (Key.VOLUME_DOWN, Key.VOLUME_UP, Key.MEDIA_MUTE):
        chord(desktop, scancode)
    assert asked == [Volume.DOWN, Volume.UP, Volume.MUTE] * 2


def test_unknown_chords_go_to_the_first_window_that_is_no_background() -> None:
    desktop = desk()
    background, first = open_window(desktop, "b"), open_window(desktop)
    focused = open_window(desktop)
    for window in (background, first, focused):
        events(window)
    chord(desktop, Key.LEFT_SUPER, 0x21)
    assert kinds(first) == ["CHORD+1", "CHORD+1"]
    desktop.close(first)
    events(focused)
    chord(desktop, Key.LEFT_SUPER, 0x21)
    assert kinds(focused) == ["CHORD+1", "CHORD+1"]
    assert kinds(background) == []


@pytest.mark.parametrize("flags", ["fl", "bfl", "bflu"])
def test_who_covers_the_screen_in_front_of_all_can_be_put_away(flags: str) -> None:
    desktop = desk()
    below = open_window(desktop, "", (50, 50, 100, 100))
    cover = open_window(desktop, flags, (0, 0, 640, 480))
    chord(desktop, Key.LEFT_SUPER, Key.H)
    assert cover.minimised
    assert desktop.focused is below
    desktop.set_flags(cover, F.HIDDEN, True)
    desktop.set_flags(cover, F.HIDDEN, False)
    assert not cover.showing


def test_to_come_in_front_of_all_is_not_to_have_the_focus() -> None:
    desktop = desk()
    window = open_window(desktop, "", (50, 50, 100, 100))
    focused = open_window(desktop, "", (0, 0, 640, 480))
    desktop.set_flags(window, F.FRONT, True)
    assert desktop.focused is focused


def test_super_and_the_left_button_move_a_window_by_its_middle() -> None:
    desktop = desk()
    window = open_window(desktop, "l", (100, 100, 200, 80))
    events(window)
    key(desktop, Key.LEFT_SUPER)
    at(desktop, 200, 150)
    press(desktop, 1)
    at(desktop, 210, 160)
    press(desktop, 0)
    key(desktop, Key.LEFT_SUPER, down=False)
    assert window.place[:2] == (110, 110)
    assert "BUTTON" not in kinds(window)


def test_the_keypad_is_a_mouse_when_asked() -> None:
    desktop = desk()
    window = open_window(desktop, "l", (0, 0, 640, 480))
    chord(desktop, Key.LEFT_SUPER, Key.NUM_0)
    at(desktop, 100, 100)
    events(window)
    chord(desktop, Key.NUM_6)
    chord(desktop, Key.NUM_9)
    chord(desktop, Key.NUM_2)
    chord(desktop, Key.NUM_5)
    assert events(window) == [("MOUSE", 108, 116), ("BUTTON", 1, 0), ("BUTTON", 0, 0)]
    chord(desktop, Key.LEFT_SUPER, Key.NUM_0)
    chord(desktop, Key.NUM_6)
    assert kinds(window) == ["KEY", "KEY"]


def test_no_event_goes_to_a_window_that_should_not_have_it() -> None:
    """Random input: positions and keys are only for windows that show, and that it concerns."""
    for seed in range(30):
        rng = random.Random(seed)
        desktop = desk()
        windows = [
            open_window(
                desktop,
                rng.choice(("", "l", "b", "f", "r")),
                (
                    rng.randint(0, 500),
                    rng.randint(30, 400),
                    rng.randint(20, 200),
                    rng.randint(20, 90),
                ),
            )
            for _ in range(6)
        ]
        pressed_in = None
        for _ in range(150):
            for window in windows:
                events(window)
            what = rng.randint(0, 4)
            focused = desktop.focused
            if what == 0:
                key(desktop, A, character="a")
                takers = [one for one in windows if "KEY" in kinds(one)]
                assert takers == ([] if focused is None else [focused])
                key(desktop, A, down=False)
            elif what == 1:
                one = rng.choice(windows)
                desktop.minimise(one, rng.random() < 0.5)
            elif what == 2:
                at(desktop, rng.randint(0, 639), rng.randint(0, 479))
                x, y = desktop.pointer.x, desktop.pointer.y
                top = next(
                    (one for one in desktop.stack.showing if part_at(one, x, y) is not None), None
                )
                for one in windows:
                    if "MOUSE" in kinds(one):
                        assert one is (pressed_in or top)
                        assert one.showing
            elif what == 3 and not desktop.pointer.buttons:
                press(desktop, 1)
                takers = [one for one in windows if "BUTTON" in kinds(one)]
                assert len(takers) <= 1
                pressed_in = takers[0] if takers else None
            elif desktop.pointer.buttons:
                press(desktop, 0)
                takers = [one for one in windows if "BUTTON" in kinds(one)]
                assert takers in ([], [pressed_in])
                pressed_in = None
