"""From Linux's nvme driver to vfio-pci and back, and never when somebody uses the disk."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from guest_machine import DISK, wait_for
from nvme_probe import start

from kernel_shim import bind, claims
from kernel_shim.host import MACHINE
from kernel_shim.take import take
from redbear_host.errors import ConfigError, TransportError
from redbear_host.hw.vfio import Claim, open_function

BLKRRPART = 0x125F  # linux/fs.h: look for partitions again
PARTITION = Path(f"{DISK}p1")


def label(entry: bytes) -> None:
    """Give the disk a master boot record with that one partition."""
    with DISK.open("r+b", buffering=0) as disk:
        disk.write(bytes(446) + entry.ljust(64, b"\0") + b"\x55\xaa")
        fcntl.ioctl(disk, BLKRRPART)


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@pytest.fixture
def partition(ssd: str) -> Iterator[Path]:
    """Make a partition on the disk, and none afterwards."""
    label(struct.pack("<B3xB3xII", 0, 0x83, 2048, 32768))
    wait_for(PARTITION.is_block_device)
    yield PARTITION
    label(b"")


def reasons(address: str) -> list[tuple[str, str]]:
    return [(one.rule, one.evidence) for one in claims.check(address)]


def test_the_disk_comes_back_with_its_data(ssd: str) -> None:
    pattern = os.urandom(1 << 20)
    with DISK.open("r+b") as disk:
        disk.write(pattern)
        disk.flush()
        os.fsync(disk.fileno())
    for _ in range(3):
        record = bind.plan(ssd)
        bind.bind(record)
        assert MACHINE.driver(ssd) == "vfio-pci"
        wait_for(lambda: not DISK.exists())
        bind.restore(record)
        wait_for(DISK.is_block_device)
        assert DISK.read_bytes()[: len(pattern)] == pattern
    override = Path("/sys/bus/pci/devices") / ssd / "driver_override"
    assert override.read_text().strip() == "(null)"


def test_a_disk_is_taken_used_and_given_back(ssd: str) -> None:
    notes: list[dict[str, Any]] = []
    device = take(ssd, notes.append, arena_size=1 << 20)
    try:
        assert notes == [{"address": ssd, "driver": "nvme", "override": ""}]
        grant, fds = device.grant()
        with closing(open_function(grant, [os.dup(fd) for fd in fds])) as function:
            controller = start(function)
            controller.identify()
            assert controller.admin.completed()
    finally:
        device.release()
    assert MACHINE.driver(ssd) == "nvme"


def test_the_journal_alone_gives_a_disk_back(ssd: str) -> None:
    notes: list[dict[str, Any]] = []
    shim = os.fork()
    if shim == 0:  # a shim that is killed: no more Python runs here
        take(ssd, notes.append, arena_size=1 << 20)
        os.kill(os.getpid(), 9)
    _, status = os.waitpid(shim, 0)
    assert os.WTERMSIG(status) == 9
    assert MACHINE.driver(ssd) == "vfio-pci"
    bind.restore({"address": ssd, "driver": "nvme", "override": ""})
    assert MACHINE.driver(ssd) == "nvme"


def test_a_device_that_is_still_held_is_not_waited_for(ssd: str) -> None:
    record = bind.plan(ssd)
    bind.bind(record)
    claim = Claim(ssd, 1 << 20)
    with pytest.raises(TransportError, match="vfio-pci does not let go"):
        bind.restore(record, within=0.5)
    claim.release()
    # The kernel ends what was asked of it as soon as it can.
    wait_for(lambda: MACHINE.driver(ssd) == "")
    bind.restore(record)


def test_a_free_disk_is_not_refused(partition: Path, ssd: str) -> None:
    assert reasons(ssd) == []


def test_a_mounted_partition_is_refused(partition: Path, ssd: str, tmp_path: Path) -> None:
    run("mkfs.ext4", "-q", "-F", partition)
    run("mount", partition, tmp_path)
    try:
        assert reasons(ssd) == [("S3", f"{partition} is mounted on {tmp_path}")]
        with pytest.raises(ConfigError, match="is not free") as caught:
            take(ssd, lambda _: pytest.fail("it was about to be bound"))
        assert caught.value.hint == f"umount {tmp_path}"
        assert MACHINE.driver(ssd) == "nvme"
    finally:
        run("umount", tmp_path)
    assert reasons(ssd) == []


def test_a_partition_in_use_by_a_program_is_refused(partition: Path, ssd: str) -> None:
    fd = os.open(partition, os.O_RDONLY | os.O_EXCL)
    try:
        assert reasons(ssd) == [("S1", f"{partition} is claimed exclusively")]
    finally:
        os.close(fd)


def test_swap_is_refused(partition: Path, ssd: str) -> None:
    run("mkswap", partition)
    run("swapon", partition)
    try:
        assert reasons(ssd) == [("S3", f"the machine swaps to {partition}")]
    finally:
        run("swapoff", partition)


def test_a_disk_below_a_mapping_is_refused(partition: Path, ssd: str) -> None:
    run("modprobe", "dm_mod")
    table = f"0 2048 linear {partition} 0"
    run("dmsetup", "create", "spare", "--table", table)
    try:
        assert reasons(ssd) == [("S2", f"/dev/dm-0 (spare) is built on {partition}")]
    finally:
        run("dmsetup", "remove", "spare")


def test_a_disk_that_is_being_taken_cannot_be_mounted(
    partition: Path, ssd: str, tmp_path: Path
) -> None:
    run("mkfs.ext4", "-q", "-F", partition)
    with claims.claimed(ssd):
        done = subprocess.run(["mount", partition, tmp_path], capture_output=True, timeout=60)
    assert done.returncode != 0
    # "busy" on Linux 6.1, "Can't open blockdev" through the newer mount interface.
    assert any(words in done.stderr for words in (b"busy", b"already mounted", b"open blockdev"))


def test_the_root_bus_bridge_is_refused() -> None:
    with pytest.raises(ConfigError, match="is a bridge"):
        claims.check("0000:00:00.0")


def test_functions_of_the_chipset_share_a_group_and_are_named() -> None:
    loaded = Path("/sys/module/ahci").exists()  # for a spare card
    group = Path("/sys/bus/pci/devices/0000:00:1f.2/iommu_group").resolve().name
    run("modprobe", "ahci")
    try:
        assert reasons("0000:00:1f.3") == [
            (
                "S8",
                f"it shares IOMMU group {group} with 0000:00:1f.2, which is driven by ahci",
            )
        ]
    finally:
        if not loaded:
            run("modprobe", "-r", "ahci")


def test_an_unbound_function_has_no_vfio_group(ssd: str) -> None:
    with pytest.raises(ConfigError, match="cannot open /dev/vfio/") as caught:
        Claim(ssd, 1 << 20)
    assert caught.value.hint == f"bind {ssd} to vfio-pci first"
