"""The run directory: one lock, one state file, one log per daemon.

The state file says what would have to be undone if this process vanished now: it is written before
a thing is done and after it is undone, always whole (rename).
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any, Final

from redbear_host.config import RUN_DIR
from redbear_host.errors import ConfigError, TransportError

LOG_MOST: Final = 1 << 20  # bytes of a log that the next instance goes on writing to
_RETRY_S: Final = 0.02


class RunDir:
    """`/run/redbear-host`, or another folder for a second, independent instance."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.logs: Final = path / "log"
        self.scratch: Final = path / "scratch"  # what is thrown away with the instance
        self.rings: Final = path / "ring"  # a socket for each scheme, for libredox programs
        self.orders: Final = path / "orders"  # the socket of `redbear-host add`
        self._state: Final = path / "state.json"
        self._lock_fd = -1

    def lock(self, patience: float = 0.0) -> None:
        """Become the one instance; `ConfigError` if another still holds the lock after `patience`.

        `patience` is in seconds.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o755)
            self._check_owner()
            self.logs.mkdir(exist_ok=True, mode=0o755)
            self._lock_fd = os.open(
                self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except PermissionError:
            raise ConfigError(f"{self.path} cannot be written", "run it with sudo") from None
        except OSError as error:
            raise self._unusable(error) from error
        deadline = time.monotonic() + patience
        while not self._try_lock():
            if time.monotonic() < deadline:
                time.sleep(_RETRY_S)
                continue
            os.close(self._lock_fd)
            self._lock_fd = -1
            pid = self.read().get("pid", "unknown")
            down = "redbear-host down"
            if self.path != RUN_DIR:
                down += f" --run-dir {self.path}"
            raise ConfigError(
                f"redbear-host is up already (process {pid}, {self.path})",
                f"stop it with: {down}   (or use another --run-dir and --mount)",
            )

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"{self.path} cannot be the run directory: {error.strerror}",
            "choose a folder with --run-dir DIR; without it, it is /run/redbear-host",
        )

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """Let another instance start."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def locked_by_other(self) -> bool:
        """Tell whether an instance is running (and it is not this one)."""
        try:
            fd = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except PermissionError:
            raise ConfigError(f"{self.path} cannot be read", "run it with sudo") from None
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def _check_owner(self) -> None:
        """Refuse a folder that others can write: what stands there is done, with root's rights."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unusable(error) from error
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
            raise ConfigError(
                f"{self.path} can be changed by others (owner {found.st_uid}, "
                f"mode {found.st_mode & 0o7777:o})",
                "choose another with --run-dir DIR, or make it yours: "
                f"chown root {self.path}; chmod go-w {self.path}",
            )

    def read(self) -> dict[str, Any]:
        """Return the state; empty when nothing is up and nothing was left behind.

        `TransportError` if it cannot be understood: something may have been left behind then.
        """
        self._check_owner()
        try:
            state = json.loads(self._state.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unusable(error) from error
        except ValueError:
            state = None
        if not isinstance(state, dict) or not {"pid", "started"} <= state.keys():
            raise TransportError(
                f"{self._state} is damaged: what an instance did cannot be undone by it",
                "see what is left with `mount` and `lspci -k`, then remove the file, or reboot",
            )
        return state

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state; `TransportError` if the disk is full or the like."""
        fresh = self._state.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(state, indent=1))
            fresh.replace(self._state)
        except OSError as error:
            raise TransportError(
                f"{self._state} cannot be written: {error.strerror}", f"see df {self.path}"
            ) from error

    def empty_scratch(self) -> None:
        """Throw away what goes with the instance."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        shutil.rmtree(self.rings, ignore_errors=True)

    def clear(self) -> None:
        """Nothing is left to undo; sockets that daemons made, where nobody answers now, go too."""
        for entry in self.path.iterdir():
            if entry.is_socket():
                entry.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def set_aside_logs(self) -> None:
        """Put large logs of earlier instances aside, one of each: /run is memory."""
        for log in self.logs.glob("*.log"):
            if log.stat().st_size > LOG_MOST:
                log.replace(log.with_suffix(".log.old"))

    def log_path(self, name: str) -> Path:
        """Where a daemon's standard error goes."""
        return self.logs / f"{name}.log"
