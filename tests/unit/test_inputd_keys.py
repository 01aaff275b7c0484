"""Keys, keymaps, and what Linux's devices say as events of Orbital."""

from __future__ import annotations

import random
import re
import unicodedata

import pytest
from fuzzing import rounds
from input_rig import BUTTON, KEY, MOUSE, RELATIVE, SCROLL, press, release

from daemons.inputd.keymaps import KEYMAPS
from daemons.inputd.linuxkeys import KEYS
from daemons.inputd.translator import EV_ABS, EV_KEY, EV_REL, EV_SYN, Shape, Translator
from daemons.inputd.typist import COMPOSED, Typist
from redbear_host.abi.orbital import EventCode
from redbear_host.abi.scancodes import Key

AXIS, PAD = int(EventCode.CONTROLLER_AXIS), int(EventCode.CONTROLLER_BUTTON)

# Typed by hand from linux/input-event-codes.h and orbclient's event.rs: Linux's code > Orbital's.
BY_HAND = """
HOME 102>47 UP 103>48 PGUP 104>49 LEFT 105>4B RIGHT 106>4D END 107>4F DOWN 108>50 PGDN 109>51
INS 110>52 DEL 111>53 KP7 71>77 KP8 72>78 KP9 73>79 KPMINUS 74>7B KP4 75>74 KP5 76>75 KP6 77>76
KPPLUS 78>7C KP1 79>71 KP2 80>72 KP3 81>73 KP0 82>70 KPDOT 83>7A KPASTERISK 55>7D KPSLASH 98>7E
KPENTER 96>7F SYSRQ 99>37 RIGHTCTRL 97>1D RIGHTALT 100>64 LEFTMETA 125>5B RIGHTMETA 126>5C
COMPOSE 127>5D POWER 116>5E SLEEP 142>5F MUTE 113>A0 VOLUMEDOWN 114>AE VOLUMEUP 115>B0
PLAYPAUSE 164>A2 STOPCD 166>A4 NEXTSONG 163>99 PREVIOUSSONG 165>90 F11 87>57 F12 88>58 102ND 86>56
"""
ALIKE = [*range(1, 55), *range(56, 71)]


def test_every_key_of_linux_has_the_number_that_was_typed_by_hand():
    found = {int(c): int(k, 16) for c, k in re.findall(r"(\d+)>([0-9A-F]{2})", BY_HAND)}
    assert found | {code: code for code in ALIKE} == KEYS


def shape(**more):
    return Shape(3, **{k: frozenset(v) if k != "ranges" else v for k, v in more.items()})


def report(translator, *events):
    for event in events:
        assert translator.take(*event) is None
    return translator.take(EV_SYN, 0, 0)


def test_keys_repeat_as_presses_and_two_controls_are_one():
    keyboard = Translator(shape(keys=range(128)))
    down = [report(keyboard, (EV_KEY, code, 1)) for code in (29, 97)]
    assert down == [[press(Key.CTRL)], [press(Key.CTRL)]]
    assert report(keyboard, (EV_KEY, 29, 0)) == []
    assert report(keyboard, (EV_KEY, 97, 0)) == [release(Key.CTRL)]
    assert report(keyboard, (EV_KEY, 30, 2)) == [press(Key.A)]
    assert report(keyboard, (EV_KEY, 240, 1)) == []


def test_a_mouse_moves_once_a_report_and_says_all_its_buttons():
    mouse = Translator(shape(keys=(0x110, 0x111, 0x112), axes=(0, 1, 8, 6)))
    assert report(mouse, (EV_KEY, 0x110, 1), (EV_REL, 0, 3), (EV_REL, 1, -4), (EV_REL, 0, 1)) == [
        (RELATIVE, 4, -4),
        (BUTTON, 1, 0),
    ]
    assert report(mouse, (EV_KEY, 0x111, 1), (EV_KEY, 0x112, 1)) == [(BUTTON, 5, 0), (BUTTON, 7, 0)]
    assert report(mouse, (EV_REL, 8, 1)) == [(SCROLL, 0, 1)]
    assert report(mouse, (EV_REL, 6, -2)) == [(SCROLL, -2, 0)]


def test_a_fine_wheel_counts_parts_and_begins_anew_when_it_turns_back():
    mouse = Translator(shape(axes=(0, 1, 8, 11)))
    assert report(mouse, (EV_REL, 11, 60)) == []
    assert report(mouse, (EV_REL, 11, 60), (EV_REL, 8, 1)) == [(SCROLL, 0, 1)]
    assert report(mouse, (EV_REL, 11, 100)) == []
    assert report(mouse, (EV_REL, 11, -120), (EV_REL, 8, -1)) == [(SCROLL, 0, -1)]
    assert report(mouse, (EV_REL, 11, -300), (EV_REL, 8, -2)) == [(SCROLL, 0, -2)]


@pytest.mark.parametrize(
    ("low", "high", "value", "place"),
    [(0, 32767, 16384, 32768), (0, 32767, 32767, 65535), (-100, 100, -100, 0), (0, 10, 99, 65535)],
)
def test_absolute_pointers_are_told_over_the_whole_display(low, high, value, place):
    tablet = Translator(shape(keys=(0x110,), ranges={0: (low, high), 1: (0, 4)}))
    assert report(tablet, (EV_ABS, 0, value)) == [], "half a place is none"
    assert report(tablet, (EV_ABS, 1, 2)) == [(MOUSE, place, 32767)]


def test_a_touched_screen_is_a_left_button_and_a_touchpad_slides():
    both = {0: (0, 1000), 1: (0, 1000)}
    screen = Translator(shape(keys=(0x14A,), ranges=both))
    touched = report(screen, (EV_ABS, 0, 500), (EV_ABS, 1, 500), (EV_KEY, 0x14A, 1))
    assert touched == [(MOUSE, 32767, 32767), (BUTTON, 1, 0)]
    pad = Translator(shape(keys=(0x110, 0x145, 0x14A), ranges=both))
    assert report(pad, (EV_KEY, 0x14A, 1), (EV_ABS, 0, 100), (EV_ABS, 1, 100)) == []
    assert report(pad, (EV_ABS, 0, 102)) == [(RELATIVE, 3, 0)]
    assert report(pad, (EV_KEY, 0x14A, 0)) == []
    assert report(pad, (EV_KEY, 0x14A, 1), (EV_ABS, 0, 900)) == [], "the finger was lifted"
    assert report(pad, (EV_KEY, 0x110, 1)) == [(BUTTON, 1, 0)]


def test_game_controllers_have_an_id_axes_and_buttons():
    pad = Translator(shape(keys=(0x130, 0x131), ranges={0: (-128, 127), 5: (0, 255), 16: (-1, 1)}))
    said = report(pad, (EV_KEY, 0x130, 1), (EV_ABS, 0, 127), (EV_ABS, 5, 0), (EV_ABS, 16, 0))
    assert said == [
        (AXIS, 3, 32767),
        (AXIS, 3 | 5 << 32, -32768),
        (AXIS, 3 | 16 << 32, -1),
        (PAD, 3 | 0x130 << 32, 1),
    ]
    assert report(pad, (EV_KEY, 0x130, 2)) == []
    assert report(pad, (EV_KEY, 0x130, 0)) == [(PAD, 3 | 0x130 << 32, 0)]


def test_after_lost_events_nothing_is_held_any_more():
    keyboard = Translator(shape(keys=range(128)))
    report(keyboard, (EV_KEY, 30, 1))
    assert keyboard.take(EV_SYN, 3, 0) is None
    assert report(keyboard, (EV_KEY, 31, 1)) == []
    assert keyboard.overran
    assert not keyboard.down
    keyboard.overran = False
    assert report(keyboard, (EV_KEY, 31, 1)) == [press(Key.S)]


@pytest.mark.fuzz
def test_events_of_all_types_make_only_sound_records():
    chance = random.Random(7)
    codes = range(0x300)
    full = {code: (-5, chance.randrange(-4, 1 << 20)) for code in range(64)}
    devices = [
        Translator(shape(keys=codes, axes=range(16), ranges=full)),
        Translator(shape(keys=(*range(256), 0x145, 0x14A), axes=range(16), ranges=full)),
        Translator(
            shape(keys=range(256), axes=(0, 1, 8), ranges={0: (0, 1), 1: (-(2**31), 2**31)})
        ),
    ]
    for _ in range(rounds(5000)):
        device = chance.choice(devices)
        kind = chance.choice([EV_SYN, EV_KEY, EV_REL, EV_ABS, chance.randrange(32)])
        code = chance.choice([chance.randrange(16), chance.randrange(0x300)])
        value = chance.choice([0, 1, 2, chance.randrange(-(2**31), 2**31)])
        for record in device.take(kind, code, value) or ():
            assert record[0] in (KEY, MOUSE, BUTTON, SCROLL, RELATIVE, AXIS, PAD)
            if record[0] == MOUSE:
                assert all(0 <= place <= 65535 for place in record[1:])
            if record[0] == AXIS:
                assert -32768 <= record[2] <= 32767
            if record[0] == BUTTON:
                assert 0 <= record[1] <= 7


def typed(keymap, *keys):
    """Type keys; a tuple is (key, shift, alt_gr)."""
    typist = Typist(KEYMAPS[keymap])
    out = ""
    for key in keys:
        number, shift, alt_gr = key if isinstance(key, tuple) else (key, False, False)
        found = typist.press(number, shift, alt_gr, False)
        out += chr(found) if found else ""
    return out


@pytest.mark.parametrize(
    ("keymap", "keys", "text"),
    [
        ("us", (Key.Q, (Key.N2, True, False), Key.BACKSLASH, Key.NUM_7, Key.ENTER), "q@\\7\n"),
        ("gb", ((Key.N3, True, False), (Key.N4, False, True), Key.BACKSLASH), "£€#"),
        ("dvorak", (Key.S, Key.D, Key.F, Key.Q), "oeu'"),
        ("azerty", (Key.Q, Key.N2, (Key.N0, False, True), (Key.N0, True, False)), "aé@0"),
        ("bepo", (Key.Q, Key.W, (Key.SPACE, False, True), (Key.N1, True, False)), "bé_1"),
        ("it", (Key.SEMICOLON, (Key.SEMICOLON, False, True), (Key.BRACE_OPEN, True, True)), "ò@{"),
        ("de", (Key.Y, Key.Z, (Key.Q, False, True), (Key.LESS, False, True)), "zy@|"),
        ("de", (Key.TICK, Key.A, Key.EQUALS, Key.E, Key.TICK, Key.SPACE), "âé^"),
        ("de", (Key.TICK, Key.TICK, Key.TICK, Key.X), "^x"),
        ("azerty", (Key.BRACE_OPEN, Key.E, (Key.BRACE_OPEN, True, False), Key.I), "êï"),
        ("us", (Key.CAPS, Key.A, (Key.A, True, False), Key.N1, Key.CAPS, Key.A), "Aa1a"),
        ("azerty", (Key.CAPS, Key.A, Key.N1), "Q&"),
    ],
)
def test_keymaps_type(keymap, keys, text):
    assert typed(keymap, *keys) == text


def test_dead_keys_compose_what_unicode_composes():
    for mark, (alone, letters, composed) in COMPOSED.items():
        assert len(alone) == 1
        for letter, result in zip(letters, composed, strict=True):
            assert unicodedata.normalize("NFC", letter + mark) == result


def test_every_dead_key_of_a_layout_can_be_composed():
    marks = {
        character
        for keymap in KEYMAPS.values()
        for level in keymap.levels
        for character in level.values()
        if unicodedata.combining(character)
    }
    assert marks <= COMPOSED.keys()


def test_keymaps_are_numbered_as_redox_numbers_them():
    assert list(KEYMAPS) == ["dvorak", "us", "gb", "azerty", "bepo", "it", "de"]
