"""`up --device` on a real PCI function: taken from Linux's driver, served, given back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from guest_machine import DISK, wait_for
from taken_disk import SCHEME, Taken, comes_back_with_what_was_written, outlives_its_daemon, redbear

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def disk(ssd):
    """The spare NVMe disk, which Linux has before the test and after it."""
    file = SCHEME / "disk.pci-0000-00-04.0-nvme" / "1"
    return Taken(ssd, "nvmed", file, lambda: DISK if DISK.exists() else None)


def test_a_real_function_is_driven_by_vfio_and_given_back_with_what_was_written(disk):
    comes_back_with_what_was_written(disk)


def test_nvmed_killed_under_vfio_comes_back_on_the_same_function(disk):
    outlives_its_daemon(disk)


def test_a_supervisor_that_is_killed_still_gives_the_function_back(ssd):
    assert redbear("up", "--device", ssd, "--detach").returncode == 0
    state = json.loads(redbear("status", "--json").stdout)
    os.kill(state["pid"], signal.SIGKILL)
    wait_for(DISK.is_block_device)
    wait_for(lambda: not Path("/run/redbear-host/state.json").exists())
    assert not SCHEME.exists()


def test_a_mounted_disk_is_refused_and_left_alone(ssd, tmp_path):
    subprocess.run(["mkfs.ext4", "-q", "-F", DISK], check=True, timeout=60)
    subprocess.run(["mount", DISK, tmp_path], check=True, timeout=30)
    try:
        (tmp_path / "file").write_text("precious")
        done = redbear("up", "--device", ssd, "--detach")
        assert done.returncode == 2, done.stdout + done.stderr
        assert "S3" in done.stderr
        assert str(tmp_path) in done.stderr
        assert "hint: " in done.stderr
        assert (tmp_path / "file").read_text() == "precious"
        assert not SCHEME.exists()
        plan = redbear("up", "--device", ssd, "--plan")
        assert "REFUSED [S3]" in plan.stdout
    finally:
        subprocess.run(["umount", tmp_path], check=True, timeout=30)
