"""The null namespace under Debian's kernel, which is older; nvmed drives its function by VFIO."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import probes
import pytest
from sandbox_rig import FEWEST, Probed, asked_for, check_from_inside, check_from_outside

pytestmark = pytest.mark.timeout(240)

CONTROL = "import json, os, probes; print(json.dumps(probes.run(os.getppid(), control=True)))"


def test_every_daemon_is_denied_every_forbidden_thing(ssd, tmp_path):
    with Probed(tmp_path, "--device", ssd, *asked_for(tmp_path)) as probed:
        names = [daemon["name"] for daemon in probed.daemons()]
        assert any(name.startswith("nvmed") for name in names)
        for daemon in probed.daemons():
            check_from_inside(daemon["name"], probed.outcome(daemon["name"]))
            check_from_outside(daemon)
        data = os.urandom(4096)
        with (probed.disk / "1").open("r+b", buffering=0) as file:
            file.write(data)
            assert os.pread(file.fileno(), 4096, 0) == data
        assert all(daemon["restarts"] == 0 for daemon in probed.daemons())


def test_outside_of_a_sandbox_none_of_it_is_denied():
    done = subprocess.run(
        [sys.executable, "-c", CONTROL], capture_output=True, text=True, check=False, timeout=120,
        cwd=os.path.dirname(probes.__file__),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) >= FEWEST
    assert [p.name for p in probes.probes(0) if found[p.name] == p.denial] == []


def test_without_the_filter_the_other_walls_still_stand():
    done = subprocess.run(
        [sys.executable, os.path.join(os.path.dirname(probes.__file__), "walls.py")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["walls", "stand"]
