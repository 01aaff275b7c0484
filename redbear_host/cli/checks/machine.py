"""The machine a check looks at, and what it finds there."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from redbear_host.config import MOUNT, RUN_DIR
from redbear_host.errors import TransportError

_ANSWER_S: Final = 10.0  # how long a program may take to tell its version


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"  # something of redbear-host will not work; `up --lab` will
    FAIL = "fail"  # not even `up --lab` works


@dataclass(frozen=True)
class Finding:
    """One check's result: what was seen, and what to type if it is not good."""

    name: str
    verdict: Verdict
    evidence: str
    advice: str = ""


def ok(name: str, evidence: str) -> Finding:
    """Tell that all is well."""
    return Finding(name, Verdict.OK, evidence)


def warn(name: str, evidence: str, advice: str) -> Finding:
    """Tell that something does not work which the lab can do without."""
    return Finding(name, Verdict.WARN, evidence, advice)


def fail(name: str, evidence: str, advice: str) -> Finding:
    """Tell that the lab does not work."""
    return Finding(name, Verdict.FAIL, evidence, advice)


def _ask(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_ANSWER_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TransportError(f"{command[0]} does not run: {error}") from error
    return done.stdout


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def _can_load(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _try_fuse() -> int:
    """Mount a connection that serves nothing on a new folder, say hello, and take it away."""
    from schemefs import mount
    from schemefs.handshake import answer_init

    with tempfile.TemporaryDirectory(prefix="redbear-doctor-") as folder:
        fd = mount.open_connection()
        try:
            mount.mount(fd, Path(folder), "redbear-doctor")
            try:
                return answer_init(fd)
            finally:
                mount.unmount(Path(folder))
        finally:
            os.close(fd)


@dataclass(frozen=True)
class Machine:
    """The machine as the checks see it; every part can be another one's."""

    root: Path = Path("/")
    mount: Path = MOUNT
    run_dir: Path = RUN_DIR
    uid: int = -1
    release: str = ""  # of the running kernel, as `uname -r` says it
    python: tuple[int, int] = (0, 0)
    program: Callable[[str], str | None] = shutil.which
    ask: Callable[[Sequence[str]], str] = _ask  # runs a program, returns what it says
    package: Callable[[str], Path | None] = _package  # where an import would find a package
    can_load: Callable[[str], bool] = _can_load  # whether a shared library can be loaded
    try_fuse: Callable[[], int] = _try_fuse  # mounts for a moment; returns FUSE's minor version

    @classmethod
    def this(cls, mount: Path = MOUNT, run_dir: Path = RUN_DIR) -> Machine:
        """Return the machine we run on."""
        return cls(
            mount=mount.absolute(),
            run_dir=run_dir.absolute(),
            uid=os.geteuid(),
            release=platform.release(),
            python=sys.version_info[:2],
        )

    def path(self, path: str | Path) -> Path:
        """Return where an absolute path of the machine is."""
        return self.root / str(path).lstrip("/")

    def text(self, path: str) -> str:
        """Return a file's text; empty if there is none, or none for us."""
        try:
            return self.path(path).read_text(errors="replace")
        except OSError:
            return ""

    def names(self, path: str) -> list[str]:
        """List a folder; empty if there is none, or none for us."""
        try:
            return sorted(os.listdir(self.path(path)))
        except OSError:
            return []
