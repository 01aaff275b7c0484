"""`redbear-host cat`: what a scheme's files say."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Final

from redbear_host.cli.place import add_mount, failed, file_of
from redbear_host.errors import ConfigError

HELP: Final = "write what files of schemes hold to the standard output"

_CHUNK: Final = 1 << 18


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="/scheme/NAME/PATH or NAME:PATH")
    add("-c", "--bytes", type=int, metavar="N", help="stop after N bytes of each")
    add_mount(parser)


def run(args: argparse.Namespace) -> int:
    """Copy the files one after the other, each until its end."""
    if args.bytes is not None and args.bytes < 0:
        raise ConfigError(f"--bytes {args.bytes}: there are no fewer than 0", "leave it out")
    for spelling in args.paths:
        path = file_of(spelling, args.mount)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            failed(spelling, args.mount, error)
        try:
            left = args.bytes
            while left is None or left > 0:
                try:
                    data = os.read(fd, _CHUNK if left is None else min(left, _CHUNK))
                except OSError as error:
                    failed(spelling, args.mount, error)
                if not data:
                    break
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()  # a stream's reader wants it now
                left = None if left is None else left - len(data)
        finally:
            os.close(fd)
    return 0
