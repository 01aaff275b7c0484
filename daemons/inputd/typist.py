"""Characters for keys: the keymap, Caps Lock, and dead keys."""

from __future__ import annotations

from typing import Final

from daemons.inputd import keymaps
from daemons.inputd.keymaps import KEYMAPS, Keymap
from redbear_host.abi.scancodes import Key

_FIRST_COMBINING, _LAST_COMBINING = "\u0300", "\u036f"

# For each dead key what it stands for alone, and the letters it goes onto beside what they become.
# Written down, since the tables of Unicode are a megabyte that each start would load.
COMPOSED: Final[dict[str, tuple[str, str, str]]] = {
    keymaps.GRAVE: ("`", "aeinouwyAEINOUWY", "àèìǹòùẁỳÀÈÌǸÒÙẀỲ"),
    keymaps.ACUTE: (
        "\u00b4", "acegiklmnoprsuwyzACEGIKLMNOPRSUWYZ", "áćéǵíḱĺḿńóṕŕśúẃýźÁĆÉǴÍḰĹḾŃÓṔŔŚÚẂÝŹ"
    ),
    keymaps.CIRCUMFLEX: ("^", "aceghijosuwyzACEGHIJOSUWYZ", "âĉêĝĥîĵôŝûŵŷẑÂĈÊĜĤÎĴÔŜÛŴŶẐ"),
    keymaps.TILDE: ("~", "aeinouvyAEINOUVY", "ãẽĩñõũṽỹÃẼĨÑÕŨṼỸ"),
    keymaps.MACRON: ("¯", "aegiouyAEGIOUY", "āēḡīōūȳĀĒḠĪŌŪȲ"),
    keymaps.BREVE: ("˘", "aegiouAEGIOU", "ăĕğĭŏŭĂĔĞĬŎŬ"),
    keymaps.DIAERESIS: ("¨", "aehiotuwxyAEHIOUWXY", "äëḧïöẗüẅẍÿÄËḦÏÖÜẄẌŸ"),
    keymaps.RING: ("°", "auwyAU", "åůẘẙÅŮ"),
    keymaps.CARON: (
        "ˇ", "acdeghijklnorstuzACDEGHIKLNORSTUZ", "ǎčďěǧȟǐǰǩľňǒřšťǔžǍČĎĚǦȞǏǨĽŇǑŘŠŤǓŽ"
    ),
    keymaps.CEDILLA: ("\u00b8", "cdeghklnrstCDEGHKLNRST", "çḑȩģḩķļņŗşţÇḐȨĢḨĶĻŅŖŞŢ"),
    keymaps.OGONEK: ("\u02db", "aeiouAEIOU", "ąęįǫųĄĘĮǪŲ"),
}  # fmt: skip


class Typist:
    """Knows the layout and what was typed last; modifiers it is told."""

    def __init__(self, keymap: Keymap) -> None:
        self.keymap = keymap
        self._caps = False
        self._dead = ""  # waits for the next character

    def use(self, name: str) -> None:
        """Take another layout; `KeyError` if there is none of that name."""
        self.keymap = KEYMAPS[name]
        self._dead = ""

    def press(self, key: int, shift: bool, alt_gr: bool, repeats: bool) -> int:
        """Return the character of a key that goes down, or repeats; 0 for none."""
        if key == Key.CAPS and not repeats:
            self._caps = not self._caps
        found = self.keymap.character(key, shift, alt_gr, self._caps)
        if not found:
            return 0
        if _FIRST_COMBINING <= found <= _LAST_COMBINING:
            return 0 if repeats else self._mark(found)
        if self._dead:
            found, self._dead = _compose(self._dead, found), ""
        return ord(found)

    def _mark(self, dead: str) -> int:
        """Take a dead key; typed twice it is the mark itself."""
        if dead == self._dead:
            self._dead = ""
            return ord(COMPOSED[dead][0])
        self._dead = dead
        return 0


def _compose(dead: str, letter: str) -> str:
    alone, letters, composed = COMPOSED[dead]
    if letter == " ":
        return alone
    at = letters.find(letter)
    return composed[at] if at >= 0 else letter
