"""Measure the everyday schemes through FUSE, each beside what Linux itself has for the purpose.

Starts an instance of its own in a temporary folder; needs root.  Usage: everyday.py [SECONDS]
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_MIB: Final = 1 << 20
_COMMAND: Final = (sys.executable, "-m", "redbear_host")


def reads(path: Path, seconds: float) -> float:
    """Read in pieces of 1 MiB; return MiB/s."""
    fd = os.open(path, os.O_RDONLY)
    buffer = bytearray(_MIB)
    began, count = time.monotonic(), 0
    while time.monotonic() < began + seconds:
        count += os.readv(fd, [buffer])
    os.close(fd)
    return count / _MIB / (time.monotonic() - began)


def in_child(work: Callable[[], None]) -> int:
    """Do something in a process of its own; return its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def round_trips(ours: int, theirs: Callable[[], int], seconds: float) -> float:
    """Send 64 bytes and get them back; return how often that goes in a second."""

    def echo() -> None:
        fd = theirs()
        while data := os.read(fd, 64):
            if data[:1] == b"e":
                return
            os.write(fd, data)

    pid = in_child(echo)
    os.write(ours, bytes(64))
    os.read(ours, 64)  # the other end is there
    began, count = time.monotonic(), 0
    while time.monotonic() < began + seconds:
        os.write(ours, bytes(64))
        os.read(ours, 64)
        count += 1
    took = time.monotonic() - began
    os.write(ours, b"e")
    os.waitpid(pid, 0)
    return count / took


def stream(ours: int, theirs: Callable[[], int], seconds: float) -> float:
    """Send in pieces of 256 KiB; return MiB/s."""

    def swallow() -> None:
        fd = theirs()
        while os.read(fd, _MIB)[-1:] != b"e":
            pass

    pid = in_child(swallow)
    piece = bytes(1 << 18)
    began, count = time.monotonic(), 0
    while time.monotonic() < began + seconds:
        count += os.write(ours, piece)
    os.write(ours, b"e")
    os.waitpid(pid, 0)
    return count / _MIB / (time.monotonic() - began)


def channel(path: Path) -> tuple[int, Callable[[], int]]:
    """Return our end of a channel, and what opens the other in another process."""
    return os.open(path, os.O_RDWR | os.O_CREAT), lambda: os.open(path, os.O_RDWR)


def pair() -> tuple[int, Callable[[], int]]:
    """Return the same for Linux's socket pair."""
    one, other = socket.socketpair()
    return one.detach(), other.detach


def report(mount: Path, seconds: float) -> None:
    """Measure everything; print a line each."""
    rows = [
        (
            f"{name}, 1 MiB reads",
            reads(mount / name, seconds),
            "MiB/s",
            f"/dev/{rival}",
            reads(Path("/dev") / rival, seconds),
        )
        for name, rival in (("rand", "urandom"), ("zero", "zero"))
    ]
    for what, unit, measure in (
        ("round trips of 64 bytes", "/s", round_trips),
        ("stream, 256 KiB writes", "MiB/s", stream),
    ):
        ours = measure(*channel(mount / "chan" / measure.__name__), seconds)
        rows.append((f"chan, {what}", ours, unit, "socketpair", measure(*pair(), seconds)))
    for name, ours, unit, rival, theirs in rows:
        print(f"{name:32} {ours:10.0f} {unit:6} {rival:14} {theirs:10.0f} {unit}")


def main() -> None:
    """Start an instance, measure, take it down."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    with tempfile.TemporaryDirectory() as folder:
        mount, run_dir = Path(folder) / "scheme", Path(folder) / "run"
        where = ["--mount", str(mount), "--run-dir", str(run_dir)]
        subprocess.run([*_COMMAND, "up", "--detach", *where], check=True, stdout=subprocess.DEVNULL)
        try:
            report(mount, seconds)
        finally:
            down = [*_COMMAND, "down", "--run-dir", str(run_dir)]
            subprocess.run(down, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
