"""`up --device` on a real PCI function: taken from Linux's driver, served, given back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from guest_machine import DISK, wait_for

pytestmark = pytest.mark.timeout(240)

SCHEME = Path("/scheme")
MIB = 1 << 20


def redbear(*arguments, timeout=90):
    return subprocess.run(
        [sys.executable, "-m", "redbear_host", *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def fio(path, *options):
    done = subprocess.run(
        ["fio", "--name=verify", f"--filename={path}", "--verify=crc32c", "--verify_fatal=1",
         "--direct=1", *options],
        capture_output=True, text=True, timeout=120, check=False, cwd="/tmp",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "err= 0" in done.stdout


def test_a_real_function_is_driven_by_vfio_and_given_back_with_what_was_written(ssd):
    before = DISK.read_bytes()[: 4 * MIB]
    done = redbear("up", "--device", ssd, "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        assert not DISK.exists()
        disk = SCHEME / "disk.pci-0000-00-04.0-nvme" / "1"
        assert str(disk.parent.name) in done.stdout
        assert disk.read_bytes()[: 4 * MIB] == before
        fio(disk, "--rw=randwrite", "--bsrange=512-64k", "--size=8M", "--ioengine=psync")
        written = os.urandom(MIB + 777)
        with disk.open("r+b", buffering=0) as file:
            file.seek(16 * MIB)
            file.write(written)
            os.fsync(file.fileno())
        pci = SCHEME / "pci" / "0000--00--04.0"
        assert (pci / "driver").read_text() == "nvmed\n"
        whole = disk.read_bytes()
    finally:
        done = redbear("down")
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for(DISK.is_block_device)
    assert not SCHEME.exists()
    with DISK.open("rb") as file:
        file.seek(16 * MIB)
        assert file.read(len(written)) == written
        file.seek(0)
        assert file.read() == whole


def test_nvmed_killed_under_vfio_comes_back_on_the_same_function(ssd):
    done = redbear("up", "--device", ssd, "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        disk = SCHEME / "disk.pci-0000-00-04.0-nvme" / "1"
        with disk.open("r+b", buffering=0) as file:
            for round_ in range(3):
                state = json.loads(redbear("status", "--json").stdout)
                pid = next(d["pid"] for d in state["daemons"] if d["name"].startswith("nvmed"))
                data = bytes([round_ + 1]) * 4096
                os.pwrite(file.fileno(), data, 8192)
                os.kill(pid, signal.SIGKILL)
                assert os.pread(file.fileno(), 4096, 8192) == data
        state = json.loads(redbear("status", "--json").stdout)
        nvmed = next(d for d in state["daemons"] if d["name"].startswith("nvmed"))
        assert (nvmed["state"], nvmed["restarts"]) == ("ready", 3)
    finally:
        assert redbear("down").returncode == 0


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
