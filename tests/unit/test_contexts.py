"""Who is there, by the state that the supervisor writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernel_shim.schemes.contexts import contexts, drivers

DEVICE = "0000:00:04.0"


def write(folder: Path, pid: int | None) -> None:
    disk = {"name": "nvmed.0000-00-04.0", "pid": pid, "schemes": ["disk"], "device": DEVICE}
    plain = {"name": "logd", "pid": os.getpid(), "schemes": ["log"], "device": None}
    daemons = [one | {"restarts": 1, "state": "starting"} for one in (disk, plain)]
    (folder / "state.json").write_text(json.dumps({"pid": os.getpid(), "daemons": daemons}))


def nobody() -> int:
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.mark.parametrize("dead", [False, True])
def test_a_device_has_its_driver_also_while_that_is_started_again(
    tmp_path: Path, dead: bool
) -> None:
    write(tmp_path, nobody() if dead else None)
    assert [one.name for one in contexts(tmp_path)] == ["supervisor", "logd"]
    assert drivers(tmp_path) == {DEVICE: "nvmed.0000-00-04.0"}


def test_nobody_is_there_while_everything_is_taken_down(tmp_path: Path) -> None:
    assert contexts(tmp_path) == []
    assert drivers(tmp_path) == {}
    (tmp_path / "state.json").write_text("{")
    assert contexts(tmp_path) == []
    assert drivers(tmp_path) == {}
