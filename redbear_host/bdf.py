"""Where a PCI function sits: segment, bus, device and function, and how each world writes it."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self

from redbear_host.errors import ConfigError

_WRITTEN: Final = re.compile(
    r"(?:([0-9a-fA-F]{4,8}):)?([0-9a-fA-F]{2}):([01][0-9a-fA-F])\.([0-7])", re.ASCII
)


class Bdf(NamedTuple):
    """The address of one PCI function (PCI Local Bus Specification 3.0, 3.2.2.3.4)."""

    segment: int
    bus: int
    device: int
    function: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `SSSS:BB:DD.F` or, on segment 0, `BB:DD.F`; `ConfigError` for anything else."""
        match = _WRITTEN.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"{text!r} is not a PCI address",
                "write it as 0000:04:00.0; `redbear-host devices` lists those of this machine",
            )
        segment, bus, device, function = (int(part or "0", 16) for part in match.groups())
        return cls(segment, bus, device, function)

    def __str__(self) -> str:
        """Linux's form, `0000:04:00.0`."""
        return f"{self.segment:04x}:{self.bus:02x}:{self.device:02x}.{self.function}"

    @property
    def scheme_name(self) -> str:
        """The form in a scheme's name, which may hold no colon: `0000-04-00.0`."""
        return str(self).replace(":", "-")

    @property
    def pcid_name(self) -> str:
        """The form of a directory in the scheme `pci`: `0000--04--00.0`."""
        return str(self).replace(":", "--")
