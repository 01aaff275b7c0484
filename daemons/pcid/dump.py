"""Configuration space as `lspci -xxxx` prints it and `lspci -F FILE` reads it (lspci(8))."""

from __future__ import annotations

from typing import Final

from redbear_host.bdf import Bdf

_LINE: Final = 16  # bytes a line shows


def dump(address: Bdf, title: str, config: bytes) -> str:
    """Return one function: a line that names it, then its bytes; an empty line ends it."""
    starts = range(0, len(config), _LINE)
    lines = [f"{start:02x}: {config[start : start + _LINE].hex(' ')}\n" for start in starts]
    return f"{address} {title}\n{''.join(lines)}\n"


def dump_size(address: Bdf, title: str, config_size: int) -> int:
    """Return how many bytes `dump` makes of so much configuration space, without reading it."""
    offsets = sum(len(f"{start:02x}") for start in range(0, config_size, _LINE))
    lines = -(-config_size // _LINE)
    # ": " and a line end for each line, two digits and a space (the last: none) for each byte.
    return len(f"{address} {title}\n\n".encode()) + offsets + lines * 2 + config_size * 3
