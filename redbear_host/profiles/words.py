"""Profiles as text: `Key=value` lines, as a shell would read them.

```
# a comment
Description='A line of words'       # quotes of either kind
Address=('10.0.0.2/24' "10.0.0.3/24"
         10.0.0.4/24)               # a list, over several lines if need be
```
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from redbear_host.errors import ConfigError

_QUOTES: Final = "'\""
_KEY_MOST: Final = 64


class Entry(NamedTuple):
    """One key; `words` has one entry where the value is no list."""

    line: int
    key: str
    words: tuple[str, ...]


def read(text: str, where: str) -> Iterator[Entry]:
    """Read the entries in their order; `ConfigError` names `where`, the line and what is wrong."""
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        key = key.strip()
        place = f"{where}, line {number}"
        if not equals:
            raise ConfigError(f"{place}: {_short(line)!r} is not Key=value")
        if not key.isidentifier() or not key.isascii() or len(key) > _KEY_MOST:
            raise ConfigError(f"{place}: {_short(key)!r} cannot be a key")
        value = value.strip()
        if value.startswith("("):
            found, closed = _list(value[1:], place)
            while not closed:
                following = next(lines, None)
                if following is None:
                    raise ConfigError(f"{place}: the list of {key} has no end", "close it with )")
                more, closed = _list(following[1], f"{where}, line {following[0]}")
                found += more
        else:
            found, _ = _words(value, place, "")
            found = [" ".join(found)] if found else []
        yield Entry(number, key, tuple(found))


def _list(text: str, place: str) -> tuple[list[str], bool]:
    """Return the words of one line of a list, and whether the list ends there."""
    found, rest = _words(text, place, ")")
    if rest is None:
        return found, False
    rest = rest.strip()
    if rest and not rest.startswith("#"):
        raise ConfigError(f"{place}: {_short(rest)!r} stands behind the list")
    return found, True


def _words(text: str, place: str, end: str) -> tuple[list[str], str | None]:
    """Split at spaces outside of quotes, up to a comment, or to the character `end`.

    Return the words, and what stands behind `end`: None where it does not occur.
    """
    found: list[str] = []
    word: list[str] | None = None
    quote = ""
    for at, character in enumerate(text):
        if quote:
            if character == quote:
                quote = ""
            elif word is not None:
                word.append(character)
        elif character in _QUOTES:
            quote = character
            word = [] if word is None else word
        elif character.isspace() or character == end:
            if word is not None:
                found.append("".join(word))
                word = None
            if character == end:
                return found, text[at + 1 :]
        elif character == "#" and word is None:
            break
        else:
            word = [character] if word is None else [*word, character]
    if quote:
        raise ConfigError(f"{place}: the quote {quote} is not closed")
    if word is not None:
        found.append("".join(word))
    return found, None


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"
