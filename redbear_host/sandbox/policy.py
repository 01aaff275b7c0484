"""What one daemon may do once it is locked in, as the shim decides it and sends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from redbear_host.sandbox.rules import Rule, from_wire, to_wire

# "rb" and a number: above what distributions, systemd and subordinate ids use (uids.conf(5)).
FIRST_UID: Final = 0x7262_0000


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A daemon's confinement; `enter` makes it true."""

    rules: tuple[Rule, ...]
    keeps: tuple[str, ...] = ()  # capabilities
    root: str | None = None  # the folder that stays visible, as `/`; None: nothing does
    network: bool = False  # it stays in the network namespace it has made; else in an empty one
    uid: int = FIRST_UID  # and group

    def with_uid(self, number: int) -> Policy:
        """Return the same for the instance's daemon of this number."""
        return replace(self, uid=FIRST_UID + number)

    def to_wire(self) -> dict[str, Any]:
        """Return what `from_wire` takes, for JSON."""
        return {
            "rules": to_wire(self.rules),
            "keeps": list(self.keeps),
            "root": self.root,
            "network": self.network,
            "uid": self.uid,
        }

    @classmethod
    def from_wire(cls, said: Mapping[str, Any]) -> Self:
        """Take what the shim sent."""
        return cls(
            rules=tuple(from_wire(said["rules"])),
            keeps=tuple(said["keeps"]),
            root=said["root"],
            network=said["network"],
            uid=said["uid"],
        )
