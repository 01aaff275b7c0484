from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest
from block_bench import Call
from ioctl_bench import AtaDisk, IoctlBench, Memory, NvmeDisk, SlowNvmeDisk, nvme_head, sg_head

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi import ioctls as i
from redbear_host.classes.commands import AtaResult, NvmeCommand, Transfer
from redbear_host.classes.ioctl import nvme, sat
from redbear_host.errors import Refused
from redbear_host.models.ramdisk import RamDisk
from tests.unit.c_probe import answers

HEADERS = ("scsi/sg", "scsi/scsi_ioctl", "linux/fs", "linux/hdreg", "linux/nvme_ioctl")
IDENTIFY_16 = bytes([0x85, 4 << 1, 0x0E, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xEC, 0])
READS_STATUS = bytes([0x85, 3 << 1, 0x20, 0, 0xDA, 0, 0, 0, 0, 0, 0x4F, 0, 0xC2, 0, 0xB0, 0])


# -- numbers ---------------------------------------------------------------------------------------


def test_numbers_and_sizes_are_those_of_the_headers(tmp_path: Path) -> None:
    names = [name for name, value in vars(i).items() if name.startswith(
        ("BLK", "HDIO_", "SG_GET", "SG_SET", "SG_EMULATED", "SCSI_IOCTL", "NVME_IOCTL")
    ) or name == "SG_IO"]  # fmt: skip
    ours = {name: getattr(i, name) for name in names} | {
        "sizeof(sg_io_hdr_t)": i.SG_BYTES,
        "sizeof(struct nvme_passthru_cmd)": i.NVME_BYTES,
        "sizeof(struct nvme_passthru_cmd64)": i.NVME64_BYTES,
        "sizeof(struct hd_geometry)": i.GEOMETRY.size,
        "offsetof(sg_io_hdr_t, status)": i.SG_IN.size,
        "offsetof(sg_io_hdr_t, info)": i.SG_IN.size + i.SG_OUT.size - 4,
        "offsetof(struct nvme_passthru_cmd, result)": i.NVME_IN.size,
        "offsetof(struct nvme_passthru_cmd64, result)": i.NVME64_BYTES - 8,
    }
    found = answers(
        tmp_path,
        "".join(f"#include <{name}.h>\n" for name in HEADERS),
        {what: what for what in ours},
        lambda what: f"defined({what})" if what in names else "1",
        "-w",
    )
    assert len(found) > 25
    assert {name: ours[name] for name in found} == found


# -- facts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (i.BLKROGET, bytes(4)),
        (i.BLKGETSIZE, (64).to_bytes(8, "little")),
        (i.BLKSSZGET, (512).to_bytes(4, "little")),
        (i.BLKPBSZGET, (4096).to_bytes(4, "little")),
        (i.BLKIOMIN, (4096).to_bytes(4, "little")),
        (i.BLKROTATIONAL, bytes(2)),
        (i.BLKSECTGET, (2048).to_bytes(2, "little")),
        (i.SG_GET_VERSION_NUM, (30527).to_bytes(4, "little")),
        (i.HDIO_GETGEO, i.GEOMETRY.pack(255, 63, 0, 0)),
    ],
)
def test_facts_go_into_the_callers_memory(command: int, answer: bytes) -> None:
    memory = Memory(b"")
    assert IoctlBench(AtaDisk(w106=0x6003)).ioctl(command, memory).result == 0
    assert memory.stored == (answer, b"", b"")
    assert len(answer) == i.LAYOUTS[command].out_size


def test_sized_facts_need_no_memory() -> None:
    bench = IoctlBench(NvmeDisk())
    assert bench.ioctl(i.BLKGETSIZE64).result == (64 * 512).to_bytes(8, "little")
    assert bench.ioctl(i.BLKBSZGET).result == (512).to_bytes(4, "little")
    assert bench.ioctl(i.NVME_IOCTL_ID).result == 1
    assert bench.ioctl(i.BLKRRPART).result == 0
    assert bench.ioctl(i.BLKFLSBUF).result == 0


def test_without_a_copier_and_for_what_there_is_not_it_is_no_typewriter() -> None:
    bench = IoctlBench(AtaDisk())
    with pytest.raises(Refused):
        bench.ioctl(i.SG_IO)
    assert bench.ioctl(0x5401, Memory(b"")).error == e.ENOTTY
    assert bench.ioctl(i.NVME_IOCTL_ADMIN_CMD, Memory(bytes(72))).error == e.ENOTTY
    with pytest.raises(Refused):
        bench.ioctl(i.NVME_IOCTL_ID)


def test_a_fault_of_the_callers_memory_is_told() -> None:
    memory = Memory(b"")
    memory.fault = e.EFAULT
    bench = IoctlBench(AtaDisk())
    assert bench.ioctl(i.BLKSSZGET, memory).error == e.EFAULT
    assert bench.ioctl(i.SG_IO, Memory(b"", errno=e.EFAULT)).error == e.EFAULT


def test_zeroing_needs_a_file_open_for_writing_and_a_range_inside() -> None:
    disk = RamDisk(64)
    disk.data[:] = b"\xff" * len(disk.data)
    bench = IoctlBench(disk)
    assert bench.ioctl(i.BLKZEROOUT, Memory(i.RANGE.pack(512, 1024))).result == 0
    assert disk.data == b"\xff" * 512 + bytes(1024) + b"\xff" * (61 * 512)
    for bad in ((1, 512), (0, 511), (63 * 512, 1024), (2**64 - 512, 1024)):
        assert bench.ioctl(i.BLKDISCARD, Memory(i.RANGE.pack(*bad))).error == e.EINVAL
    reader = IoctlBench(RamDisk(64), flags=f.O_RDONLY)
    assert reader.ioctl(i.BLKZEROOUT, Memory(i.RANGE.pack(0, 512))).error == e.EBADF


# -- SCSI ------------------------------------------------------------------------------------------


def test_inquiry_of_an_ata_disk() -> None:
    status, sense, data = IoctlBench(AtaDisk()).scsi(bytes([0x12, 0, 0, 0, 96, 0]), 96)
    assert (status, sense, len(data)) == (0, b"", 96)
    assert data[8:36] == b"ATA     A SMALL ATA DISK14  "


def test_inquiry_of_an_nvme_disk_is_asked_of_its_controller() -> None:
    bench = IoctlBench(NvmeDisk())
    _, _, data = bench.scsi(bytes([0x12, 0, 0, 0, 96, 0]), 96)
    assert data[8:36] == b"NVMe    A SMALL NVME DIS1234"
    assert [(one.opcode, one.cdw10, one.nsid) for one in bench.disk.sent] == [(6, 1, 0), (6, 0, 1)]


def test_an_answer_is_cut_to_what_there_is_room_for() -> None:
    bench = IoctlBench(AtaDisk())
    assert len(bench.scsi(bytes([0x12, 0, 0, 0, 96, 0]), 5)[2]) == 5
    assert len(bench.scsi(bytes([0x12, 0, 0, 0, 7, 0]), 96)[2]) == 7
    assert bench.scsi(bytes([0x99]).ljust(16, b"\0"), sense=4) == (2, b"\x70\0\5\0", b"")


def test_capacities_name_the_last_block_and_the_physical_one() -> None:
    bench = IoctlBench(AtaDisk(w106=0x6003))
    assert bench.scsi(bytes([0x25]).ljust(10, b"\0"), 8)[2] == bytes([0, 0, 0, 63, 0, 0, 2, 0])
    data = bench.scsi(bytes([0x9E, 0x10]).ljust(13, b"\0") + b"\x20\0\0", 32)[2]
    assert data[:14] == (63).to_bytes(8, "big") + bytes([0, 0, 2, 0, 0, 3])


@pytest.mark.parametrize("disk", [AtaDisk, NvmeDisk])
def test_reads_return_the_disks_bytes_and_end_at_its_end(disk: type[RamDisk]) -> None:
    bench = IoctlBench(disk(64))
    bench.disk.data[:] = bytes(at % 251 for at in range(64 * 512))
    wanted = bytes(bench.disk.data[3 * 512 : 5 * 512])
    for cdb in (
        bytes([0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0]),
        bytes([0xA8, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0]),
        bytes([0x88, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0]),
        bytes([0x08, 0, 0, 3, 2, 0]),
    ):
        assert bench.scsi(cdb, 1024) == (0, b"", wanted)
        assert bench.scsi(cdb, 1023)[1][2] == 5  # no room
    status, sense, _ = bench.scsi(bytes([0x28, 0, 0, 0, 0, 63, 0, 0, 2, 0]), 1024)
    assert (status, sense[2], sense[12:14]) == (2, 5, b"\x21\0")


@pytest.mark.parametrize("opcode", [0x2A, 0xAA, 0x8A])
def test_a_write_that_forces_unit_access_is_on_the_medium_when_it_ends(
    opcode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = RamDisk(64)
    bench = IoctlBench(disk, destructive=True)
    plain = bytearray({0x2A: 10, 0xAA: 12, 0x8A: 16}[opcode])
    plain[0], plain[{0x2A: 8, 0xAA: 9, 0x8A: 13}[opcode]] = opcode, 1
    forced = bytes([opcode, 1 << 3]) + plain[2:]
    flushes: list[bytes] = []
    really = disk.flush
    monkeypatch.setattr(
        disk, "flush", lambda done: (flushes.append(bytes(disk.data[:512])), really(done))
    )
    assert bench.scsi(bytes(plain), data=b"a" * 512)[0] == 0
    assert flushes == []
    assert bench.scsi(forced, data=b"b" * 512)[0] == 0
    assert flushes == [b"b" * 512]


def test_smart_of_either_kind_is_the_temperature() -> None:
    for disk, celsius in ((AtaDisk(), 37), (NvmeDisk(), 41)):
        data = IoctlBench(disk).scsi(bytes([0x4D, 0, 0x4D, 0, 0, 0, 0, 0, 64, 0]), 64)[2]
        assert data[:10] == bytes([0x0D, 0, 0, 12, 0, 0, 3, 2, 0, celsius])
    exceptions = bytes([0x4D, 0, 0x6F, 0, 0, 0, 0, 0, 64, 0])
    assert IoctlBench(AtaDisk()).scsi(exceptions, 64)[2][8:10] == b"\x5d\x10"  # it says it fails


# -- ATA PASS-THROUGH ------------------------------------------------------------------------------


def test_identify_goes_to_the_device_and_comes_back() -> None:
    disk = AtaDisk()
    assert IoctlBench(disk).scsi(IDENTIFY_16, 512) == (0, b"", disk.identify)
    (sent,) = disk.sent
    assert (sent.command, sent.transfer, sent.count) == (0xEC, Transfer.PIO_IN, 1)
    twelve = bytes([0xA1, 4 << 1, 0x0E, 0, 1, 0, 0, 0, 0, 0xEC, 0, 0])
    assert IoctlBench(AtaDisk()).scsi(twelve, 512)[2] == disk.identify


def test_registers_come_back_when_they_are_asked_for() -> None:
    status, sense, _ = IoctlBench(AtaDisk()).scsi(READS_STATUS)
    assert status == 2
    assert sense[:8] == bytes([0x72, 1, 0, 0x1D, 0, 0, 0, 14])
    assert sense[8:] == bytes([9, 12, 0, 0, 0, 0xFF, 0, 0, 0, 0xF4, 0, 0x2C, 0x40, 0x50])


def test_only_what_lasts_has_the_time_its_client_gives_it() -> None:
    disk = AtaDisk()
    bench = IoctlBench(disk, destructive=True)
    for feature, command, timeout in ((0xD4, 0xB0, 7), (0, 0xF4, 7), (0, 0xE5, 0), (0xDA, 0xB0, 0)):
        cdb = bytes([0x85, 3 << 1, 0x20, 0, feature, *bytes(9), command, 0])
        head = i.SG_IN.pack(83, i.SG_NONE, 16, 32, 0, 0, 1, 2, 3, 7, 0, 0, 0)
        assert bench.ioctl(i.SG_IO, Memory(head.ljust(i.SG_BYTES, b"\0"), cdb)).result == 0
        assert disk.sent[-1].timeout_ms == timeout


@pytest.mark.parametrize(
    ("error", "key", "code"),
    [(0x40, 3, b"\x11\x04"), (0x10, 5, b"\x21\0"), (0x84, 0xB, b"\x47\3"), (0x04, 0xB, b"\0\0")],
)
def test_errors_of_the_device_become_sense_keys(error: int, key: int, code: bytes) -> None:
    disk = AtaDisk()
    disk.fails = AtaResult(0, 0x51, error, 1, 0x123456789ABC, 0x40)
    extended = bytes([0x85, 6 << 1 | 1, 0x0E, 0, 0, 0, 1, *bytes(7), 0x25, 0])
    status, sense, _ = IoctlBench(disk).scsi(extended, 512)
    assert (status, sense[1], sense[2:4]) == (2, key, code)
    assert sense[10:22] == bytes([1, error, 0, 1, 0x56, 0xBC, 0x34, 0x9A, 0x12, 0x78, 0x40, 0x51])


@pytest.mark.parametrize(("errno", "host"), [(e.ETIMEDOUT, 3), (e.ENODEV, 1), (e.EIO, 7)])
def test_a_device_that_does_not_answer_is_the_hosts_status(errno: int, host: int) -> None:
    disk = AtaDisk()
    disk.fails = AtaResult(errno)
    memory = Memory(sg_head(IDENTIFY_16, 512, b"", 32), IDENTIFY_16)
    assert IoctlBench(disk).ioctl(i.SG_IO, memory).result == 0
    assert memory.stored is not None
    assert i.SG_OUT.unpack(memory.stored[0])[4] == host


def test_what_a_predecessor_had_in_hand_is_not_sent_twice() -> None:
    disk = AtaDisk()
    memory = Memory(sg_head(IDENTIFY_16, 512, b"", 32), IDENTIFY_16)
    assert IoctlBench(disk).ioctl(i.SG_IO, memory, replayed=True).error == e.EIO
    assert disk.sent == []


def ata(command: int, feature: int = 0) -> bytes:
    return bytes([0x85, 3 << 1, 0, 0, feature, 0, 0, 0, 0, 0, 0, 0, 0, 0, command, 0])


def refusal(bench: IoctlBench, cdb: bytes, data: bytes = b"") -> int:
    return bench.ioctl(i.SG_IO, Memory(sg_head(cdb, 0, data, 32), cdb, data)).error


def test_of_all_ata_commands_only_those_that_read_get_through(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = IoctlBench(AtaDisk())
    passed = set()
    for command in range(256):
        for feature in range(256) if command == 0xB0 else (0,):
            memory = Memory(sg_head(ata(command, feature), 0, b"", 32), ata(command, feature))
            call = bench.ioctl(i.SG_IO, memory)
            if call.errors:
                assert call.error == e.EPERM
            else:
                passed.add((command, feature))
    smart = {(0xB0, feature) for feature in (0xD0, 0xD1, 0xD4, 0xD5, 0xDA)}
    others = {
        0x20, 0x24, 0x25, 0x27, 0x2F, 0x40, 0x42, 0x47, 0xA1, 0xC8, 0xE0, 0xE1, 0xE4, 0xE5, 0xE7,
        0xE9, 0xEA, 0xEC, 0xF8,
    }  # fmt: skip
    assert passed == smart | {(command, 0) for command in others}
    assert "redbear-host up --destructive" in caplog.text


def test_a_reading_command_with_a_protocol_or_a_length_of_another_is_not_sent() -> None:
    disk = AtaDisk()
    bench = IoctlBench(disk)
    read, identify, pio, dma, none = 0x25, 0xEC, 4, 6, 3
    for command, protocol, count, size in [
        (read, none, 1, 0),
        (read, pio, 1, 512),
        (read, dma, 2, 512),
        (read, dma, 0, 512),
        (identify, dma, 1, 512),
        (identify, pio, 2, 1024),
        (identify, none, 0, 0),
        (0xE5, pio, 1, 512),
    ]:
        cdb = bytes([0x85, protocol << 1 | 1, 0x0F, 0, 0, 0, count, *bytes(7), command, 0])
        status, sense, _ = bench.scsi(cdb, size)
        assert (status, sense[2]) == (2, 5)
    assert disk.sent == []


@pytest.mark.parametrize("command", [0x24, 0x25, 0x2F, 0x47, 0x20, 0xC8])
def test_a_count_of_the_other_width_is_not_sent(command: int) -> None:
    """READ DMA EXT as a command of 28 bits: count 0 is 256 blocks here, and 65536 to the device."""
    disk = AtaDisk()
    bench = IoctlBench(disk)
    protocol = 6 if command in (0x25, 0x47, 0xC8) else 4
    extended = command not in (0x24, 0x25, 0x2F, 0x47)
    size = 512 if extended else 256 * 512
    # Whatever lies there: the length is that of the transfer, and fits.
    cdb = bytes([0x85, protocol << 1 | extended, 0x0F, 0, 0, 0, extended, *bytes(7), command, 0])
    status, sense, _ = bench.scsi(cdb, size)
    assert (status, sense[2]) == (2, 5)
    assert disk.sent == []


def test_a_client_that_is_refused_for_ever_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = IoctlBench(AtaDisk())
    for command in (0xF5, 0x60) * 100:
        assert refusal(bench, ata(command)) == e.EPERM
    assert 1 <= len(caplog.records) <= 10


def test_a_destructive_disk_takes_all_but_the_drivers_own_by_a_writable_file() -> None:
    disk = AtaDisk()
    bench = IoctlBench(disk, destructive=True)
    assert bench.scsi(ata(0xF5))[0] == 0
    assert disk.sent[-1].command == 0xF5
    for command in (0x60, 0x61, 0xA0, 0xB2, 0xE6, 0x08):
        assert refusal(bench, ata(command)) == e.EPERM
    reader = IoctlBench(AtaDisk(), destructive=True, flags=f.O_RDONLY)
    assert refusal(reader, ata(0xF5)) == e.EPERM
    assert refusal(reader, bytes([0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0]), bytes(512)) == e.EPERM


# -- NVMe ------------------------------------------------------------------------------------------


def passed(bench: IoctlBench, command: NvmeCommand, size: int = 0) -> tuple[Call, Memory]:
    memory = Memory(nvme_head(command, size))
    ioctl = i.NVME_IOCTL_ADMIN_CMD if command.admin else i.NVME_IOCTL_IO_CMD
    return bench.ioctl(ioctl, memory), memory


def test_an_nvme_command_brings_back_data_result_and_status() -> None:
    bench = IoctlBench(NvmeDisk())
    call, memory = passed(bench, NvmeCommand(True, 6, cdw10=1), 4096)
    assert call.result == 0
    assert memory.stored is not None
    head, _, data = memory.stored
    assert head == (0x1234).to_bytes(4, "little")
    assert (len(data), data[4:14]) == (4096, b"NVMESERIAL")
    assert passed(bench, NvmeCommand(True, 0x0A))[0].result == 0x4001  # the status, as it was


def test_of_all_nvme_commands_only_those_that_read_get_through() -> None:
    disk = NvmeDisk()
    bench = IoctlBench(disk)
    for opcode in range(256):
        for admin in (True, False):
            passed(bench, NvmeCommand(admin, opcode, nsid=1), 4096)
    admin = {one.opcode for one in disk.sent if one.admin}
    assert admin == {0x02, 0x06, 0x0A, 0x14, 0x1A, 0x82, 0x86}
    assert {one.opcode for one in disk.sent if not one.admin} == {0x00, 0x02, 0x05, 0x0C, 0x0E}


def test_the_drivers_own_nvme_commands_are_never_a_clients() -> None:
    disk = NvmeDisk()
    bench = IoctlBench(disk, destructive=True)
    for opcode in (0x00, 0x01, 0x04, 0x05, 0x08, 0x0C, 0x18, 0x1C, 0x7C):
        assert passed(bench, NvmeCommand(True, opcode))[0].error == e.EPERM
    for feature in (0x07, 0x0B, 0x0D, 0x0F):
        assert passed(bench, NvmeCommand(True, 9, cdw10=feature))[0].error == e.EPERM
    assert disk.sent == []


def test_a_format_that_would_change_the_blocks_is_not_sent() -> None:
    disk = NvmeDisk()
    bench = IoctlBench(disk, destructive=True)
    every = 0xFFFF_FFFF
    for nsid, cdw10 in ((1, 1), (1, 0x10), (1, 0x20), (1, 0x1000), (2, 0), (0, 0), (every, 0)):
        command = NvmeCommand(True, 0x80, nsid, cdw10=cdw10)
        assert passed(bench, command)[0].error == e.EPERM
    assert {one.opcode for one in disk.sent} == {6}
    assert passed(bench, NvmeCommand(True, 0x80, 1, cdw10=1 << 9))[0].result == 0x4001
    assert disk.sent[-1].opcode == 0x80
    reader = IoctlBench(NvmeDisk(), flags=f.O_RDONLY, destructive=True)
    assert passed(reader, NvmeCommand(True, 0x80, 1))[0].error == e.EPERM


def test_a_controller_is_never_given_less_memory_than_it_will_use() -> None:
    disk = NvmeDisk()
    bench = IoctlBench(disk)
    short = [
        (NvmeCommand(True, 2, cdw10=0x3FF << 16 | 2), 4092 - 2),  # a page fits always
        (NvmeCommand(True, 2, cdw10=0x400 << 16 | 2), 4096),
        (NvmeCommand(True, 2, cdw10=0xFFFF << 16 | 2, cdw11=0xFFFF), 4096),
        (NvmeCommand(False, 2, nsid=1, cdw12=8), 4096),
        (NvmeCommand(True, 6), 0),
        (NvmeCommand(True, 0x82, cdw11=1 << 31), 4096),
    ]
    assert passed(bench, NvmeCommand(True, 0x0A, cdw10=0x0E))[0].result == 0x4001
    assert disk.rooms.pop() == 4096  # a feature may have data, though the client has no room
    errors = [passed(bench, command, size)[0].errors for command, size in short]
    assert errors == [[], *[[e.EINVAL]] * 5]
    assert passed(bench, NvmeCommand(False, 2, nsid=2), 512)[0].error == e.EINVAL  # not this disk


def test_a_thousand_commands_that_fail_one_after_the_other_do_not_pile_up() -> None:
    """All wait for their turn behind one that lasts; then each of them ends at once."""
    disk = SlowNvmeDisk(max_transfer=4096)
    bench = IoctlBench(disk)
    command = NvmeCommand(True, 2, cdw10=0x3FF << 16 | 2)  # 4 KiB of a log
    too_long = NvmeCommand(True, 2, cdw10=0x7FF << 16 | 2)
    first, _ = passed(bench, command, 4096)
    others = [passed(bench, too_long, 8192)[0] for _ in range(1000)]
    assert first.open
    assert all(one.open for one in others)
    disk.do_it()
    assert first.result == 0
    assert {one.error for one in others} == {e.EINVAL}


# -- nonsense --------------------------------------------------------------------------------------


NASTY = bytes([0, 1, 0x7F, 0x80, 0xFF]) + bytes(range(0, 256, 37))


def scramble(rng: random.Random, raw: bytes) -> bytes:
    out, pick = bytearray(raw), rng.random
    for _ in range(int(pick() * 6)):
        out[int(pick() * len(out))] = NASTY[int(pick() * len(NASTY))]
    return bytes(out)


def disk_in_order(bench: IoctlBench, before: bytes) -> None:
    assert bytes(bench.disk.data) == before
    assert not bench.disk.lent
    assert not bench.disk.running


def test_two_hundred_thousand_scsi_commands_that_make_little_sense_change_nothing() -> None:
    logging.disable(logging.CRITICAL)
    rng = random.Random(12)
    benches = [IoctlBench(AtaDisk()), IoctlBench(NvmeDisk()), IoctlBench(AtaDisk(w0=0x8580))]
    seeds = [
        IDENTIFY_16, READS_STATUS, bytes([0xA1, 8, 0x0E, 0, 1, 0, 0, 0, 0, 0xEC, 0, 0]),
        bytes([0x12, 1, 0x83, 0, 255, 0]), bytes([0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0]),
        bytes([0x88]).ljust(16, b"\0"), bytes([0x4D, 0, 0x4D, 0, 0, 0, 0, 0, 64, 0]),
        bytes([0x5A, 0, 0x3F, 0, 0, 0, 0, 0, 255, 0]), bytes([0x9E, 0x10]).ljust(16, b"\1"),
    ]  # fmt: skip
    before = [bytes(bench.disk.data) for bench in benches]
    ended = {0: 0, 2: 0, -1: 0}
    try:
        for count in range(200_000):
            bench = benches[count % 3]
            cdb = scramble(rng, rng.choice(seeds))[: rng.choice((32, 32, 16, 12, 10, 6, 1))]
            data = bytes(512) if rng.random() < 0.2 else b""
            head = sg_head(cdb, rng.choice((0, 1, 64, 512, 4096)), data, rng.randrange(256))
            if rng.random() < 0.2:
                head = scramble(rng, head)
            call = bench.ioctl(i.SG_IO, memory := Memory(head, cdb, data))
            if call.errors:
                assert call.error in (e.EINVAL, e.EPERM, e.EIO)
                ended[-1] += 1
            else:
                assert memory.stored is not None
                ended[i.SG_OUT.unpack(memory.stored[0])[0]] += 1
                assert len(memory.stored[1]) <= head[9]
    finally:
        logging.disable(logging.NOTSET)
    for bench, was in zip(benches, before, strict=True):
        disk_in_order(bench, was)
    assert min(ended.values()) > 5_000


def test_two_hundred_thousand_nvme_commands_that_make_little_sense_change_nothing() -> None:
    logging.disable(logging.CRITICAL)
    rng = random.Random(13)
    bench = IoctlBench(NvmeDisk())
    before = bytes(bench.disk.data)
    seeds = [nvme_head(NvmeCommand(True, 6, cdw10=1), 4096),
             nvme_head(NvmeCommand(True, 2, cdw10=0x7F0002), 512),
             nvme_head(NvmeCommand(False, 2, nsid=1, cdw12=7), 4096)]  # fmt: skip
    ioctls = [i.NVME_IOCTL_ADMIN_CMD, i.NVME_IOCTL_IO_CMD]
    ioctls += [i.NVME_IOCTL_ADMIN64_CMD, i.NVME_IOCTL_IO64_CMD]
    answered = 0
    try:
        for _ in range(200_000):
            head = scramble(rng, rng.choice(seeds))
            ioctl = rng.choice(ioctls)
            head = head.ljust(i.LAYOUTS[ioctl].size, b"\0")
            call = bench.ioctl(ioctl, Memory(head))
            if call.errors:
                assert call.error in (e.EINVAL, e.EPERM)
            else:
                answered += 1
    finally:
        logging.disable(logging.NOTSET)
    disk_in_order(bench, before)
    assert answered > 20_000


def test_two_hundred_thousand_records_name_no_more_than_they_may() -> None:
    rng = random.Random(14)
    seeds = {
        i.SG_IO: sg_head(IDENTIFY_16, 512, b"", 32),
        i.NVME_IOCTL_ADMIN_CMD: nvme_head(NvmeCommand(True, 6, cdw10=1), 4096),
    }
    named = 0
    for _ in range(200_000):
        command = rng.choice(list(seeds))
        found = i.ranges(command, scramble(rng, seeds[command]))
        if found is not None:
            named += 1
            assert found.data[1] <= i.MOST_DATA
            assert found.command[1] <= i.MOST_COMMAND
            assert found.sense[1] <= 255
            assert (found.way is i.Way.NONE) <= (command == i.SG_IO or found.data[1] == 0)
    assert named > 50_000


def test_every_pass_through_is_translated_or_refused_without_an_error() -> None:
    rng = random.Random(15)
    for _ in range(200_000):
        cdb = bytes([rng.choice((0x85, 0xA1))]) + rng.randbytes(rng.choice((5, 11, 15, 31)))
        size = rng.choice((0, 1, 512, 4096, 1 << 20))
        found = sat.translate(cdb, size, 512)
        if found is not None:
            assert 0 <= found.size <= size
            assert (found.command.transfer is Transfer.NON_DATA) == (found.size == 0)
            assert found.command.lba < (1 << 48 if found.command.extended else 1 << 28)


def test_moves_is_never_negative() -> None:
    rng = random.Random(16)
    for _ in range(10_000):
        words = {f"cdw{n}": rng.getrandbits(32) for n in (10, 11, 12)}
        command = NvmeCommand(rng.random() < 0.5, rng.randrange(256), nsid=1, **words)
        assert nvme.moves(command, rng.choice((0, 512)), 512) >= 0
