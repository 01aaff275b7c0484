"""smartctl and sg3-utils on nvmed's file, beside the kernel's own driver on the same device."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from guest_machine import DISK

pytestmark = pytest.mark.timeout(240)

FILE = Path("/scheme/disk.pci-0000-00-04.0-nvme/1")
# What goes on while nobody looks, or counts what was asked.
VARIES = re.compile(r"^(Local Time|Data Units|Host \w+ Commands|Controller Busy|Power On|smartctl)")


def run(*words):
    done = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, timeout=120, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def smart(path):
    said = run("smartctl", "-a", "-d", "nvme", path).splitlines()
    return [line for line in said if not VARIES.match(line)]


def redbear(*words):
    return run(sys.executable, "-m", "redbear_host", *words)


def test_smartctl_says_of_our_driver_what_it_says_of_the_kernels(ssd):
    kernels = smart(DISK)
    serial = Path("/sys/block/nvme0n1/device/serial").read_text().strip()
    size = run("blockdev", "--getsize64", "--getss", DISK)
    redbear("up", "--device", ssd, "--detach")
    try:
        assert smart(FILE) == kernels
        assert f"Serial Number:                      {serial}" in kernels
        assert run("blockdev", "--getsize64", "--getss", FILE) == size
        assert serial in run("sg_vpd", "-p", "sn", FILE)
        assert f"Device size: {size.split()[0]} bytes" in run("sg_readcap", "--16", FILE)
        refused = subprocess.run(  # it prints bytes it never set, besides
            ["sg_format", "--format", "-Q", FILE], capture_output=True, check=False, timeout=60
        )
        assert refused.returncode != 0
        assert b"Operation not permitted" in refused.stdout + refused.stderr
    finally:
        redbear("down")
