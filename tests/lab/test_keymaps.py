"""Our keymaps beside those of libxkbcommon, which every desktop of Linux types with."""

from __future__ import annotations

import ctypes
import ctypes.util

import pytest

from daemons.inputd.keymaps import KEYMAPS
from daemons.inputd.linuxkeys import KEYS
from redbear_host.abi.scancodes import Key

LAYOUTS = {
    "dvorak": ("us", "dvorak"),
    "us": ("us", ""),
    "gb": ("gb", ""),
    "azerty": ("fr", "azerty"),
    "bepo": ("fr", "bepo"),
    "it": ("it", ""),
    "de": ("de", ""),
}
DEAD = {  # X's names of dead keys, and Unicode's marks
    "dead_grave": "\u0300", "dead_acute": "\u0301", "dead_circumflex": "\u0302",
    "dead_tilde": "\u0303", "dead_macron": "\u0304", "dead_breve": "\u0306",
    "dead_diaeresis": "\u0308", "dead_abovering": "\u030a", "dead_caron": "\u030c",
    "dead_cedilla": "\u0327", "dead_ogonek": "\u0328",
}  # fmt: skip


class Names(ctypes.Structure):
    _fields_ = [(n, ctypes.c_char_p) for n in ("rules", "model", "layout", "variant", "options")]


@pytest.fixture(scope="module")
def xkb():
    found = ctypes.util.find_library("xkbcommon")
    assert found, "apt install libxkbcommon0 xkb-data"
    library = ctypes.CDLL(found)
    for name in ("xkb_context_new", "xkb_keymap_new_from_names"):
        getattr(library, name).restype = ctypes.c_void_p
    library.xkb_context_new.argtypes = [ctypes.c_int]
    library.xkb_keymap_new_from_names.argtypes = [
        ctypes.c_void_p,
        ctypes.POINTER(Names),
        ctypes.c_int,
    ]
    library.xkb_keymap_key_get_syms_by_level.argtypes = [
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32),
        ctypes.POINTER(ctypes.POINTER(ctypes.c_uint32)),
    ]
    return library


def symbol(xkb, keymap, code, level):
    """Return the character, or the mark of a dead key, that X has there; empty for others."""
    found = ctypes.POINTER(ctypes.c_uint32)()
    if not xkb.xkb_keymap_key_get_syms_by_level(keymap, code + 8, 0, level, ctypes.byref(found)):
        return ""
    name = ctypes.create_string_buffer(64)
    xkb.xkb_keysym_get_name(found[0], name, 64)
    if name.value.startswith(b"dead_"):
        return DEAD.get(name.value.decode(), "")
    number = xkb.xkb_keysym_to_utf32(found[0])
    return chr(number) if number else ""


@pytest.mark.parametrize("name", KEYMAPS)
def test_a_keymap_types_what_x_types(xkb, name):
    layout, variant = LAYOUTS[name]
    names = Names(b"evdev", b"pc105", layout.encode(), variant.encode(), b"")
    theirs = xkb.xkb_keymap_new_from_names(xkb.xkb_context_new(0), ctypes.byref(names), 0)
    assert theirs, "xkb-data has no such layout"
    codes = {key: code for code, key in KEYS.items() if key <= Key.LESS}
    ours = KEYMAPS[name]
    different, compared = [], 0
    for number, level in enumerate(ours.levels):
        for key, character in level.items():
            if key not in codes or character in " \x1b\x7f\n\t":
                continue
            compared += 1
            found = symbol(xkb, theirs, codes[key], number)
            if found != character:
                different.append((Key(key).name, number, character, found))
    assert not different
    assert compared >= 94
