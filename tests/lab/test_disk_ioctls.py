"""The tools people use on a disk, unmodified, on the files of nvmed and ahcid."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from up_rig import Up

from redbear_host.abi import ioctls as i

pytestmark = pytest.mark.timeout(120)

MIB = 1 << 20
NVME_MODEL, NVME_SERIAL = "QEMU NVMe Ctrl", "RBNVME0042"  # its model cannot be chosen
SERIAL, MODEL, FIRMWARE = "RBSATA0017", "REDBEAR-TEST-DISK-17", "FW3.14"


def tool(*words, status=0):
    """Run a program; return what it printed."""
    done = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def fields(text):
    """Read lines of the form `name: value`."""
    found = re.findall(r"^[ \t]*([^:\n]+?)[ \t]*:[ \t]*(\S.*?)[ \t]*$", text, re.MULTILINE)
    return dict(found)


@pytest.fixture(scope="module")
def disks(tmp_path_factory):
    """One instance with both kinds of disk, for all tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("disks")
    for name in ("nvme", "ahci"):
        (folder / name).write_bytes(os.urandom(MIB) + bytes(7 * MIB))
    disc = folder / "disc"
    disc.write_bytes(os.urandom(4 * MIB))
    with Up(
        folder,
        "--lab",
        f"nvme:file={folder / 'nvme'},serial={NVME_SERIAL}",
        "--lab",
        f"ahci:file={folder / 'ahci'},serial={SERIAL},model={MODEL},firmware={FIRMWARE},cd={disc}",
    ) as up:
        yield up


@pytest.fixture(scope="module")
def nvme(disks):
    return next(disks.mount.glob("disk.*nvme")) / "1"


@pytest.fixture(scope="module")
def ata(disks):
    return next(disks.mount.glob("disk.*ahci")) / "0"


@pytest.fixture(scope="module")
def drive(disks):
    return next(disks.mount.glob("disk.*ahci")) / "1"


# -- who is it -------------------------------------------------------------------------------------


def test_smartctl_reads_an_nvme_disk(nvme):
    """Its status is 0: nothing failed, and no attribute is at its threshold."""
    said = tool("smartctl", "-a", "-d", "nvme,0x1", nvme)
    told = fields(said)
    assert told["Model Number"] == NVME_MODEL
    assert told["Serial Number"] == NVME_SERIAL
    assert told["Firmware Version"] == os_firmware(nvme)
    assert told["Namespace 1 Size/Capacity"].startswith("8,388,608")
    assert told["SMART overall-health self-assessment test result"] == "PASSED"
    assert told["Temperature"] == "50 Celsius"  # QEMU's is 323 K
    assert "No Errors Logged" in said


def os_firmware(path):
    """Ask by our own hands: Identify Controller, bytes 64 to 72."""
    with Passthrough(path) as disk:
        return disk.nvme(0x06, cdw10=1, size=4096)[64:72].decode().strip()


def test_smartctl_reads_an_ata_disk(ata):
    """As above: status 0."""
    told = fields(tool("smartctl", "-a", "-d", "sat", ata))
    assert told["Device Model"] == MODEL
    assert told["Serial Number"] == SERIAL
    assert told["Firmware Version"] == FIRMWARE
    assert told["User Capacity"].startswith("8,388,608 bytes")
    assert told["SMART overall-health self-assessment test result"] == "PASSED"


def test_hdparm_identifies_an_ata_disk(ata):
    told = fields(tool("hdparm", "-I", ata))
    assert told["Model Number"] == MODEL
    assert told["Serial Number"] == SERIAL
    assert told["Firmware Revision"] == FIRMWARE
    assert told["LBA48  user addressable sectors"] == str(8 * MIB // 512)
    assert "drive state is:  active/idle" in tool("hdparm", "-C", ata)


def test_hdparm_reads_what_linux_would_know_of_an_ata_disk(ata):
    said = tool("hdparm", "-i", ata)
    assert f"Model={MODEL}, FwRev={FIRMWARE}, SerialNo={SERIAL}" in said


def test_hdparm_identifies_a_cd_drive(drive):
    told = fields(tool("hdparm", "-I", drive))
    assert told["Model Number"] == "QEMU DVD-ROM"
    assert told["Serial Number"] == SERIAL


def test_nvme_cli_works_once_it_takes_the_file_for_a_device(nvme, tmp_path):
    library = tmp_path / "looks_like_a_device.so"
    source = Path(__file__).with_name("looks_like_a_device.c")
    tool("gcc", "-shared", "-fPIC", "-o", library, source, "-ldl")
    cli = ["env", f"LD_PRELOAD={library}", "nvme"]
    told = fields(tool(*cli, "id-ctrl", nvme))
    assert (told["sn"], told["mn"], told["fr"]) == (NVME_SERIAL, NVME_MODEL, os_firmware(nvme))
    assert re.search(r"323 Kelvin|\(323 K\)", tool(*cli, "smart-log", nvme))  # nvme-cli 2.3, 2.13
    assert fields(tool(*cli, "id-ns", "-n", "1", nvme))["nsze"] == "0x4000"
    refused = tool(*cli, "format", "--force", "-n", "1", nvme, status=1)
    assert "Operation not permitted" in refused


@pytest.mark.parametrize(
    ("kind", "vendor", "model", "serial"),
    [("nvme", "NVMe", NVME_MODEL, NVME_SERIAL), ("ata", "ATA", MODEL[:16], SERIAL)],
)
def test_sg_inq_names_both(request, kind, vendor, model, serial):
    path = request.getfixturevalue(kind)
    told = fields(tool("sg_inq", path))
    assert told["Vendor identification"] == vendor
    assert told["Product identification"] == model
    assert told.get("Unit serial number", serial) == serial  # sg3-utils 1.48 leaves it out here
    assert told["Product revision level"] == (os_firmware(path) if kind == "nvme" else "14")[-4:]
    assert serial in tool("sg_vpd", "-p", "sn", path)
    identification = tool("sg_vpd", "-p", "di", path)
    assert serial in identification
    assert vendor in identification
    assert re.search(
        "Maximum transfer length: (2048 blocks|0x800)", tool("sg_vpd", "-p", "bl", path)
    )
    assert "edium" in tool("sg_vpd", "-p", "bdc", path)
    assert "Block limits" in tool("sg_vpd", "-p", "sv", path)


def test_sg_vpd_shows_the_identify_data_of_an_ata_disk(ata):
    told = fields(tool("sg_vpd", "-p", "ai", ata))
    assert told["model"] == MODEL
    assert told["serial number"] == SERIAL
    assert told["firmware revision"] == FIRMWARE


def test_a_program_in_other_namespaces_is_reached_as_well(nvme):
    apart = ["unshare", "-p", "-m", "-n", "-f", "--mount-proc", "smartctl", "-i", "-d", "nvme,0x1"]
    assert fields(tool(*apart, nvme))["Serial Number"] == NVME_SERIAL


@pytest.mark.parametrize("kind", ["nvme", "ata"])
def test_the_size_is_the_same_by_every_way(request, kind):
    path = request.getfixturevalue(kind)
    for options in ([], ["--16"]):
        said = tool("sg_readcap", *options, path)
        assert "Last LBA=16383 (0x3fff), Number of logical blocks=16384" in said
        assert "Logical block length=512 bytes" in said
        assert "Device size: 8388608 bytes" in said
    asked = ["--getsize64", "--getsz", "--getss", "--getpbsz", "--getro", "--getiomin", "--getbsz"]
    answers = [str(8 * MIB), "16384", "512", "512", "0", "512", "512"]
    assert tool("blockdev", *asked, path).split() == answers


def test_a_cd_drive_is_asked_itself(drive):
    told = fields(tool("sg_inq", drive))
    assert told["Product identification"] == "QEMU DVD-ROM"
    assert "Number of logical blocks=2048" in tool("sg_readcap", drive)
    tool("sg_turs", drive)


# -- how is it -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "celsius"), [("nvme", 50), ("ata", 31)])
def test_sg_logs_tells_the_temperature_that_smart_tells(request, kind, celsius):
    said = tool("sg_logs", "-a", request.getfixturevalue(kind))
    assert f"Current temperature = {celsius} C" in said
    assert "IE asc = 0x0, ascq = 0x0" in said


@pytest.mark.parametrize("kind", ["nvme", "ata"])
def test_the_everyday_scsi_commands_are_answered(request, kind):
    path = request.getfixturevalue(kind)
    for words in (["sg_turs"], ["sg_sync"], ["sg_luns"], ["sg_requests"]):
        tool(*words, path)
    assert "Caching, page_control: current" in tool("sg_modes", "-a", path)
    assert "Caching, page_control: current" in tool("sg_modes", "-6", "-a", path)
    with Passthrough(path) as disk:
        assert disk.scsi(bytes([0x99]).ljust(16, b"\0")) == (2, 5)  # ILLEGAL REQUEST


@pytest.mark.parametrize("kind", ["nvme", "ata"])
def test_blocks_read_by_scsi_commands_are_those_of_the_file(request, kind, disks, tmp_path):
    path = request.getfixturevalue(kind)
    out = tmp_path / "out"
    tool("sg_dd", f"if={path}", f"of={out}", "bs=512", "count=1024", "bpt=64", "blk_sgio=1")
    assert (
        out.read_bytes() == (disks.run_dir.parent / path.parent.name[-4:]).read_bytes()[: MIB // 2]
    )


def test_sg_sat_identify_sees_the_registers(ata):
    said = tool("sg_sat_identify", "--ck_cond", "-vvv", ata)
    assert "ATA Status Return" in said
    assert "status=0x50" in said


# -- what is refused -------------------------------------------------------------------------------


class Passthrough:
    """A disk's file, and the ioctls of NVMe and SCSI by hand."""

    def __init__(self, path, flags=os.O_RDONLY):
        self.fd = os.open(path, flags)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def nvme(self, opcode, *, cdw10=0, cdw12=0, size=0, nsid=1, io=False, data=b""):
        """Return what the controller sent; an errno raises, a status is asserted to be 0."""
        buffer = ctypes.create_string_buffer(data, max(size, 1))
        words = (cdw10, 0, cdw12, 0, 0, 0)
        head = bytearray(
            i.NVME_IN.pack(opcode, 0, nsid, 0, 0, 0, ctypes.addressof(buffer), 0, size, *words, 0)
            + bytes(4)
        )
        ioctl = i.NVME_IOCTL_IO_CMD if io else i.NVME_IOCTL_ADMIN_CMD
        assert fcntl.ioctl(self.fd, ioctl, head) == 0
        return buffer.raw

    def scsi(self, cdb, data=b"", read=False):
        """Send a command without data, or with; return status and sense key.

        With `read` data is only room for what comes, and a refusal is no error.
        """
        command, sense = ctypes.create_string_buffer(cdb), ctypes.create_string_buffer(64)
        buffer = ctypes.create_string_buffer(data, max(1, len(data)))
        way = (i.SG_FROM_DEV if read else i.SG_TO_DEV) if data else i.SG_NONE
        places = map(ctypes.addressof, (buffer, command, sense))
        head = bytearray(
            i.SG_IN.pack(83, way, len(cdb), 64, 0, len(data), *places, 5000, 0, 0, 0)
        ).ljust(i.SG_BYTES, b"\0")
        try:
            fcntl.ioctl(self.fd, i.SG_IO, head)
        except PermissionError:
            if not read:
                raise
            return None, 0
        assert not head[68:70].strip(b"\0")  # the transport had no trouble
        return head[64], sense.raw[2] & 0xF


def refused(call, *arguments, **named):
    with pytest.raises(OSError, match=r"\[Errno") as caught:
        call(*arguments, **named)
    return caught.value.errno


@pytest.mark.parametrize(
    "opcode",
    [
        0x80,
        0x84,
        0x10,
        0x11,
        0x0D,
        0x15,
        0x09,
        0x81,
        0x1D,
        0xC0,
        0xFF,
        0x00,
        0x01,
        0x04,
        0x08,
        0x0C,
    ],
)
def test_nvme_admin_commands_that_do_not_read_are_refused(nvme, disks, opcode):
    with Passthrough(nvme, os.O_RDWR) as disk:
        assert refused(disk.nvme, opcode) == errno.EPERM
    assert f"NVMe admin command {opcode:#04x} is refused" in disks.log("nvmed")


def test_nvme_writes_are_refused_and_reads_are_not(nvme, disks):
    before = (disks.run_dir.parent / "nvme").read_bytes()
    with Passthrough(nvme, os.O_RDWR) as disk:
        for opcode in (0x01, 0x04, 0x08, 0x09):
            assert refused(disk.nvme, opcode, size=4096, cdw12=7, io=True) == errno.EPERM
        assert disk.nvme(0x02, cdw10=8, cdw12=7, size=4096, io=True) == before[4096:8192]
        assert refused(disk.nvme, 0x02, cdw12=15, size=4096, io=True) == errno.EINVAL  # too little
    assert (disks.run_dir.parent / "nvme").read_bytes() == before


@pytest.mark.parametrize(
    ("command", "feature"),
    [
        *((0x30, 0), (0x35, 0), (0x45, 0), (0x06, 1), (0x92, 3), (0xF1, 0), (0xF4, 0), (0xEF, 2)),
        *((0xB0, 0xD9), (0xB0, 0xD6), (0xF9, 0), (0x37, 0), (0xB1, 0xC3), (0xB4, 0x11), (0x80, 0)),
        (0xE6, 0),
    ],
)
def test_ata_commands_that_do_not_read_are_refused(ata, command, feature):
    cdb = bytes([0x85, 3 << 1, 0, 0, feature, 0, 1, 0, 0, 0, 0, 0, 0, 0x40, command, 0])
    with Passthrough(ata, os.O_RDWR) as disk:
        assert refused(disk.scsi, cdb) == errno.EPERM


@pytest.mark.parametrize("kind", ["nvme", "ata"])
def test_scsi_commands_that_destroy_are_refused(request, kind):
    path = request.getfixturevalue(kind)
    with Passthrough(path, os.O_RDWR) as disk:
        for opcode in (0x04, 0x2A, 0x8A, 0x41, 0x42, 0x48, 0x3B, 0x55, 0x5F, 0x93):
            assert refused(disk.scsi, bytes([opcode]).ljust(16, b"\0"), bytes(512)) == errno.EPERM


def test_partitions_and_directories_take_no_commands(disks, nvme):
    folder = os.open(nvme.parent, os.O_RDONLY)
    assert refused(fcntl.ioctl, folder, i.BLKGETSIZE64, bytearray(8)) == errno.ENOTTY
    os.close(folder)


def test_three_hundred_odd_commands_leave_the_disk_where_it_is(ata):
    rng = random.Random(7)
    reads = [
        0x20,
        0x24,
        0x25,
        0x2F,
        0x40,
        0x42,
        0x47,
        0xA1,
        0xC8,
        0xE4,
        0xE5,
        0xE9,
        0xEC,
        0xF8,
        0xB0,
    ]
    with Passthrough(ata) as disk:
        for _ in range(300):
            cdb = bytearray(rng.randbytes(16))
            cdb[0], cdb[14] = 0x85, rng.choice(reads)
            cdb[1], cdb[2] = rng.choice((6, 7, 8, 9, 12, 13)), rng.choice((0x0C, 0x0E, 0x2E, 0x0F))
            cdb[5], cdb[6] = 0, rng.choice((0, 1, 2, 255))
            status, _ = disk.scsi(
                bytes(cdb), bytes(rng.choice((0, 1, 512, 1024, 65536))), read=True
            )
            assert status in (0, 2, None)  # None: refused
    assert fields(tool("hdparm", "-I", ata))["Serial Number"] == SERIAL


# -- what may be lost ------------------------------------------------------------------------------


@pytest.fixture
def doomed(tmp_path):
    image = tmp_path / "disk"
    image.write_bytes(os.urandom(8 * MIB))
    with Up(tmp_path, "--destructive", "--lab", f"nvme:file={image},serial=RB") as up:
        up.image = image
        yield up


def test_a_destructive_device_takes_everything_by_a_file_open_for_writing(doomed):
    path, fresh = doomed.disk / "1", os.urandom(4096)
    with Passthrough(path) as disk:
        assert refused(disk.nvme, 0x01, cdw12=7, size=4096, io=True, data=fresh) == errno.EPERM
        assert refused(disk.nvme, 0x80) == errno.EPERM
    with Passthrough(path, os.O_RDWR) as disk:
        disk.nvme(0x01, cdw10=16, cdw12=7, size=4096, io=True, data=fresh)
        assert os.pread(disk.fd, 4096, 16 * 512) == fresh
        assert refused(disk.nvme, 0x01, cdw10=0, size=0) == errno.EPERM  # the driver's queues
        assert disk.scsi(bytes([0x2A, 0, 0, 0, 0, 99, 0, 0, 8, 0]), fresh)[0] == 0
        assert disk.nvme(0x02, cdw10=99, cdw12=7, size=4096, io=True) == fresh
        assert refused(disk.nvme, 0x80, cdw10=4) == errno.EPERM  # blocks of 4096 bytes
        disk.nvme(0x80)  # Format NVM, format 0
        deadline = time.monotonic() + 10
        while os.pread(disk.fd, 4096, 16 * 512) == fresh:
            assert time.monotonic() < deadline
    assert fresh not in doomed.image.read_bytes()


def test_ranges_are_zeroed_and_discarded(doomed):
    fd = os.open(doomed.disk / "1", os.O_RDWR)
    try:
        before = doomed.image.read_bytes()
        fcntl.ioctl(fd, i.BLKZEROOUT, struct.pack("=QQ", 4096, 8192))
        fcntl.ioctl(fd, i.BLKDISCARD, struct.pack("=QQ", MIB, MIB))
        expected = bytearray(before)
        expected[4096:12288] = bytes(8192)
        expected[MIB : 2 * MIB] = bytes(MIB)
        assert os.pread(fd, 8 * MIB, 0) == bytes(expected)
        for bad in ((1, 512), (8 * MIB, 512), (0, 2**64 - 512)):
            ask = struct.pack("=QQ", *bad)
            assert refused(fcntl.ioctl, fd, i.BLKZEROOUT, ask) == errno.EINVAL
        fcntl.ioctl(fd, i.BLKFLSBUF)
    finally:
        os.close(fd)
    assert doomed.image.read_bytes() == bytes(expected)


def test_a_daemon_killed_between_ioctls_is_not_noticed(doomed):
    path = doomed.disk / "1"
    with Passthrough(path) as disk:
        assert disk.nvme(0x06, cdw10=1, size=4096)[4:6] == b"RB"
        doomed.kill("nvmed")
        assert disk.nvme(0x06, cdw10=1, size=4096)[4:6] == b"RB"


def test_a_client_that_is_killed_or_interrupted_in_its_ioctls_leaves_nothing(doomed):
    """Four of them ask for ever; each is ended in the middle of something."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from test_disk_ioctls import Passthrough\n"
        "d = Passthrough(sys.argv[1])\n"
        "print('asks', flush=True)\n"
        "while True: d.nvme(6, cdw10=1, size=4096)\n"
    )
    here = Path(__file__).parent
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
        argv = [sys.executable, "-c", script, str(doomed.disk / "1"), str(here)]
        asker = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert asker.stdout.readline() == b"asks\n"
        time.sleep(0.02)
        asker.send_signal(number)
        assert asker.wait(10) != 0
        asker.stdout.close()
    assert doomed.daemon("nvmed")["restarts"] == 0
    assert (
        fields(tool("smartctl", "-i", "-d", "nvme,0x1", doomed.disk / "1"))["Serial Number"] == "RB"
    )


def copier_of(pid):
    """Return the process that copies for a daemon."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"kernel_shim.copier" in words and str(pid).encode() in words:
                return int(entry.name)
    raise AssertionError("it has none")


def test_a_command_in_hand_at_a_daemons_death_is_not_sent_again(doomed):
    """The copier is stopped meanwhile, so that the ioctl cannot end before."""
    path = doomed.disk / "1"
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from test_disk_ioctls import *\n"
        "print(refused(Passthrough(sys.argv[1]).nvme, 6, cdw10=1, size=4096), flush=True)\n"
    )
    argv = [sys.executable, "-c", script, str(path), str(Path(__file__).parent)]
    with Passthrough(path) as disk:
        assert disk.nvme(0x06, cdw10=1, size=4096)[4:6] == b"RB"
    os.kill(copier_of(doomed.daemon("nvmed")["pid"]), signal.SIGSTOP)
    asker = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while " ioctl " not in (said := (doomed.mount / "sys" / "requests").read_text()):
        assert time.monotonic() < deadline, said
        time.sleep(0.01)
    doomed.kill("nvmed")
    said, _ = asker.communicate(timeout=30)
    assert said == f"{errno.EIO}\n"
    with Passthrough(path) as disk:
        assert disk.nvme(0x06, cdw10=1, size=4096)[4:6] == b"RB"
