"""`redbear-host up --lab ahci` and the programs people use on a disk."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import time
from pathlib import Path

import pytest
import qemu_rig
from disk_users import fio, shell
from hosted import Hosted
from up_rig import Up

pytestmark = pytest.mark.timeout(300)

MIB = 1 << 20
TREE = Path(os.__file__).parent / "asyncio"


def until(ready, within=20.0):
    deadline = time.monotonic() + within
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def closed(path):
    """Whether nobody has the disk any more: a loop device lets go a moment after `losetup -d`."""
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(os.urandom(8 * MIB) + bytes(56 * MIB))
    return path


@pytest.fixture
def up(tmp_path, image):
    with Up(tmp_path, "--lab", f"ahci:file={image},serial=RB01,model=RedBear disk") as made:
        yield made


def test_a_disk_of_the_lab_is_named_by_its_function_and_its_port(up, image):
    assert "disk.pci-1ab0-00-04.0_ahci" in up.output
    assert "0  (64 MiB)" in up.output
    assert (up.disk / "0").stat().st_size == 64 * MIB
    assert "RedBear disk RB01" in up.log("ahcid")
    shell("dd if=$1 bs=1M count=8 status=none | cmp -n 8388608 - $2", up.disk / "0", image)


def test_fio_verifies_random_writes_of_all_sizes(up, tmp_path):
    fio(
        up.disk / "0", tmp_path, "--rw=randwrite", "--bsrange=512-256k", "--size=32M",
        "--ioengine=psync", "--direct=1",
    )  # fmt: skip


def test_fio_verifies_at_depth_32(up, tmp_path):
    fio(
        up.disk / "0", tmp_path, "--rw=randwrite", "--bsrange=512-256k", "--size=48M",
        "--ioengine=libaio", "--iodepth=32", "--direct=1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "check", "size"),
    [("mkfs.ext4 -q -F", "e2fsck -fn", "64M"), ("mkfs.xfs -q -f", "xfs_repair -n", "320M")],
    ids=["ext4", "xfs"],
)
def test_a_file_system_on_a_loop_device_is_clean_in_qemus_file(tmp_path, make, check, size):
    image, point = tmp_path / "fs.img", tmp_path / "mnt"
    point.mkdir()
    with Up(tmp_path, "--lab", f"ahci:file={image},size={size}") as up:
        disk = up.disk / "0"
        device = shell("losetup -f --show --direct-io=on $1", disk).strip()
        try:
            shell(f"{make} $1", device)  # mkfs.xfs opens what it makes twice
            shell("mount $1 $2", device, point)
            try:
                shell("mkdir $2/tree && cp -a $1 $2/tree && sync -f $2", TREE, point)
                shell("umount $2 && mount $1 $2", device, point)
                shell("diff -r $1 $2/tree/asyncio", TREE, point)
            finally:
                shell("umount $1", point)
        finally:
            shell("losetup -d $1", device)
        until(lambda: closed(disk))
    shell(f"{check} $1", image)


def test_badblocks_finds_none(tmp_path):
    with Up(tmp_path, "--lab", "ahci:size=8M") as up:
        done = subprocess.run(
            ["badblocks", "-w", "-b", "4096", "-c", "64", "-s", up.disk / "0", "2047"],
            capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        # It ends by reading back zeroes it wrote.
        assert (up.disk / "0").read_bytes() == bytes(8 * MIB)


def test_partitions_show_and_exclude_each_other_and_the_disk(up):
    disk = up.disk / "0"
    shell("sgdisk -og -n 1:2048:+8M -n 2:0:+16M $1", disk)
    assert sorted(os.listdir(up.disk)) == ["0", "0p0", "0p1"]
    assert (up.disk / "0p1").stat().st_size == 16 * MIB
    with (up.disk / "0p0").open("rb"), pytest.raises(OSError, match="No locks"):
        disk.open("rb")


def test_ahcid_killed_twenty_times_under_a_verifying_fio_is_not_noticed(up, tmp_path):
    background = subprocess.Popen(
        ["fio", "--name=verify", f"--filename={up.disk / '0'}", "--verify=crc32c",
         "--verify_fatal=1", "--rw=randwrite", "--bsrange=512-64k", "--size=24M",
         "--ioengine=libaio", "--iodepth=8", "--direct=1", "--loops=40", "--time_based",
         "--runtime=12", "--verify_backlog=256"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
    )  # fmt: skip
    outages = []
    try:
        for _ in range(20):
            outages.append(up.kill("ahcid"))
            assert background.poll() is None, "fio ended before the kills did"
        out, _ = background.communicate(timeout=120)
    finally:
        if background.poll() is None:
            background.kill()
            background.communicate()
    assert background.returncode == 0, out
    assert "err= 0" in out
    assert sorted(outages)[len(outages) // 2] < 3.0
    assert "Traceback" not in up.log("ahcid")


def test_two_disks_and_a_disc_beside_each_other(tmp_path):
    disc = tmp_path / "disc.iso"
    disc.write_bytes(os.urandom(3 * MIB))
    with Up(tmp_path, "--lab", f"ahci:size=4M,disks=2,cd={disc}") as up:
        assert sorted(os.listdir(up.disk)) == ["0", "1", "2"]
        drive = up.disk / "2"
        assert (
            hashlib.sha256(drive.read_bytes()).digest()
            == hashlib.sha256(disc.read_bytes()).digest()
        )
        with pytest.raises(OSError, match="Read-only") as caught:
            drive.open("r+b")
        assert caught.value.errno == errno.EROFS
        (up.disk / "1").write_bytes(b"second")
        assert (up.disk / "1").read_bytes()[:6] == b"second"
        assert (up.disk / "0").read_bytes()[:6] == bytes(6)
        with (up.disk / "0").open("r+b", buffering=0) as file:
            file.seek(4 * MIB)
            with pytest.raises(OSError, match="No space"):
                file.write(b"x")


def test_an_empty_drive_is_a_file_without_bytes_that_answers_for_itself(tmp_path):
    with Up(tmp_path, "--lab", "ahci:disks=0,cd=") as up:
        drive = up.disk / "0"
        assert drive.read_bytes() == b""
        assert "cd/dvd" in shell("sg_inq $1", drive)


# -- a disk with bad blocks ------------------------------------------------------------------------

NAME = "disk.pci-0000-00-04.0_ahci"


class Served(Hosted):
    """ahcid on a disk with that image."""

    def __init__(self, folder, blockdev):
        machine = qemu_rig.machine(
            [
                *("-blockdev", json.dumps(blockdev)),
                *("-device", "ich9-ahci,id=dut,addr=4"),
                *("-device", "ide-hd,bus=dut.0,drive=d0,serial=RB,rerror=report,werror=report"),
            ]
        )
        options = {"timeout_ms": 2000, "ncq": True, "trust_trim": False}
        super().__init__(folder, machine, "ahcid", NAME, options)
        self.disk = self.mount / NAME / "0"


def test_ddrescue_saves_all_but_the_blocks_that_are_bad(tmp_path):
    image = tmp_path / "sick.img"
    content = os.urandom(4 * MIB)
    image.write_bytes(content)
    bad = {1000, 1001, 4096, 7777}
    rules = [{"event": "read_aio", "errno": errno.EIO, "sector": lba} for lba in sorted(bad)]
    file = {"driver": "file", "filename": str(image)}
    served = Served(
        tmp_path,
        {
            "driver": "raw",
            "node-name": "d0",
            "file": {"driver": "blkdebug", "image": file, "inject-error": rules},
        },
    )
    try:
        rescued, map_file = tmp_path / "rescued", tmp_path / "map"
        shell(
            "ddrescue --idirect --sector-size=512 --retry-passes=1 -q $1 $2 $3",
            served.disk, rescued, map_file,
        )  # fmt: skip
    finally:
        served.close()
    lines = [line.split() for line in map_file.read_text().splitlines() if line[0] != "#"]
    lost = {
        lba
        for start, size, state in lines[1:]
        if state != "+"
        for lba in range(int(start, 16) // 512, (int(start, 16) + int(size, 16)) // 512)
    }
    assert lost == bad
    data = rescued.read_bytes()
    for lba in range(len(content) // 512):
        expected = bytes(512) if lba in bad else content[lba * 512 : lba * 512 + 512]
        assert data[lba * 512 : lba * 512 + 512] == expected
    assert "every command fails" not in served.log.read_text()
