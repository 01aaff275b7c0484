"""The instance's own processes: the supervisor, the kernel daemon and the other daemons."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernel_shim.schemes.processes import Process, look


@dataclass(frozen=True)
class Context:
    """One process of the instance that is alive."""

    name: str  # the service's: nvmed.0000-04-00.0
    process: Process
    schemes: tuple[str, ...]
    device: str | None
    restarts: int
    state: str


def contexts(run_dir: Path) -> list[Context]:
    """Read who is there from the run directory's state, sorted by pid."""
    state = _state(run_dir)
    if not state:
        return []
    found = []
    supervisor = look(state["pid"])
    if supervisor is not None:
        found.append(Context("supervisor", supervisor, (), None, 0, "ready"))
    for daemon in state["daemons"]:
        process = look(daemon["pid"]) if daemon["pid"] else None
        if process is not None:
            found.append(
                Context(
                    daemon["name"],
                    process,
                    tuple(daemon["schemes"]),
                    daemon["device"],
                    daemon["restarts"],
                    daemon["state"],
                )
            )
    return sorted(found, key=lambda one: one.process.pid)


def drivers(run_dir: Path) -> dict[str, str]:
    """Return the devices that daemons drive and who drives each, also while it is started again."""
    daemons = _state(run_dir).get("daemons", ())
    return {daemon["device"]: daemon["name"] for daemon in daemons if daemon["device"]}


def _state(run_dir: Path) -> dict[str, Any]:
    """Read what the supervisor last wrote; nothing while it is taking everything down."""
    try:
        state: dict[str, Any] = json.loads((run_dir / "state.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return state
