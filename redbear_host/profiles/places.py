"""Where things are: files below /etc/redbear-host, schemes below /scheme, or where hooks say.

| variable                      | names                                            | without it   |
|-------------------------------|--------------------------------------------------|--------------|
| REDBEAR_NETCTL_PROFILE_DIR    | the folder of the profiles                       | PROFILES     |
| REDBEAR_NETCTL_ACTIVE         | the file that holds the enabled profile's name   | its `active` |
| REDBEAR_NET_DIR               | the folder of Redox's static files; ours         | STATIC       |
| REDBEAR_NETCFG_ROOT           | the scheme `netcfg`                              | MOUNT/netcfg |
| REDBEAR_WIFICTL_ROOT          | the scheme `wifictl`                             | MOUNT/wifictl|
| REDBEAR_DHCPD_CMD             | a DHCP client, given the adapter's name          | MOUNT/dhcp   |
| REDBEAR_DHCPD_WAIT_MS         | how long an address is waited for                | WAIT_MS      |
| REDBEAR_DHCPD_POLL_MS         | how often it is looked for meanwhile             | POLL_MS      |

All but one are Red Bear's test hooks.  Not /etc/netctl: on Arch that is another program's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from redbear_host.errors import ConfigError

PROFILES: Final = Path("/etc/redbear-host/netctl")
STATIC: Final = Path("/etc/redbear-host/net")
ACTIVE: Final = "active"
WAIT_MS: Final = 15000  # a relayed DHCP server may take some; Red Bear's 1000 is too short
POLL_MS: Final = 50
_MS_MOST: Final = 3_600_000


def profiles(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the profiles."""
    return Path(environment.get("REDBEAR_NETCTL_PROFILE_DIR") or PROFILES)


def active(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the file that names the enabled profile."""
    named = environment.get("REDBEAR_NETCTL_ACTIVE")
    return Path(named) if named else profiles(environment) / ACTIVE


def static(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the static files."""
    return Path(environment.get("REDBEAR_NET_DIR") or STATIC)


@dataclass(frozen=True, kw_only=True)
class Places:
    """Everything netctl works with; times in seconds."""

    profiles: Path
    active: Path
    netcfg: Path
    wifictl: Path
    dhcp: Path
    dhcpd_command: str  # empty: the scheme `dhcp` is asked
    wait: float
    poll: float
    bare: bool  # netcfg is a folder of somebody's, whose files are made as they are written

    @classmethod
    def of(cls, mount: Path, environment: Mapping[str, str] = os.environ) -> Self:
        """Find everything; `mount` is where the schemes are."""
        hook = environment.get
        return cls(
            profiles=profiles(environment),
            active=active(environment),
            netcfg=Path(hook("REDBEAR_NETCFG_ROOT") or mount / "netcfg"),
            wifictl=Path(hook("REDBEAR_WIFICTL_ROOT") or mount / "wifictl"),
            dhcp=mount / "dhcp",
            dhcpd_command=hook("REDBEAR_DHCPD_CMD") or "",
            wait=_milliseconds(environment, "REDBEAR_DHCPD_WAIT_MS", WAIT_MS) / 1000,
            poll=max(_milliseconds(environment, "REDBEAR_DHCPD_POLL_MS", POLL_MS), 1) / 1000,
            bare=bool(hook("REDBEAR_NETCFG_ROOT")),
        )


def _milliseconds(environment: Mapping[str, str], name: str, otherwise: int) -> int:
    text = environment.get(name) or str(otherwise)
    if not text.isascii() or not text.isdecimal() or int(text) > _MS_MOST:
        raise ConfigError(f"{name}={text[:40]} is no number of milliseconds")
    return int(text)
