"""Where the files are: below /etc/redbear-host, unless Red Bear's test hooks say otherwise.

| variable                      | names                                            |
|-------------------------------|--------------------------------------------------|
| REDBEAR_NETCTL_PROFILE_DIR    | the folder of the profiles                       |
| REDBEAR_NETCTL_ACTIVE         | the file that holds the enabled profile's name   |
| REDBEAR_NET_DIR               | the folder of Redox's static files (a hook of ours) |

Not /etc/netctl: on Arch that is another program's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PROFILES: Final = Path("/etc/redbear-host/netctl")
STATIC: Final = Path("/etc/redbear-host/net")
ACTIVE: Final = "active"


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
