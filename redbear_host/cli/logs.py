"""`redbear-host logs`: what the daemons wrote."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from heapq import merge
from io import SEEK_END, SEEK_SET
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Final

from redbear_host.cli.arguments import path_argument
from redbear_host.config import RUN_DIR
from redbear_host.errors import ConfigError, TransportError
from redbear_host.toml_table import did_you_mean

HELP: Final = "show what the daemons wrote"

LOOK_S: Final = 0.2  # how often --follow looks for more
STAMP: Final = len("2026-03-01 12:00:00.123")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "daemon",
        nargs="?",
        metavar="DAEMON",
        help="one daemon's log only: nvmed, or nvmed.0000-04-00.0",
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    parser.add_argument(
        "-n", "--lines", type=int, metavar="N", help="begin with the last N lines only"
    )
    parser.add_argument(
        "--run-dir", type=path_argument, default=RUN_DIR, metavar="DIR", help="default: %(default)s"
    )


def run(args: argparse.Namespace) -> int:
    """Print the logs, and with --follow what is added to them."""
    folder: Path = args.run_dir / "log"
    if args.lines is not None and args.lines < 0:
        raise ConfigError(f"--lines {args.lines}: there are no fewer than 0", "leave it out")
    logs = Logs(folder, args.daemon)
    if not logs.names() and not args.follow:
        raise ConfigError(
            f"there are no logs in {folder}", "redbear-host up starts daemons; --run-dir says where"
        )
    if not logs.chosen() and not args.follow:
        raise ConfigError(
            f"{args.daemon} has written no log in {folder}",
            did_you_mean(args.daemon, logs.names()),
        )
    lines = logs.new()
    for line in lines if args.lines is None else lines[len(lines) - min(args.lines, len(lines)) :]:
        _print(line)
    if args.follow:
        follow(logs, _print, lambda: time.sleep(LOOK_S))
    return 0


def follow(logs: Logs, show: Callable[[bytes], None], pause: Callable[[], None]) -> None:
    """Show what is added, until `pause` raises: Ctrl-C, or a test that has seen enough."""
    while True:
        for line in logs.new():
            show(line)
        pause()


def _print(line: bytes) -> None:
    sys.stdout.write(line.decode(errors="replace"))
    sys.stdout.flush()


class Logs:
    """The files `NAME.log` in a folder, read from where the last look ended."""

    def __init__(self, folder: Path, daemon: str | None = None) -> None:
        self._folder = folder
        self._daemon = daemon
        self._read: dict[Path, tuple[int, int]] = {}  # the file's inode, and how far it was read

    def names(self) -> list[str]:
        """List the daemons that have a log."""
        try:
            return sorted(path.stem for path in self._folder.glob("*.log"))
        except OSError as error:
            raise TransportError(f"cannot read {self._folder}: {error.strerror}") from error

    def chosen(self) -> list[str]:
        """List those that were asked for: `nvmed` means every `nvmed.ADDRESS`, too."""
        if self._daemon is None:
            return self.names()
        return [name for name in self.names() if f"{name}.".startswith(f"{self._daemon}.")]

    def new(self) -> list[bytes]:
        """Return the complete lines added since the last call, those of all files by time."""
        names = self.chosen()
        return [
            line
            for _, lines in merge(
                *(self._events(self._folder / f"{name}.log") for name in names), key=itemgetter(0)
            )
            for line in lines
        ]

    def _events(self, path: Path) -> Iterator[tuple[bytes, list[bytes]]]:
        """Yield one file's new events: the time, and the lines from it to the next time."""
        stamp, event = b"", list[bytes]()
        for line in self._lines(path):
            if line[:4].isdigit() and event:
                yield stamp, event
                event = []
            if not event:
                # A clock set back must not undo the order, nor what begins with no time.
                stamp = max(stamp, line[:STAMP]) if line[:4].isdigit() else stamp
            event.append(line)
        if event:
            yield stamp, event

    def _lines(self, path: Path) -> list[bytes]:
        try:
            with path.open("rb") as file:
                return self._rest(path, file)
        except FileNotFoundError:
            return []  # it was there when the folder was listed
        except OSError as error:
            raise TransportError(f"cannot read {path}: {error.strerror}") from error

    def _rest(self, path: Path, file: BinaryIO) -> list[bytes]:
        inode, end = path.stat().st_ino, file.seek(0, SEEK_END)
        known, offset = self._read.get(path, (inode, 0))
        if known != inode or offset > end:
            offset = 0  # another file of the same name, or this one was emptied
        file.seek(offset, SEEK_SET)
        text = file.read(end - offset)
        whole = text.rfind(b"\n") + 1
        self._read[path] = inode, offset + whole
        return text[:whole].splitlines(keepends=True)
