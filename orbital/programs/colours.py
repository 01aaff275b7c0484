"""The colours of a terminal: pyte's names, and hexadecimal digits for all others."""

from __future__ import annotations

from typing import Final

from orbital.programs.paint import BACK, TEXT

__all__ = ["colour"]

# xterm's sixteen, by the names that pyte gives them; its "brown" is yellow.
_NAMED: Final = {
    "black": 0xFF000000,
    "red": 0xFFCD3131,
    "green": 0xFF0DBC79,
    "brown": 0xFFE5E510,
    "blue": 0xFF2472C8,
    "magenta": 0xFFBC3FBC,
    "cyan": 0xFF11A8CD,
    "white": 0xFFE5E5E5,
    "brightblack": 0xFF666666,
    "brightred": 0xFFF14C4C,
    "brightgreen": 0xFF23D18B,
    "brightbrown": 0xFFF5F543,
    "brightblue": 0xFF3B8EEA,
    "brightmagenta": 0xFFD670D6,
    "brightcyan": 0xFF29B8DB,
    "brightwhite": 0xFFFFFFFF,
}


def colour(name: str, front: bool) -> int:
    """Return 0xAARRGGBB; what is no colour is the default one."""
    found = _NAMED.get(name)
    if found is not None:
        return found
    if len(name) == 6:
        try:
            return 0xFF000000 | int(name, 16)
        except ValueError:
            pass
    return TEXT if front else BACK
