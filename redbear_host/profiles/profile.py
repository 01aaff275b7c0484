"""One profile of netctl, in Red Bear's format.

| key         | value                                                               |
|-------------|---------------------------------------------------------------------|
| Interface   | the adapter; needed                                                 |
| Connection  | ethernet or wifi; needed                                            |
| IP          | dhcp, static or bounded (none is bounded); needed                   |
| Address     | one or a list, as 10.0.0.2/24; needed for static                    |
| Gateway     | one, of each family                                                 |
| DNS         | one or a list                                                       |
| Description | a line of words                                                     |
| SSID, Security, Key (or Passphrase) | of wifi; Security is open or wpa2-psk       |

Keys that are not known are left alone: profiles written for other programs have more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from redbear_host.errors import ConfigError
from redbear_host.profiles import words
from redbear_host.profiles.reading import read
from redbear_host.profiles.setting import (
    How,
    Setting,
    check_gateway,
    host_address,
    host_interface,
    is_adapter,
)
from redbear_host.toml_table import did_you_mean

T = TypeVar("T")

KEYS: Final = (
    *("Description", "Interface", "Connection", "IP", "Address", "Gateway", "DNS"),
    *("SSID", "Security", "Key", "Passphrase"),
)
ETHERNET: Final = "ethernet"
WIFI: Final = "wifi"
SECURITIES: Final = ("open", "wpa2-psk")
_HOWS: Final = {"dhcp": How.DHCP, "static": How.STATIC, "bounded": How.BOUNDED, "none": How.BOUNDED}
_SIZE_MOST: Final = 65536  # bytes
_NAME_MOST: Final = 255
_ADDRESSES_MOST: Final = 64
_SSID_MOST: Final = 32  # bytes: IEEE 802.11
_PASSPHRASE: Final = range(8, 64)  # characters; 64 hexadecimal digits are the key itself
_HEX: Final = frozenset("0123456789abcdefABCDEF")


@dataclass(frozen=True, kw_only=True)
class Wifi:
    """What a radio is told."""

    ssid: str
    security: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One profile; `wifi` is None for a cable."""

    name: str
    description: str
    interface: str
    setting: Setting
    wifi: Wifi | None

    @property
    def connection(self) -> str:
        """The value of `Connection=`."""
        return ETHERNET if self.wifi is None else WIFI


def check_name(name: str) -> str:
    """Return the name of a profile as it is; `ConfigError` if it cannot be one."""
    if not name or name.startswith(".") or "/" in name or not name.isprintable():
        raise ConfigError(f"{name!r} cannot be the name of a profile", "it is the name of a file")
    if name == "active" or len(name.encode(errors="replace")) > _NAME_MOST:
        raise ConfigError(f"a profile cannot be named {name[:40]!r}", "rename it")
    return name


def names(folder: Path) -> list[str]:
    """List the profiles in a folder, sorted; a folder that is not there has none."""
    try:
        found = [entry for entry in folder.iterdir() if entry.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigError(f"{folder} cannot be read: {error.strerror}", "check the path") from error
    return sorted(
        entry.name for entry in found if not entry.name.startswith(".") and entry.name != "active"
    )


def load(folder: Path, name: str) -> Profile:
    """Read a profile; `ConfigError` says what is wrong with it, or that there is none."""
    check_name(name)
    try:
        raw = read(folder / name, _SIZE_MOST + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        hint = did_you_mean(name, names(folder)) or f"profiles are files in {folder}"
        raise ConfigError(f"there is no profile {name}", hint) from None
    except OSError as error:
        raise ConfigError(f"profile {name} cannot be read: {error.strerror}") from error
    if len(raw) > _SIZE_MOST:
        raise ConfigError(f"profile {name} has more than {_SIZE_MOST} bytes", "it is no profile")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"profile {name} is not UTF-8 text (byte {error.start})") from error
    return parse(name, text)


def parse(name: str, text: str) -> Profile:
    """Read a profile's text."""
    return _Reader(name, text).profile()


class _Reader:
    """The entries of one profile; of a key that is there twice the later counts, as in a shell."""

    def __init__(self, name: str, text: str) -> None:
        self._name: Final = name
        self._found: Final[Mapping[str, tuple[str, ...]]] = {
            entry.key: entry.words for entry in words.read(text, f"profile {name}")
        }

    def profile(self) -> Profile:
        interface = self._needed("Interface")
        if not is_adapter(interface):
            raise self._unsupported("Interface", interface, "the name of an adapter, such as eth0")
        connection = self._one_of("Connection", (ETHERNET, WIFI))
        how = _HOWS[self._one_of("IP", _HOWS)]
        return Profile(
            name=self._name,
            description=" ".join(self._found.get("Description", ())),
            interface=interface,
            setting=self._setting(how),
            wifi=self._wifi() if connection == WIFI else None,
        )

    def _setting(self, how: How) -> Setting:
        source = f"profile {self._name}"
        nameservers = self._each("DNS", host_address)
        if how is not How.STATIC:
            return Setting(how=how, nameservers=nameservers, source=source)
        self._needed("Address")
        addresses = self._each("Address", host_interface)
        gateways = self._each("Gateway", host_address)
        for gateway in gateways:
            self._try("Gateway", str(gateway), partial(check_gateway, gateway, addresses))
        if len({gateway.version for gateway in gateways}) < len(gateways):
            raise self._unsupported(
                "Gateway", " ".join(map(str, gateways)), "there is one default for each family"
            )
        return Setting(
            how=how,
            addresses=addresses,
            gateways=gateways,
            nameservers=nameservers,
            source=source,
        )

    def _wifi(self) -> Wifi:
        ssid = self._needed("SSID")
        if len(ssid.encode()) > _SSID_MOST:
            raise self._unsupported("SSID", ssid, f"it has {_SSID_MOST} bytes at most")
        security = self._one_of("Security", SECURITIES, default=SECURITIES[0])
        key = " ".join(self._found.get("Key") or self._found.get("Passphrase", ()))
        if security != "open":
            if not key:
                raise ConfigError(f"profile {self._name} is missing Key=", "or Passphrase=")
            if len(key) not in _PASSPHRASE and not (len(key) == 64 and set(key) <= _HEX):
                # The key itself is not shown.
                raise ConfigError(
                    f"profile {self._name}: unsupported Key= of {len(key)} characters",
                    "a passphrase has 8 to 63, a key 64 hexadecimal digits",
                )
        return Wifi(ssid=ssid, security=security, key=key if security != "open" else "")

    def _needed(self, key: str) -> str:
        value = self._found.get(key, ())
        if not value or not value[0]:
            near = did_you_mean(key, [other for other in self._found if other not in KEYS])
            raise ConfigError(f"profile {self._name} is missing {key}=", near)
        return value[0]

    def _one_of(self, key: str, known: Iterable[str], default: str = "") -> str:
        value = default if default and key not in self._found else self._needed(key)
        if value not in known:
            raise self._unsupported(key, value, did_you_mean(value, known))
        return value

    def _each(self, key: str, read: Callable[[str], T]) -> tuple[T, ...]:
        # An unquoted or quoted line of several is a list as well: DNS="1.1.1.1 9.9.9.9".
        texts = [word for words in self._found.get(key, ()) for word in words.split()]
        if len(texts) > _ADDRESSES_MOST:
            raise self._unsupported(key, f"{len(texts)} of them", f"{_ADDRESSES_MOST} are the most")
        return tuple(self._try(key, text, partial(read, text)) for text in texts)

    def _try(self, key: str, text: str, act: Callable[[], T]) -> T:
        try:
            return act()
        except ValueError as error:
            raise self._unsupported(key, text, str(error)) from error

    def _unsupported(self, key: str, value: str, hint: str) -> ConfigError:
        short = value if len(value) <= 80 else f"{value[:80]}…"
        return ConfigError(f"profile {self._name}: unsupported {key}={short}", hint)
