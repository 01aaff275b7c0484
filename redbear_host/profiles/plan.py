"""Which adapter is set up how: the enabled profile before the static files before DHCP.

The static files are Redox's /etc/net, one value each: `ip` (10.0.2.15), `ip_subnet`
(255.255.255.0), `ip_router` and `dns`.  They are eth0's, and count where there is an `ip`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final, TypeVar

from redbear_host.errors import ConfigError
from redbear_host.profiles import places, profile
from redbear_host.profiles.reading import read
from redbear_host.profiles.setting import (
    How,
    Setting,
    check_gateway,
    host_address,
    host_interface,
)

S = TypeVar("S")
T = TypeVar("T")

FIRST: Final = "eth0"
_VALUE_MOST: Final = 256  # bytes of a static file that are looked at
_FORMAT: Final = "it holds one value, such as 10.0.2.15"


def enabled(active: Path) -> str:
    """Return the name of the enabled profile, which stands in a file; empty for none."""
    try:
        return read(active, _VALUE_MOST).decode().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{active} cannot be read: {error}", "check the file") from error


def settings(environment: Mapping[str, str] = os.environ) -> dict[str, Setting]:
    """Return the settings by adapter; one that is not named is left to DHCP.

    `ConfigError` for a profile or a file that makes no sense.
    """
    found = {}
    static = read_static(places.static(environment))
    if static is not None:
        found[FIRST] = static
    name = enabled(places.active(environment))
    if name:
        chosen = profile.load(places.profiles(environment), name)
        if chosen.wifi is None:
            found[chosen.interface] = chosen.setting
    return found


def read_static(folder: Path) -> Setting | None:
    """Read Redox's static files; None where there is no `ip`."""
    files = _Files(folder)
    text = files.value("ip")
    if not text:
        return None
    if "/" not in text:
        text = f"{text}/{files.prefix()}"
    interface = files.read("ip", text, host_interface)
    gateways = [files.read("ip_router", word, host_address) for word in files.words("ip_router")]
    for gateway in gateways:
        files.read("ip_router", gateway, partial(check_gateway, addresses=(interface,)))
    return Setting(
        how=How.STATIC,
        addresses=(interface,),
        gateways=tuple(gateways[:1]),
        nameservers=tuple(files.read("dns", word, host_address) for word in files.words("dns")),
        source=str(folder),
    )


class _Files:
    """The files of one folder; what is wrong with one is said with its path."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder

    def value(self, name: str) -> str:
        path = self._folder / name
        try:
            return read(path, _VALUE_MOST).decode().strip()
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise ConfigError(f"{path} is not a line of text", _FORMAT) from None

    def words(self, name: str) -> list[str]:
        return self.value(name).split()

    def prefix(self) -> int:
        mask = self.value("ip_subnet")
        if not mask:
            raise ConfigError(
                f"{self._folder / 'ip_subnet'} is missing", "write the network mask of `ip` to it"
            )
        return self.read("ip_subnet", mask, lambda text: IPv4Network(f"0.0.0.0/{text}").prefixlen)

    def read(self, name: str, text: S, read: Callable[[S], T]) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise ConfigError(f"{self._folder / name}: {error}", _FORMAT) from error
