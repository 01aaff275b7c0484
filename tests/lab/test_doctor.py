"""`redbear-host doctor` on the real machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_this_machine_can_run_the_lab_and_a_trial_mount_leaves_nothing(tmp_path):
    folders = ("--mount", str(tmp_path / "scheme"), "--run-dir", str(tmp_path / "run"))
    done = subprocess.run(
        [sys.executable, "-I", "-m", "redbear_host", "doctor", "--json", *folders],
        capture_output=True,
        text=True,
        timeout=60,
    )
    findings = {one["name"]: one for one in json.loads(done.stdout)["findings"]}
    assert [one for one in findings.values() if one["verdict"] == "fail"] == []
    assert done.returncode == 0
    assert "a trial mount works; protocol 7." in findings["FUSE"]["evidence"]
    assert "redbear-doctor" not in Path("/proc/self/mountinfo").read_text()
