"""Finds the line on which a key of a TOML file was written.

Python's parser does not keep it, and a message without it makes people search.  This only looks
for headers and `key =` at the start of a line; what is written another way (dotted keys, inline
tables) is simply not found.
"""

from __future__ import annotations

import re
from typing import Final

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY: Final = re.compile(r"""\s*["']?([^"'=#\[\]]+?)["']?\s*=""")


def line_of(text: str, section: str, index: int, key: str = "") -> int | None:
    """Return the line, counted from 1, of `key` in the `index`th table called `section`.

    Without a key, of the table's header; the section "" is what comes before all headers.
    """
    here, seen = section == "", 0
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.fullmatch(line)
        if header is not None:
            # A key before all headers may also be written as a header: `[key]`.
            if section == "" and header[2] == key:
                return number
            here = header[2] == section and seen == index
            seen += header[2] == section
            if here and not key:
                return number
        elif here and key:
            match = _KEY.match(line)
            if match is not None and match[1] == key:
                return number
    return None
