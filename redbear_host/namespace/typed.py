"""Lists of schemes as a user types them: what is wrong is a sentence, with what to type instead."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from redbear_host.errors import ConfigError, Refused
from redbear_host.namespace import names
from redbear_host.toml_table import did_you_mean


def parse(text: str) -> tuple[str, ...]:
    """Split a comma-separated list as a user types it; `ConfigError` for a name that cannot be."""
    given = tuple(part.strip() for part in text.split(","))
    for name in given:
        try:
            if name != "*":
                names.check(name.removesuffix("*"))
        except Refused as refusal:
            raise ConfigError(
                f"--schemes {text}: {refusal}", "write them as: --schemes rand,log,disk*"
            ) from None
    return given


def select_or_say(wanted: Sequence[str], there: Collection[str]) -> tuple[str, ...]:
    """Do as `select` for a user: `ConfigError` says what there is."""
    for name in wanted:
        if not name.endswith("*") and name not in there:
            raise ConfigError(
                f"there is no scheme {name!r} (ENODEV)",
                did_you_mean(name, there) or f"there is: {', '.join(sorted(there)) or 'none'}",
            )
    return names.select(wanted, there)
