"""Colours and pictures of the desktop: orbital.toml, as Redox has it at /ui.

```
background_color = { data = 0xFF202020 }      # and so the other four
cursor = "/ui/left_ptr.png"                   # and so the other nine pictures
```

One bad setting costs that setting and is complained of; the rest holds.  Pictures that nobody names
are drawn by `orbital.art`, at any scale.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["PICTURES", "Theme"]

PICTURES: Final = (
    "cursor",
    "bottom_left_corner",
    "bottom_right_corner",
    "bottom_side",
    "left_side",
    "right_side",
    "window_max",
    "window_max_unfocused",
    "window_close",
    "window_close_unfocused",
)


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colours are 0xAARRGGBB, not premultiplied."""

    background_color: int = 0xFF000000
    bar_color: int = 0xE01B1B1B
    bar_highlight_color: int = 0xE0363636
    text_color: int = 0xFFE7E7E7
    text_highlight_color: int = 0xFFE7E7E7
    pictures: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    """Files of pictures by their names in `PICTURES`, as they were read."""
    complaints: tuple[str, ...] = ()
    """What was wrong with the file, a sentence each."""

    @classmethod
    def parse(cls, text: str, read: Callable[[str], bytes]) -> Theme:
        """Return the theme of a file; `read` returns what is in a picture's file, or `OSError`.

        Never raises for what the file says: see `complaints`.
        """
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            return cls(complaints=(f"orbital.toml: {error}",))
        found: dict[str, Any] = {}
        pictures, complaints = {}, []
        for key, value in table.items():
            if key in COLOURS:
                colour = _colour(value)
                if colour is None:
                    complaints.append(
                        f"orbital.toml: {key}: {value!r} is not {{ data = 0xAARRGGBB }}"
                    )
                else:
                    found[key] = colour
            elif key in PICTURES:
                try:
                    pictures[key] = _picture(value, read)
                except (OSError, ValueError) as error:
                    complaints.append(f"orbital.toml: {key}: {error}")
            elif key not in OTHERS:
                complaints.append(f"orbital.toml: there is no setting {key!r}")
        return cls(**found, pictures=pictures, complaints=tuple(complaints))


COLOURS: Final = frozenset(
    field.name for field in dataclasses.fields(Theme) if field.name.endswith("_color")
)
OTHERS: Final = frozenset({"screen"})  # what other modules read from the same file


def _colour(value: object) -> int | None:
    if isinstance(value, dict) and set(value) == {"data"}:
        value = value["data"]
        # TOML has no unsigned numbers; who writes one as a signed one is understood.
        if isinstance(value, int) and not isinstance(value, bool) and -(1 << 31) <= value < 1 << 32:
            return value & 0xFFFFFFFF
    return None


def _picture(value: object, read: Callable[[str], bytes]) -> bytes:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a path in quotes")
    return read(value)
