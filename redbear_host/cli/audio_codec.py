"""`redbear-host audio codec`: the trees of a sound card's codecs, in the form Linux shows them."""

from __future__ import annotations

import argparse
import errno
import os
from typing import Final

from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.cli.arguments import path_argument
from redbear_host.client.deadline import deadline
from redbear_host.config import RUN_DIR
from redbear_host.errors import ConfigError, TransportError

HELP: Final = "print a sound card's codecs: widgets, pins, amplifiers, connections"

_PATIENCE_S: Final = 5.0
_PART: Final = 1 << 16  # bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("codec", nargs="?", type=int, metavar="N", help="only this one; default: all of them")
    add("--card", default="audiohw", metavar="SCHEME", help="default: %(default)s")
    add(
        "--run-dir", type=path_argument, default=RUN_DIR, metavar="DIR", help="default: %(default)s"
    )


def run(args: argparse.Namespace) -> int:
    """Print the trees."""
    os.environ["REDBEAR_RINGS"] = str(args.run_dir / "ring")
    os.environ["REDBEAR_SCHEME"] = str(args.mount)
    try:
        with deadline(_PATIENCE_S), client.open(f"/scheme/{args.card}", f.O_WRONLY) as card:
            names = _text(card, "codecs").split()
            wanted = names if args.codec is None else [f"codec#{args.codec}"]
            if not set(wanted) <= set(names):
                raise ConfigError(
                    f"{args.card} has no codec {args.codec}", f"it has: {', '.join(names)}"
                )
            print("\n".join(_text(card, name).rstrip("\n") for name in wanted))
    except PermissionError as error:
        raise ConfigError(f"{args.card}: {error.strerror}", "run it with sudo") from error
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise ConfigError(
                f"no sound card is served as {args.card}",
                "try: redbear-host up --lab hda:wav=FILE, or --device",
            ) from error
        raise TransportError(
            f"{args.card}: {error.strerror}", "is a sound card served? see: redbear-host status"
        ) from error
    return 0


def _text(card: client.Fd, name: str) -> str:
    """Read one of the card's texts to its end."""
    parts = []
    with card.dup(name.encode()) as text:
        while part := text.read(_PART):
            parts.append(part)
    return b"".join(parts).decode(errors="replace")
