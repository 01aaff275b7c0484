"""Undoing what an instance did, from its state file alone.

Used by the guardian when the shim was killed, and by `down` when both were.  Every step is tried
even if one before it failed, and doing it twice does no harm.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path
from typing import Any, Final

from kernel_shim import console
from kernel_shim.bind import restore
from redbear_host.errors import RedbearError
from schemefs.mount import abort, mounts_below, unmount

log = logging.getLogger(__name__)

_PATIENCE_S: Final = 2.0


def process_started(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it is not there.

    With the pid this names one process for good, while a pid alone may be a stranger's by now.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] == "Z" else int(fields[19])


def end_process(pid: int, started: int) -> None:
    """Kill one process and wait until it is gone, if it is still the one that was recorded."""
    if process_started(pid) != started:
        return
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + _PATIENCE_S
    while process_started(pid) == started and time.monotonic() < deadline:
        time.sleep(0.005)


def unmount_all(mount: Path, created: bool) -> None:
    """Take every mount at or below `mount` away, waking everyone who waits on one."""
    for point, kind, minor in mounts_below(mount):
        if kind.startswith("fuse"):
            abort(minor)
        unmount(point)
    if created:
        try:
            mount.rmdir()
        except FileNotFoundError:
            pass  # whoever was interrupted before us had done it
        except OSError as err:
            log.warning("%s stays: %s", mount, err.strerror)


def undo(state: dict[str, Any]) -> list[str]:
    """End processes, unmount, restore drivers; return a sentence for each thing that failed."""
    failed: list[str] = []
    for process in state.get("processes", []):
        try:
            end_process(process["pid"], process["started"])
        except OSError as err:
            failed.append(f"process {process['pid']} ({process['name']}): {err.strerror}")
    if state.get("console") is not None:
        try:
            console.restore(state["console"])
        except OSError as err:
            failed.append(f"terminal {state['console']['number']}: {err.strerror}")
    if "mount" in state:
        try:
            unmount_all(Path(state["mount"]), state.get("mount_created", False))
        except (OSError, RedbearError) as err:
            failed.append(f"mounts below {state['mount']}: {err}")
    for device in state.get("devices", []):
        for path in device.get("files", ()):
            try:
                Path(path).unlink(missing_ok=True)
            except OSError as err:
                failed.append(f"{path}: {err.strerror}")
        if device.get("bound") is None:
            continue
        try:
            restore(device["bound"])
        except (OSError, RedbearError) as err:
            failed.append(f"{device['address']}: {err}")
    return failed
