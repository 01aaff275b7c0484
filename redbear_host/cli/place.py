"""Paths as Redox's programs spell them, as files of this machine."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from redbear_host.cli.arguments import path_argument
from redbear_host.client import paths
from redbear_host.errors import ConfigError, TransportError
from redbear_host.toml_table import did_you_mean


def add_mount(parser: argparse.ArgumentParser) -> None:
    """Declare --mount, for instances that are not mounted on /scheme."""
    parser.add_argument(
        "--mount",
        type=path_argument,
        default=Path(paths.mount()),
        metavar="DIR",
        help="where the schemes are mounted; default: REDBEAR_SCHEME or %(default)s",
    )


def file_of(spelling: str, mount: Path) -> Path:
    """Return the file behind `/scheme/NAME/…`, `NAME:…`, `:` or a plain path."""
    try:
        place = paths.parse(spelling)
    except OSError as error:
        raise ConfigError(
            f"{spelling!r} is no path: {error.strerror}",
            "write /scheme/NAME/PATH, or as on older Redox NAME:PATH",
        ) from None
    colon = ":" in spelling.split("/", 1)[0]
    if place.scheme == paths.FILE and not colon and not spelling.startswith(paths.CANONICAL):
        return Path(os.path.abspath(spelling))  # a file of the machine, or below another mount
    if not place.scheme:
        return mount / place.path if place.path else mount
    return mount / place.scheme / place.path if place.path else mount / place.scheme


def failed(spelling: str, mount: Path, error: OSError) -> NoReturn:
    """Say why a file below `mount` could not be used, and what there is."""
    why = error.strerror or str(error)
    spelling = str(mount) if spelling == ":" else spelling
    if error.errno in (errno.ENOENT, errno.ENODEV):
        try:
            names = sorted(os.listdir(mount))
        except OSError:
            names = []
        if not names:
            raise ConfigError(
                f"{spelling}: {why}", f"nothing is mounted on {mount}: redbear-host up starts it"
            ) from None
        raise ConfigError(f"{spelling}: {why}", _where_it_is(spelling, mount, names)) from None
    if error.errno == errno.EISDIR:
        hint = f"to see what is there: redbear-host ls {spelling}"
        raise ConfigError(f"{spelling}: {why}", hint) from None
    if error.errno in (errno.EACCES, errno.EPERM):
        raise ConfigError(f"{spelling}: {why}", "run it with sudo") from None
    if error.errno in (errno.ENOTCONN, errno.ECONNABORTED):
        hint = "its daemon has ended: redbear-host status"
        raise TransportError(f"{spelling}: {why}", hint) from None
    raise TransportError(f"{spelling}: {why}") from None


def _where_it_is(spelling: str, mount: Path, names: Sequence[str]) -> str:
    """Return a hint for a path that leads nowhere; `names` are those below `mount`."""
    first, _, rest = spelling.partition("/")
    if first in names:
        return f"a scheme's path begins with its name and a colon: {first}:{rest}"
    target = file_of(spelling, mount)
    if target.is_relative_to(mount) and target.parent != mount:
        scheme = target.relative_to(mount).parts[0]
        # Not Path.is_dir, which has no answer for a scheme whose daemon was given up.
        if scheme in names and os.path.isdir(mount / scheme):
            return f"to see what is there: redbear-host ls {scheme}:"
    return did_you_mean(Path(spelling).name.split(":")[0], names)
