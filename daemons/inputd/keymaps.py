"""Keyboard layouts: which characters the keys have, at four levels.

A layout is four rows, for each of which there are the characters plain, with Shift, with AltGr and
with both.  A space in a row is a key without a character there.  A combining character (U+0300 and
on) is a dead key: it goes onto the next one (`daemons.inputd.typist`).

Ref: the keyboards as drawn in the standards: ANSI INCITS 154 (us), BS 4822 (gb), ANSI X3.207
(dvorak), the French PC keyboard (azerty), NF Z71-300 (bepo), the Italian PC keyboard (it), DIN 2137
T1 (de).  tests/lab/test_keymaps.py compares them with libxkbcommon.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from redbear_host.abi.scancodes import Key

_ROWS: Final = (
    (Key.TICK, *range(Key.N1, Key.EQUALS + 1)),
    tuple(range(Key.Q, Key.BRACE_CLOSE + 1)),
    (*range(Key.A, Key.QUOTE + 1), Key.BACKSLASH),
    (Key.LESS, *range(Key.Z, Key.SLASH + 1)),
)

GRAVE, ACUTE, CIRCUMFLEX, TILDE = "\u0300", "\u0301", "\u0302", "\u0303"
MACRON, BREVE, DIAERESIS, RING = "\u0304", "\u0306", "\u0308", "\u030a"
CARON, CEDILLA, OGONEK = "\u030c", "\u0327", "\u0328"


class Row(NamedTuple):
    """One row of keys, left to right; a level that is shorter has nothing on the rest."""

    plain: str
    shift: str
    alt_gr: str = ""
    both: str = ""


_US: Final = (
    Row("`1234567890-=", "~!@#$%^&*()_+"),
    Row("qwertyuiop[]", "QWERTYUIOP{}"),
    Row("asdfghjkl;'\\", 'ASDFGHJKL:"|'),
    Row("<zxcvbnm,./", ">ZXCVBNM<>?"),
)
_GB: Final = (
    Row("`1234567890-=", '¬!"£$%^&*()_+', "|   €"),
    Row("qwertyuiop[]", "QWERTYUIOP{}"),
    Row("asdfghjkl;'#", "ASDFGHJKL:@~"),
    Row("\\zxcvbnm,./", "|ZXCVBNM<>?"),
)
_DVORAK: Final = (
    Row("`1234567890[]", "~!@#$%^&*(){}"),
    Row("',.pyfgcrl/=", '"<>PYFGCRL?+'),
    Row("aoeuidhtns-\\", "AOEUIDHTNS_|"),
    Row("<;qjkxbmwvz", ">:QJKXBMWVZ"),
)
_AZERTY: Final = (
    Row("²&é\"'(-è_çà)=", " 1234567890°+", "  ~#{[|`\\^@]}"),
    Row(f"azertyuiop{CIRCUMFLEX}$", f"AZERTYUIOP{DIAERESIS}£", "  €        ¤"),
    Row("qsdfghjklmù*", "QSDFGHJKLM%µ"),
    Row("<wxcvbn,;:!", ">WXCVBN?./§"),
)
_BEPO: Final = (
    Row('$"«»()@+-/*=%', "#1234567890°`", "\u2013\u2014<>[]^±\u2212÷\u00d7≠‰"),
    Row(
        f"bépoè{CIRCUMFLEX}vdljzw",
        "BÉPOÈ!VDLJZW",
        f"|{ACUTE}&œ{GRAVE}¡{CARON}ð ĳə{BREVE}",
        "¦ §Œ   Ð ĲƏ",
    ),
    Row(
        "auie,ctsrnmç",
        "AUIE;CTSRNMÇ",
        f"æù{DIAERESIS}€\u2019©þß®{TILDE}{MACRON}{CEDILLA}",
        "ÆÙ    Þẞ™",
    ),
    Row("êàyx.k'qghf", "ÊÀYX:K?QGHF", f"/\\{{}}…~¿{RING}  {OGONEK}"),
)
_IT: Final = (
    Row("\\1234567890'ì", '|!"£$%&/()=?^', "           `~"),
    Row("qwertyuiopè+", "QWERTYUIOPé*", "  €       []", "          {}"),
    Row("asdfghjklòàù", "ASDFGHJKLç°§", "         @#"),
    Row("<zxcvbnm,.-", ">ZXCVBNM;:_"),
)
_DE: Final = (
    Row(f"{CIRCUMFLEX}1234567890ß{ACUTE}", f'°!"§$%&/()=?{GRAVE}', "  ²³   {[]}\\"),
    Row("qwertzuiopü+", "QWERTZUIOPÜ*", "@ €        ~"),
    Row("asdfghjklöä#", "ASDFGHJKLÖÄ'"),
    Row("<yxcvbnm,.-", ">YXCVBNM;:_", "|      µ"),
)

_EVERYWHERE: Final = {
    Key.ESC: "\x1b", Key.BKSP: "\x7f", Key.TAB: "\t", Key.ENTER: "\n", Key.SPACE: " ",
    Key.NUM_ENTER: "\n", Key.NUM_SLASH: "/", Key.NUM_ASTERISK: "*", Key.NUM_MINUS: "-",
    Key.NUM_PLUS: "+", Key.NUM_PERIOD: ".",
    **{Key.NUM_0 + digit: str(digit) for digit in range(10)},
}  # fmt: skip


class Keymap:
    """One layout; `levels` are plain, Shift, AltGr and both, by the key's number."""

    def __init__(self, name: str, rows: tuple[Row, ...], extra: dict[int, str] | None = None):
        """Lay the rows out; `extra` is what AltGr does to keys in no row."""
        self.name: Final = name
        self.levels: Final[tuple[dict[int, str], ...]] = ({}, {}, {}, {})
        for keys, row in zip(_ROWS, rows, strict=True):
            for level, characters in zip(self.levels, row, strict=True):
                pairs = zip(keys, characters, strict=False)
                level.update((key, character) for key, character in pairs if character != " ")
        for level in self.levels[:2]:
            level.update(_EVERYWHERE)
        self.levels[2].update(extra or {})

    def character(self, key: int, shift: bool, alt_gr: bool, caps: bool) -> str:
        """Return what a key has; empty for a key without one.  Caps Lock is for letters alone."""
        if caps and not alt_gr:
            plain = self.levels[0].get(key, "")
            shift ^= plain.isalpha() and plain.upper() == self.levels[1].get(key)
        if alt_gr:
            found = self.levels[2 + shift].get(key)
            if found is not None:
                return found
        return self.levels[shift].get(key, "")


KEYMAPS: Final = {
    keymap.name: keymap
    for keymap in (
        Keymap("dvorak", _DVORAK),
        Keymap("us", _US),
        Keymap("gb", _GB),
        Keymap("azerty", _AZERTY),
        Keymap("bepo", _BEPO, {Key.SPACE: "_"}),
        Keymap("it", _IT),
        Keymap("de", _DE),
    )
}
"""By name, in the order of Redox's numbers (inputd, KeymapKind); `de` is ours, and the next one."""
