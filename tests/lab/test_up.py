"""First light: `redbear-host up --lab nvme` and the programs people use on a disk."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from disk_users import fio, shell
from up_rig import Up, redbear

pytestmark = pytest.mark.timeout(300)

MIB = 1 << 20


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(os.urandom(8 * MIB) + bytes(56 * MIB))
    return path


@pytest.fixture
def up(tmp_path, image):
    with Up(tmp_path, "--lab", f"nvme:file={image},serial=RB01") as made:
        yield made


def test_up_ends_with_a_tree_of_what_is_served(up, image):
    assert "disk.pci-1ab0-00-04.0-nvme" in up.output
    assert "1  (64 MiB)" in up.output
    assert {"disk.pci-1ab0-00-04.0-nvme", "pci", "rand", "sys"} <= set(os.listdir(up.mount))
    for scheme in os.listdir(up.mount):
        assert scheme in up.output
    assert "uname" not in up.output  # what every instance has is named, not shown
    assert (up.disk / "1").stat().st_size == 64 * MIB
    assert "QEMU NVMe Ctrl RB01" in up.log("nvmed")


def test_dd_reads_what_is_in_qemus_file_and_what_it_writes_appears_there(up, image, tmp_path):
    shell("dd if=$1 bs=1M count=8 status=none | cmp -n 8388608 - $2", up.disk / "1", image)
    fresh = tmp_path / "fresh"
    fresh.write_bytes(os.urandom(3 * MIB + 1234))
    shell("dd if=$1 of=$2 bs=64k seek=160 conv=fsync,notrunc status=none", fresh, up.disk / "1")
    with image.open("rb") as file:
        file.seek(160 * 65536)
        assert file.read(fresh.stat().st_size) == fresh.read_bytes()


def test_fio_verifies_random_writes_of_all_sizes(up, tmp_path):
    out = fio(
        up.disk / "1", tmp_path, "--rw=randwrite", "--bsrange=512-64k", "--size=32M",
        "--ioengine=psync", "--direct=1",
    )  # fmt: skip
    assert "WRITE:" in out


def test_fio_verifies_at_depth_32(up, tmp_path):
    fio(
        up.disk / "1", tmp_path, "--rw=randwrite", "--bsrange=512-256k", "--size=48M",
        "--ioengine=libaio", "--iodepth=32", "--direct=1",
    )  # fmt: skip


def test_ext4_by_mkfs_fsck_and_a_loop_mount(up, image, tmp_path):
    disk, point = up.disk / "1", tmp_path / "mnt"
    point.mkdir()
    shell("mkfs.ext4 -q -F $1", disk)
    shell("e2fsck -fn $1", image)
    device = shell("losetup -f --show --direct-io=on $1", disk).strip()
    try:
        shell("mount $1 $2", device, point)
        try:
            shell(
                "mkdir $2/tree && cp -a $1 $2/tree && sync -f $2",
                Path(os.__file__).parent / "asyncio",
                point,
            )
            shell("diff -r $1 $2/tree/asyncio", Path(os.__file__).parent / "asyncio", point)
        finally:
            shell("umount $1", point)
    finally:
        shell("losetup -d $1", device)
    wait_for_close(disk)
    shell("e2fsck -fn $1", image)


def wait_for_close(path):
    """A loop device lets go of its file a moment after `losetup -d`."""
    deadline = time.monotonic() + 10
    while True:
        try:
            os.close(os.open(path, os.O_RDONLY))
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            return


def test_a_gpt_made_by_sgdisk_on_the_scheme_file_shows_its_partitions(up, image):
    disk = up.disk / "1"
    shell("sgdisk -og -n 1:2048:+8M -n 2:0:+16M -n 3:0:0 $1", disk)
    assert sorted(os.listdir(up.disk)) == ["1", "1p0", "1p1", "1p2"]
    assert (up.disk / "1p0").stat().st_size == 8 * MIB
    assert (up.disk / "1p1").stat().st_size == 16 * MIB
    (up.disk / "1p1").write_bytes(b"second partition")
    with image.open("rb") as file:
        file.seek(2048 * 512 + 8 * MIB)
        assert file.read(16) == b"second partition"
    shell("sgdisk -v $1", image)


def test_a_damaged_gpt_header_falls_back_and_garbage_is_refused(tmp_path, image):
    shell("sgdisk -og -n 1:2048:+8M -n 2:0:+16M $1", image)
    with image.open("r+b") as file:
        file.seek(512 + 16)
        file.write(b"\xff\xff\xff\xff")  # the header's own CRC
    with Up(tmp_path, "--lab", f"nvme:file={image}") as up:
        assert sorted(os.listdir(up.disk)) == ["1", "1p0", "1p1"]
        assert "the GPT at block 1 is damaged: header checksum" in up.log("nvmed")
        with (up.disk / "1").open("r+b", buffering=0) as file:
            file.write(os.urandom(64 * 512))
            file.seek(-64 * 512, os.SEEK_END)
            file.write(os.urandom(64 * 512))
        assert os.listdir(up.disk) == ["1"]
        assert up.daemon("nvmed")["restarts"] == 0


def test_fifty_kills_under_a_verifying_fio_are_not_noticed(up, tmp_path):
    load = subprocess.Popen(
        ["fio", "--name=verify", f"--filename={up.disk / '1'}", "--verify=crc32c",
         "--verify_fatal=1", "--rw=randwrite", "--bsrange=512-64k", "--size=32M",
         "--ioengine=psync", "--direct=1", "--loops=1000", "--verify_backlog=64"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
    )  # fmt: skip
    times = []
    try:
        for kill in range(50):
            wait_for_calls(load, kill % 7)
            times.append(up.kill("nvmed"))
            assert load.poll() is None, load.stdout.read()
        load.send_signal(signal.SIGINT)
        out = load.communicate(timeout=60)[0]
    finally:
        load.kill()
        load.wait()
        load.stdout.close()
    assert load.returncode in (0, 128, -signal.SIGINT), out
    assert "err= 0" in out, out
    assert "verify: bad" not in out, out
    assert up.daemon("nvmed")["restarts"] == 50
    fio(up.disk / "1", tmp_path, "--rw=randwrite", "--bs=4k", "--size=4M", "--ioengine=psync")
    print(f"restart: median {sorted(times)[25] * 1000:.0f} ms, worst {max(times) * 1000:.0f} ms")


def wait_for_calls(process, count):
    """Wait until a process has made `count` more system calls that read or write."""
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def calls():
        total = 0
        for pid in workers.read_text().split():
            lines = Path(f"/proc/{pid}/io").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("sysc"))
        return total

    deadline = time.monotonic() + 20
    wanted = calls() + count
    while calls() < wanted:
        assert time.monotonic() < deadline, "the load stands still"
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.001)


def test_the_rest_of_the_disk_keeps_its_bytes_over_down_and_up(tmp_path, image):
    before = hashlib.sha256(image.read_bytes()).hexdigest()
    for _ in range(2):
        with Up(tmp_path, "--lab", f"nvme:file={image}") as up:
            assert hashlib.sha256((up.disk / "1").read_bytes()).hexdigest() == before


def test_lspci_decodes_the_dump_of_pcid(up):
    out = shell("lspci -vF $1", up.mount / "pci" / "lspci")
    assert "1ab0:00:04.0 Non-Volatile memory controller" in out
    raw = (up.mount / "pci" / "1ab0--00--04.0" / "config").read_bytes()
    assert len(raw) == 4096
    assert raw[:4] == bytes.fromhex("361b1000")  # QEMU's NVMe controller, 1b36:0010


def test_others_than_root_cannot_open_a_disk(up):
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
         "head", "-c", "1", up.disk / "1"],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Permission denied" in done.stderr


def test_a_disk_is_opened_by_one_program_at_a_time(up):
    disk = up.disk / "1"
    with disk.open("rb"):
        done = subprocess.run(
            ["head", "-c", "1", disk], capture_output=True, text=True, timeout=20, check=False
        )
        assert "No locks available" in done.stderr
    shell("head -c 1 $1 > /dev/null", disk)


def test_the_guardian_cleans_up_after_a_killed_supervisor(tmp_path, image):
    up = Up(tmp_path, "--lab", f"nvme:file={image}")
    up.__enter__()
    pids = [d["pid"] for d in up.status["daemons"]] + [up.status["pid"]]
    os.kill(up.status["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 20
    while up.mount.exists() or (up.run_dir / "state.json").exists():
        assert time.monotonic() < deadline, up.log("guardian")
        time.sleep(0.01)
    assert not any(
        Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes()
        for pid in pids
    )
    with up:
        assert (up.disk / "1").exists()


def test_status_tells_that_a_device_has_left(tmp_path, image):
    with Up(tmp_path, "--lab", f"nvme:file={image}") as up:
        assert redbear("status", "--run-dir", up.run_dir).returncode == 0
        qemu = next(p for p in up.status["processes"] if p["name"].startswith("QEMU"))
        os.kill(qemu["pid"], signal.SIGKILL)
        deadline = time.monotonic() + 20
        while (done := redbear("status", "--run-dir", up.run_dir)).returncode == 0:
            assert time.monotonic() < deadline, up.log("nvmed")
        assert done.returncode == 3, done.stderr
        assert "1ab0:00:04.0 has left; see: redbear-host logs nvmed" in done.stdout
        with pytest.raises(OSError, match="No such device"):
            (up.disk / "1").read_bytes()
        assert up.daemon("nvmed")["restarts"] == 0


def test_all_brings_up_one_of_each_device_that_has_a_daemon(tmp_path):
    with Up(tmp_path, "--lab", "all", "--lab", "nvme:size=1M") as up:
        drivers = [d["name"].partition(".")[0] for d in up.status["daemons"] if d["device"]]
        assert sorted(drivers) == [
            *("ahcid", "e1000d", "e1000d", "e1000d", "ihdad", "nvmed", "nvmed"),
            *("vesad", "vesad", "virtio_gpud"),
        ]
        disks = [up.mount / s for d in up.status["daemons"] for s in d["schemes"]
                 if s.startswith("disk.")]  # fmt: skip
        sizes = sorted((disk / ("0" if disk.name.endswith("ahci") else "1")).stat().st_size
                       for disk in disks)  # fmt: skip
        assert sizes == [MIB, 64 * MIB, 64 * MIB]
