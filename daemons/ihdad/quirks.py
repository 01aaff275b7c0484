"""What some controllers do otherwise than the specification says, as data; what users know better.

None of these controllers was tried by us; what stands here is what their users have published.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from redbear_host.errors import ConfigError
from redbear_host.hw.ports import PciIds

_PIN: Final = re.compile(r"(\d+):0x([0-9a-f]{1,2})=0x([0-9a-f]{1,8})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Quirk:
    """One kind of controller; a device of None is all of that maker's."""

    vendor: int
    device: int | None
    why: str
    address_32: bool = False  # GCAP.OK64 is not to be believed
    no_position_buffer: bool = False  # LPIB is to be believed, the position buffer is not


QUIRKS: Final = (
    Quirk(0x10DE, None, "nForce's does not reach all of 64 bits", address_32=True),
    Quirk(0x1102, None, "Creative's says OK64 and is not", True, no_position_buffer=True),
    Quirk(0x1106, 0x3288, "VT8237A does not write positions", no_position_buffer=True),
    Quirk(0x6549, 0x1200, "Teradici's says OK64 and is not", address_32=True),
)
_NONE: Final = Quirk(0, None, "")


def of_controller(ids: PciIds) -> Quirk:
    """Return what is known of a controller; the first that fits."""
    for quirk in QUIRKS:
        if quirk.vendor == ids.vendor and quirk.device in (None, ids.device):
            return quirk
    return _NONE


def read_pins(text: str) -> Mapping[tuple[int, int], int]:
    """Read `0:0x14=0x90170110 …`: codec and node, and the configuration default it ought to have.

    Firmware sets these, and is wrong at times.  `ConfigError` for what is not of that form.
    """
    found = {}
    for word in text.split():
        match = _PIN.fullmatch(word)
        if match is None:
            raise ConfigError(
                f"ihdad: pins: {word!r} is not CODEC:NODE=DEFAULT",
                "write for example 0:0x14=0x90170110",
            )
        codec, node, default = match.groups()
        found[int(codec), int(node, 16)] = int(default, 16)
    return found
