"""Which schemes a user gets: Redox's login_schemes.toml.

```toml
[user_schemes.root]
schemes = ["*"]

[user_schemes.user]          # everyone without a table of their own
schemes = ["rand", "null", "display*"]

[sudo_schemes.alice]         # ours: what alice gets from the scheme `sudo`; absent: all
schemes = ["disk*"]
```

What such a list names need not exist: it is written for many machines.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

from redbear_host.errors import ConfigError, Refused
from redbear_host.namespace.names import check

ETC: Final = Path("/etc/redbear-host/login_schemes.toml")
_EVERYONE: Final = "user"
_SECTIONS: Final = ("user_schemes", "sudo_schemes")
_ALL: Final = ("*",)


class LoginSchemes:
    """One such file, read."""

    def __init__(self, tables: Mapping[str, Mapping[str, tuple[str, ...]]]) -> None:
        self._tables: Final = tables

    def of(self, user: str) -> tuple[str, ...]:
        """Return the list of a user, who may have none of their own."""
        users = self._tables["user_schemes"]
        return users.get(user, users.get(_EVERYONE, ()))

    def by_sudo(self, user: str) -> tuple[str, ...]:
        """Return the list a user gets after a password."""
        return self._tables["sudo_schemes"].get(user, _ALL)


def load(path: Path | None) -> LoginSchemes:
    """Read `path`; without one the machine's file, or ours where the machine has none."""
    if path is None and ETC.exists():
        path = ETC
    if path is None:
        ours = resources.files("redbear_host.namespace") / "login_schemes.toml"
        return parse(ours.read_text(encoding="utf-8"), "login_schemes.toml")
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: it is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "check the path") from error


def parse(text: str, here: str) -> LoginSchemes:
    """Read the text of such a file; `ConfigError` says what is wrong with it."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{here}: it is not TOML: {error}") from error
    for key in document:
        if key not in _SECTIONS:
            raise ConfigError(
                f"{here}: there is no section [{key}]", "write [user_schemes.NAME], schemes = […]"
            )
    tables: dict[str, dict[str, tuple[str, ...]]] = {section: {} for section in _SECTIONS}
    for section, users in tables.items():
        given = document.get(section, {})
        if not isinstance(given, dict):
            raise ConfigError(f"{here}: {section} is not a table", f"write it as [{section}.NAME]")
        for user, table in given.items():
            users[user] = _schemes(f"{here} [{section}.{user}]", table)
    return LoginSchemes(tables)


def _schemes(here: str, table: Any) -> tuple[str, ...]:
    hint = 'write: schemes = ["rand", "display*"]'
    if not isinstance(table, dict) or set(table) != {"schemes"}:
        raise ConfigError(f"{here}: it needs `schemes` and nothing else", hint)
    listed = table["schemes"]
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise ConfigError(f"{here}: schemes is not a list of names", hint)
    for name in listed:
        try:
            if name != "*":
                check(name.removesuffix("*"))
        except Refused as refusal:
            raise ConfigError(f"{here}: {refusal}", hint) from refusal
    return tuple(listed)
