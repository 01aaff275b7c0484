"""Reads a TOML table into the settings a frozen dataclass declares.

A setting is declared once, as an annotated field: its name, its type, its default and one sentence.
From that come the check of names and types, the messages and the help.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from types import UnionType
from typing import (
    Annotated,
    Any,
    Final,
    NamedTuple,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from redbear_host.bdf import Bdf
from redbear_host.errors import ConfigError
from redbear_host.quantity import Seconds, Size

T = TypeVar("T")

Where = Callable[[str], str]
"""Tells where a key of the table was written, for a message: `site.toml, line 3`."""


class Setting(NamedTuple):
    """One setting, as its dataclass declares it: `size: Annotated[Size, "sentence"] = default`."""

    field: str
    wanted: Any  # the type
    sentence: str
    required: bool


def settings(kind: type) -> dict[str, Setting]:
    """List the settings a dataclass declares, by their names in a file, in order.

    Fields without a sentence are not settings.  A field `class_` is the setting `class`: Python
    keeps that word for itself.
    """
    hints = get_type_hints(kind, include_extras=True)
    required = {f.name for f in fields(kind) if f.default is f.default_factory is MISSING}
    return {
        name.rstrip("_"): Setting(name, hint.__origin__, hint.__metadata__[0], name in required)
        for name, hint in hints.items()
        if get_origin(hint) is Annotated
    }


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint: the nearest of `known`, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else ""


def values(kind: type, table: Mapping[str, Any], base: Path, where: Where) -> dict[str, Any]:
    """Check a table against the settings of `kind`; return what it sets, converted.

    Relative paths count from the folder `base`.  Raises `ConfigError` for an unknown key and for a
    value of the wrong type.
    """
    known = settings(kind)
    found = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(
                f"{where(key)}: there is no setting {key!r}", did_you_mean(key, known)
            )
        try:
            found[known[key].field] = convert(known[key].wanted, value, base)
        except ValueError as error:
            raise ConfigError(f"{where(key)}: {key}: {error}", known[key].sentence) from error
        except ConfigError as error:
            raise ConfigError(f"{where(key)}: {key}: {error.message}", error.hint) from error
    return found


def build(kind: type[T], found: Mapping[str, Any], where: str) -> T:
    """Make the dataclass; `ConfigError` if a setting without default is missing."""
    for name, known in settings(kind).items():
        if known.required and known.field not in found:
            raise ConfigError(f"{where}: {name!r} is missing", known.sentence)
    return kind(**found)


def convert(wanted: Any, value: object, base: Path) -> Any:
    """Turn one TOML value into the type a setting wants; `ValueError` if it is another.

    A setting of type `int | None` wants an int: None is only what it is when nobody sets it.
    """
    wanted = next((arm for arm in get_args(wanted) if isinstance(wanted, UnionType)), wanted)
    said, turn = _CONVERSIONS[wanted]
    result = turn(value, base)
    if result is None:
        raise ValueError(f"{value!r} is not {said}")
    return result


# Each returns None for a value of the wrong type.  A bool is an int in Python and not in TOML.

Conversion = Callable[[Any, Path], Any]


def _text(value: Any, base: Path) -> Any:
    return value if isinstance(value, str) else None


def _flag(value: Any, base: Path) -> Any:
    return value if isinstance(value, bool) else None


def _number(value: Any, base: Path) -> Any:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _texts(value: Any, base: Path) -> Any:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(value)


def _path(value: Any, base: Path) -> Any:
    return base / Path(value).expanduser() if isinstance(value, str) and value else None


def _bdf(value: Any, base: Path) -> Any:
    return Bdf.parse(value) if isinstance(value, str) else None


def _size(value: Any, base: Path) -> Any:
    if isinstance(value, str):
        return Size.parse(value)
    return Size(value) if _number(value, base) is not None and value >= 0 else None


def _seconds(value: Any, base: Path) -> Any:
    return Seconds.parse(value) if isinstance(value, str) else None


_CONVERSIONS: Final[Mapping[Any, tuple[str, Conversion]]] = {
    str: ("a text in quotes", _text),
    bool: ("true or false", _flag),
    int: ("a whole number", _number),
    tuple[str, ...]: ("a list of texts", _texts),
    Path: ("a path in quotes", _path),
    Bdf: ('a PCI address such as "0000:04:00.0"', _bdf),
    Size: ('a size such as "64M"', _size),
    Seconds: ('a duration such as "10s"', _seconds),
}
