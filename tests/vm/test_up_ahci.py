"""`up --device` on a real AHCI function: taken from Linux's driver, served, given back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from guest_machine import wait_for

from kernel_shim.host import MACHINE
from redbear_host.lab.spares import spare

pytestmark = pytest.mark.timeout(240)

SATA = spare("ahci").address
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


def linux_disks() -> list[Path]:
    """The block devices Linux has behind the controller."""
    found = Path(f"/sys/bus/pci/devices/{SATA}").glob("ata*/host*/target*/*/block/*")
    return [Path("/dev") / path.name for path in found]


def there() -> bool:
    return any(disk.is_block_device() for disk in linux_disks())


@pytest.fixture
def sata() -> Iterator[str]:
    """Offer the address of the adapter, driven by Linux before the test and after it."""
    assert MACHINE.driver(SATA) == "ahci", "boot the guest with --device ahci"
    wait_for(there)
    yield SATA
    assert MACHINE.driver(SATA) == "ahci", "the test did not give the adapter back"
    wait_for(there)


def test_an_adapter_is_driven_by_vfio_and_given_back_with_what_was_written(sata):
    (before,) = linux_disks()
    first = before.read_bytes()[: 4 * MIB]
    done = redbear("up", "--device", sata, "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        assert not linux_disks()
        disk = SCHEME / "disk.pci-0000-00-05.0_ahci" / "0"
        assert disk.parent.name in done.stdout
        assert disk.read_bytes()[: 4 * MIB] == first
        fio(disk, "--rw=randwrite", "--bsrange=512-256k", "--size=8M", "--ioengine=psync")
        fio(disk, "--rw=randwrite", "--bsrange=512-64k", "--size=8M", "--ioengine=libaio",
            "--iodepth=32")  # fmt: skip
        written = os.urandom(MIB + 777)
        with disk.open("r+b", buffering=0) as file:
            file.seek(16 * MIB)
            file.write(written)
            os.fsync(file.fileno())
        whole = disk.read_bytes()
    finally:
        done = redbear("down")
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for(there)
    assert not SCHEME.exists()
    (after,) = linux_disks()
    with after.open("rb") as file:
        file.seek(16 * MIB)
        assert file.read(len(written)) == written
        file.seek(0)
        assert file.read() == whole


def test_ahcid_killed_under_vfio_comes_back_on_the_same_function(sata):
    done = redbear("up", "--device", sata, "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        disk = SCHEME / "disk.pci-0000-00-05.0_ahci" / "0"
        with disk.open("r+b", buffering=0) as file:
            for round_ in range(3):
                state = json.loads(redbear("status", "--json").stdout)
                pid = next(d["pid"] for d in state["daemons"] if d["name"].startswith("ahcid"))
                data = bytes([round_ + 1]) * 4096
                os.pwrite(file.fileno(), data, 8192)
                os.kill(pid, signal.SIGKILL)
                assert os.pread(file.fileno(), 4096, 8192) == data
        state = json.loads(redbear("status", "--json").stdout)
        ahcid = next(d for d in state["daemons"] if d["name"].startswith("ahcid"))
        assert (ahcid["state"], ahcid["restarts"]) == ("ready", 3)
    finally:
        assert redbear("down").returncode == 0
