"""Sizes and durations as people write them: `64M`, `10s`."""

from __future__ import annotations

import re
from typing import Final, Self

_SIZE: Final = re.compile(r"(\d+)\s*([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h)", re.ASCII)
_SHIFT: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


class Size(int):
    """A number of bytes."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `512`, `64K`, `64M`, `1GiB`: powers of 1024; `ValueError` for anything else."""
        match = _SIZE.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a size such as 64M")
        return cls(int(match[1]) << _SHIFT[match[2].upper()])


class Seconds(float):
    """A length of time."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `500ms`, `10s`, `2min`, `1h`; `ValueError` for anything else."""
        match = _DURATION.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a duration such as 10s")
        return cls(float(match[1]) * _SECONDS[match[2]])
