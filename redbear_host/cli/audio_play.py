"""`redbear-host audio play`: a file, through `audio.ctl`, at its own rate."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from redbear_host.cli import music, sounds
from redbear_host.cli.arguments import path_argument
from redbear_host.cli.music import Music

HELP: Final = "play a file: WAV, and what sox, ffmpeg or mpg123 can read where they are installed"

_PART: Final = 1 << 14  # bytes
_SHOW_EVERY_S: Final = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("files", nargs="+", type=path_argument, metavar="FILE", help="what to play, in this order")
    add("--volume", type=sounds.volume_argument, metavar="N", help="of this alone, 0 to 100")
    add("-q", "--quiet", action="store_true", help="show no progress, also on a terminal")


def run(args: argparse.Namespace) -> int:
    """Play to the end; an interrupt ends the sound with it."""
    sounds.folder(args.mount)
    shows = sys.stderr.isatty() and not args.quiet
    for file in args.files:
        with music.opened(file) as found, _stream(args.mount, found) as fd:
            progress = _Progress(file.name, found) if shows else None
            try:
                _copy(found, fd, args.mount, args.volume, progress)
                os.fsync(fd)
            except OSError as error:
                sounds.trouble(sounds.NAME, args.mount, error)
            finally:
                if progress is not None:
                    progress.end()
    return 0


@contextmanager
def _stream(mount: Path, found: Music) -> Iterator[int]:
    path = sounds.folder(mount) / "in" / found.format
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        sounds.trouble(f"{sounds.NAME}/in/{found.format}", mount, error)
    try:
        yield fd
    finally:
        os.close(fd)


def _copy(
    found: Music, fd: int, mount: Path, volume: int | None, progress: _Progress | None
) -> None:
    done = 0
    while data := found.read(_PART if volume is None else found.frame):
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        done += len(data)
        if volume is not None:  # nothing is heard before some more has come
            _set_volume(mount, volume)
            volume = None
        if progress is not None:
            progress.show(done)


def _set_volume(mount: Path, volume: int) -> None:
    mine = [row["ID"] for row in sounds.clients(mount) if row["PID"] == str(os.getpid())]
    if mine:
        sounds.write(mount, "clients", f"{max(mine, key=int)} {volume}\n")


class _Progress:
    """A line on the terminal that says how far it is."""

    def __init__(self, name: str, found: Music) -> None:
        self._name: Final = "".join(c if c.isprintable() else "?" for c in name)
        self._bytes_a_second: Final = found.rate * found.frame
        self._whole: Final = f" / {_clock(found.seconds)}" if found.seconds else ""
        self._next = 0.0

    def show(self, done: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _SHOW_EVERY_S
            at = _clock(done / self._bytes_a_second)
            print(f"\r{self._name}  {at}{self._whole}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        print(file=sys.stderr)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
