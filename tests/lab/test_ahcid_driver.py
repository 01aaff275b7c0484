"""ahcid's driver on QEMU's AHCI model, which nobody here wrote.

Besides tests of its own, these are the scenarios of QEMU's qtest for that model (`ahci-test`),
stated again as ours: PIO and DMA by 28 and 48 bits, lengths and offsets, flush and its retry,
commands that were halted, resets with commands pending, ATAPI.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from ahcid_rig import TIMEOUT, Rig, started

from daemons.ahcid.driver import State
from daemons.ahcid.regs import Ata, Scsi, SenseKey, TaskError, TaskStatus
from redbear_host.abi import errno as e
from redbear_host.classes.commands import AtaCommand, AtaResult, Transfer
from redbear_host.hw.ports import InterruptKind
from redbear_host.lab.devices import parse

MIB = 1 << 20
NODE = "d0"

READ_SECTORS, READ_SECTORS_EXT, WRITE_SECTORS, WRITE_SECTORS_EXT = 0x20, 0x24, 0x30, 0x34
READ_NATIVE_MAX, READ_VERIFY_EXT = 0xF8, 0x42


def told(folder: Path, keys: str = "size=16M") -> list[str]:
    return parse(f"ahci:{keys}").arguments(folder)


def on_node(blockdev: str, *more: str, options: str = "") -> list[str]:
    return [
        *more,
        *("-blockdev", blockdev),
        *("-device", "ich9-ahci,id=dut,addr=4"),
        *("-device", f"ide-hd,bus=dut.0,drive={NODE},serial=RB{options}"),
    ]


def raw(folder: Path, size: int = 8 * MIB) -> Path:
    path = folder / "disk.img"
    path.write_bytes(random.Random(1).randbytes(size))
    return path


def debugged(path: Path, *rules: str) -> str:
    return ",".join(
        (
            f"driver=raw,node-name={NODE},file.driver=blkdebug,file.image.driver=file",
            f"file.image.filename={path}",
            *rules,
        )
    )


def failing(event: str, number: int = 0, **keys: object) -> str:
    rule = {"event": event, "errno": 5, **keys}
    return ",".join(f"file.inject-error.{number}.{key}={it}" for key, it in rule.items())


def ok(result: AtaResult) -> bool:
    status = TaskStatus.of(result.status)
    return not result.errno and not (status.ERR or status.DF or status.BSY or status.DRQ)


# -- identity --------------------------------------------------------------------------------------


def test_identity_is_what_qemu_was_told(tmp_path: Path) -> None:
    with started(told(tmp_path, "size=16M,serial=SER-42,model=A disk of mine,block=4096")) as rig:
        facts = rig.disk.facts
        assert (facts.serial, facts.model) == ("SER-42", "A disk of mine")
        assert facts.depth == 32
        assert facts.lba48
        assert facts.cache
        assert facts.physical == 4096
        assert (rig.disk.block_size, rig.disk.block_count) == (512, 16 * MIB // 512)
        command = AtaCommand(Ata.IDENTIFY_DEVICE, Transfer.PIO_IN)
        result, again = rig.ata(command, 512)
        assert ok(result)
        assert result.moved == 512
        assert again == rig.disk.identify


@pytest.mark.parametrize("kind", [InterruptKind.MSI, InterruptKind.INTX])
@pytest.mark.parametrize("ncq", [True, False])
def test_data_arrives_in_the_backing_file_and_comes_back(
    tmp_path: Path, kind: InterruptKind, ncq: bool
) -> None:
    path = tmp_path / "ahci-4.img"
    content = bytearray(random.Random(2).randbytes(16 * MIB))
    path.write_bytes(content)
    with started(told(tmp_path), kind=kind, ncq=ncq) as rig:
        dice = random.Random(3)
        for size in (512, 4096, 4608, 8192, 12288, 65536, 1 << 19, 4 * MIB):
            at = dice.randrange((16 * MIB - size) // 512)
            assert rig.read(at, size) == (0, bytes(content[at * 512 : at * 512 + size]))
            data = dice.randbytes(size)
            content[at * 512 : at * 512 + size] = data
            assert rig.write(at, data) == 0
        assert rig.flush() == 0
        assert path.read_bytes() == content


# -- the matrix: PIO and DMA, 28 and 48 bits, lengths, offsets -------------------------------------

_MATRIX = {
    ("pio", 28): (READ_SECTORS, WRITE_SECTORS, Transfer.PIO_IN, Transfer.PIO_OUT, 256),
    ("pio", 48): (READ_SECTORS_EXT, WRITE_SECTORS_EXT, Transfer.PIO_IN, Transfer.PIO_OUT, 65536),
    ("dma", 28): (Ata.READ_DMA, Ata.WRITE_DMA, Transfer.DMA_IN, Transfer.DMA_OUT, 256),
    ("dma", 48): (Ata.READ_DMA_EXT, Ata.WRITE_DMA_EXT, Transfer.DMA_IN, Transfer.DMA_OUT, 65536),
}
_LENGTHS = {"simple": 8, "double": 16, "long": 256, "short": 1}  # blocks
_BLOCKS = 8 * MIB // 512


@pytest.mark.parametrize(("how", "bits"), list(_MATRIX))
def test_reads_and_writes_of_all_lengths_at_all_offsets(
    tmp_path: Path, how: str, bits: int
) -> None:
    path = raw(tmp_path)
    content = bytearray(path.read_bytes())
    read, write, data_in, data_out, most = _MATRIX[how, bits]
    dice = random.Random(how + str(bits))
    with started(on_node(f"driver=file,filename={path},node-name={NODE}")) as rig:
        for blocks in _LENGTHS.values():
            for lba in (0, 17, _BLOCKS - blocks):  # zero, low, high
                size, at = blocks * 512, lba * 512
                written = dice.randbytes(size)
                keys = {"count": blocks % most, "lba": lba, "device": 0x40, "extended": bits == 48}
                result, _ = rig.ata(AtaCommand(write, data_out, **keys), written)  # type: ignore[arg-type]
                assert ok(result), (blocks, lba, result)
                content[at : at + size] = written
                result, got = rig.ata(AtaCommand(read, data_in, **keys), size)  # type: ignore[arg-type]
                assert ok(result), (blocks, lba, result)
                assert result.moved == size
                assert got == written
        assert rig.flush() == 0
    assert path.read_bytes() == content


def test_commands_without_data_end_with_the_registers_of_the_device(tmp_path: Path) -> None:
    with started(told(tmp_path, "size=16M")) as rig:
        result, _ = rig.ata(AtaCommand(READ_NATIVE_MAX, Transfer.NON_DATA, device=0x40))
        assert ok(result)
        assert result.lba | (result.device & 0xF) << 24 == 16 * MIB // 512 - 1
        result, _ = rig.ata(AtaCommand(Ata.SMART, Transfer.NON_DATA, feature=0xDA, lba=0xC24F00))
        assert ok(result)
        assert result.lba >> 8 & 0xFFFF == 0xC24F  # SMART RETURN STATUS: all is well
        result, page = rig.ata(
            AtaCommand(Ata.SMART, Transfer.PIO_IN, feature=0xD0, count=1, lba=0xC24F00), 512
        )
        assert ok(result)
        assert sum(page) & 0xFF == 0
        assert any(page)


def test_a_command_nobody_knows_is_aborted_and_the_next_one_works(tmp_path: Path) -> None:
    with started(told(tmp_path)) as rig:
        result, _ = rig.ata(AtaCommand(0xF9, Transfer.NON_DATA))
        assert result.errno == 0
        assert TaskStatus.of(result.status).ERR
        assert TaskError.of(result.error).ABRT
        assert rig.read(0, 512) == (0, bytes(512))


@pytest.mark.parametrize("command", [0x60, 0x61, 0x63, 0x64, 0x65, 0xA0])
def test_queued_and_packet_commands_are_the_drivers_own(tmp_path: Path, command: int) -> None:
    with started(told(tmp_path)) as rig:
        result, _ = rig.ata(AtaCommand(command, Transfer.DMA_IN, count=1, extended=True), 512)
        assert result.errno == e.EINVAL


# -- queuing ---------------------------------------------------------------------------------------


def test_queued_reads_and_writes_run_32_at_once_and_agree_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ahci-4.img"
    content = bytearray(random.Random(4).randbytes(16 * MIB))
    path.write_bytes(content)
    with started(told(tmp_path)) as rig:
        dice = random.Random(5)
        lbas = dice.sample(range(0, 32768, 8), 400)
        written, read = lbas[:200], lbas[200:]
        chunks = [rig.disk.chunk(4096) for _ in lbas]
        for lba, chunk in zip(written, chunks, strict=False):
            chunk.view[:] = dice.randbytes(4096)
            content[lba * 512 : lba * 512 + 4096] = chunk.view
        done = [rig.done(lba) for lba in lbas]
        rig.disk.write_many(written, 8, chunks[:200], done[:200])
        rig.disk.read_many(read, 8, chunks[200:], done[200:])
        assert set(rig.wait(*lbas)) == {0}
        for lba, chunk in zip(read, chunks[200:], strict=True):
            assert bytes(chunk.view) == content[lba * 512 : lba * 512 + 4096]
    assert path.read_bytes() == content


def test_32_tags_are_seen_in_pxsact_at_once(tmp_path: Path) -> None:
    # Two seconds: nobody is kept from looking for so long.
    node = f"driver=null-co,size={64 * MIB},latency-ns=2000000000,read-zeroes=on,node-name={NODE}"
    geometry = ",cyls=130,heads=16,secs=63"  # else QEMU reads the first block to guess it
    with started(on_node(node, options=geometry)) as rig:
        chunks = [rig.disk.chunk(4096) for _ in range(40)]
        for index, chunk in enumerate(chunks):
            rig.disk.read(index * 8, 8, chunk, rig.done(index))
        rig.disk.flush_queue()
        active = rig.function.bar(5).read32(0x100 + 0x34)
        assert active == 0xFFFF_FFFF
        assert set(rig.wait(*range(40))) == {0}


def test_a_flush_among_queued_commands_waits_for_them_and_lets_none_pass(tmp_path: Path) -> None:
    with started(told(tmp_path)) as rig:
        order: list[str] = []
        chunks = [rig.disk.chunk(4096) for _ in range(100)]
        tags: list[object] = []
        for index, chunk in enumerate(chunks):
            tag = f"w{index}"
            rig.disk.write(index * 8, 8, chunk, rig.done(tag))
            tags.append(tag)
            if index % 10 == 9:
                rig.disk.flush(lambda errno, index=index: order.append(f"f{index}"))  # type: ignore[misc]
        assert set(rig.wait(*tags)) == {0}
        rig.until(lambda: len(order) == 10)
        assert order == [f"f{index}" for index in range(9, 100, 10)]


def test_polling_needs_no_interrupt(tmp_path: Path) -> None:
    image = tmp_path / "ahci-4.img"
    image.write_bytes(random.Random(6).randbytes(MIB))
    with started(told(tmp_path, "size=1M"), polled=True) as rig:
        chunks = [rig.disk.chunk(4096) for _ in range(200)]
        lbas = list(range(0, 1600, 8))
        rig.disk.read_many(lbas, 8, chunks, [rig.done(lba) for lba in lbas])
        rig.disk.flush(rig.done("flush"))
        ended = 0
        for _ in range(10_000_000):
            ended += rig.controller.poll()
            if ended == 201:
                break
        assert rig.ended == dict.fromkeys([*lbas, "flush"], 0)
        assert b"".join(chunk.view for chunk in chunks) == image.read_bytes()[: 200 * 4096]


def test_a_transfer_longer_than_one_prd(tmp_path: Path) -> None:
    content = random.Random(8).randbytes(16 * MIB)
    (tmp_path / "ahci-4.img").write_bytes(content)
    for ncq in (True, False):
        with started(told(tmp_path), max_transfer=16 * MIB, ncq=ncq) as rig:
            assert rig.disk.max_transfer == 16 * MIB
            assert rig.read(3, 9 * MIB + 512) == (0, content[3 * 512 : 3 * 512 + 9 * MIB + 512])
            data = random.Random(9).randbytes(5 * MIB)
            assert rig.write(100, data) == 0
            assert rig.read(100, 5 * MIB) == (0, data)
        (tmp_path / "ahci-4.img").write_bytes(content)


# -- other commands --------------------------------------------------------------------------------


def test_trimmed_blocks_are_given_back_and_zeroes_are_somebody_elses_to_write(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ahci-4.img"
    path.write_bytes(b"\xff" * 64 * MIB)
    before = path.stat().st_blocks
    with started(told(tmp_path, f"file={path}")) as rig:
        rig.disk.discard(8, 100_000, rig.done("trim"))
        rig.disk.write_zeroes(0, 8, True, rig.done("zero"))
        assert rig.wait("trim", "zero") == [0, e.EOPNOTSUPP]
        assert rig.read(0, 4096) == (0, b"\xff" * 4096)
        assert rig.read(100_008, 4096) == (0, b"\xff" * 4096)
    assert path.stat().st_blocks < before - 90_000


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with started(told(tmp_path, "size=1M")) as rig:
        chunk = rig.disk.chunk(1024)
        rig.disk.read(0, 0, chunk, rig.done("none"))
        rig.disk.read(0, 3, chunk, rig.done("long"))
        rig.disk.read(-1, 1, chunk, rig.done("before"))
        rig.disk.write(2047, 2, chunk, rig.done("past"))
        rig.disk.discard(2048, 1, rig.done("trim"))
        assert rig.wait("none", "long", "before", "past", "trim") == [
            *(e.EINVAL, e.EINVAL, e.EINVAL),
            *(e.ENXIO, e.ENXIO),
        ]


def test_several_disks_have_their_own_files(tmp_path: Path) -> None:
    with started(told(tmp_path, "size=1M,disks=3,serial=S")) as rig:
        disks = rig.controller.disks
        assert [disk.number for disk in disks] == [0, 1, 2]
        assert [disk.facts.serial for disk in disks] == ["S", "S-2", "S-3"]
        for disk in disks:
            assert rig.write(5, bytes([disk.number + 1]) * 512, disk) == 0
    for number, name in enumerate(("ahci-4.img", "ahci-4.img.2", "ahci-4.img.3"), 1):
        assert (tmp_path / name).read_bytes()[5 * 512 : 6 * 512] == bytes([number]) * 512


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ncq", [True, False])
@pytest.mark.parametrize("event", ["read_aio", "write_aio"])
def test_a_media_error_is_eio_for_that_command_only(tmp_path: Path, ncq: bool, event: str) -> None:
    path = raw(tmp_path)
    node = debugged(path, failing(event, sector=800, once="on"))
    with started(on_node(node, options=",werror=report,rerror=report"), ncq=ncq) as rig:
        content = path.read_bytes()
        chunks = [rig.disk.chunk(512) for _ in range(40)]
        for index, chunk in enumerate(chunks):
            lba = 780 + index
            if event == "read_aio":
                rig.disk.read(lba, 1, chunk, rig.done(lba))
            else:
                chunk.view[:] = content[lba * 512 : lba * 512 + 512]
                rig.disk.write(lba, 1, chunk, rig.done(lba))
        ended = dict(zip(range(780, 820), rig.wait(*range(780, 820)), strict=True))
        # QEMU has no NCQ error log: the command that failed is found by trying again, one by one,
        # and an error injected once does not fail a second time.
        assert {lba for lba, errno in ended.items() if errno} <= {800}
        assert ncq or ended[800] == e.EIO
        assert rig.read(800, 512) == (0, content[800 * 512 : 801 * 512])
        assert rig.controller.resets == 0
        assert rig.controller.state is State.RUNNING
    assert path.read_bytes() == content


def test_blocks_that_stay_bad_are_found_among_32_queued_commands(tmp_path: Path) -> None:
    path = raw(tmp_path)
    bad = {790, 801, 802, 815}
    rules = [failing("read_aio", n, sector=lba) for n, lba in enumerate(sorted(bad))]
    with started(on_node(debugged(path, *rules))) as rig:
        content = path.read_bytes()
        for round_ in range(3):
            chunks = [rig.disk.chunk(512) for _ in range(64)]
            for index, chunk in enumerate(chunks):
                rig.disk.read(780 + index, 1, chunk, rig.done((round_, 780 + index)))
            tags = [(round_, 780 + index) for index in range(64)]
            ended = rig.wait(*tags)
            assert {780 + i for i, errno in enumerate(ended) if errno} == bad
            assert set(ended) == {0, e.EIO}
            for index, chunk in enumerate(chunks):
                lba = 780 + index
                if lba not in bad:
                    assert bytes(chunk.view) == content[lba * 512 : lba * 512 + 512]
                chunk.free()
        assert rig.controller.resets == 0


def test_a_flush_that_fails_is_eio_and_the_next_one_works(tmp_path: Path) -> None:
    path = raw(tmp_path)
    node = debugged(path, failing("flush_to_disk", once="on"))
    with started(on_node(node, options=",werror=report")) as rig:
        assert rig.write(1, b"\x11" * 512) == 0
        assert rig.flush() == e.EIO
        assert rig.flush() == 0


def stopped(rig: Rig) -> bool:
    status = rig.machine.qmp.execute("query-status")
    assert isinstance(status, dict)
    return status["status"] == "io-error"


@pytest.mark.parametrize(
    ("event", "ncq"),
    [("write_aio", True), ("write_aio", False), ("read_aio", True), ("read_aio", False),
     ("flush_to_disk", True)],
)  # fmt: skip
def test_a_command_that_qemu_halts_goes_on_after_cont(
    tmp_path: Path, event: str, ncq: bool
) -> None:
    path = raw(tmp_path)
    content = path.read_bytes()
    where = {} if event == "flush_to_disk" else {"sector": 8}
    node = debugged(path, failing(event, once="on", **where))
    with started(on_node(node, options=",werror=stop,rerror=stop"), ncq=ncq) as rig:
        disk, data = rig.disk, random.Random(7).randbytes(4096)
        chunk = disk.chunk(4096)
        assert rig.write(100, bytes(512)) == 0  # else QEMU finds nothing to flush
        if event == "read_aio":
            disk.read(8, 8, chunk, rig.done("halted"))
        elif event == "write_aio":
            chunk.view[:] = data
            disk.write(8, 8, chunk, rig.done("halted"))
        else:
            disk.flush(rig.done("halted"))
        disk.flush_queue()
        rig.until(lambda: stopped(rig))
        assert rig.ended == {}
        rig.machine.qmp.execute("cont")
        assert rig.wait("halted") == [0]
        if event == "read_aio":
            assert bytes(chunk.view) == content[4096:8192]
        elif event == "write_aio":
            assert rig.read(8, 4096) == (0, data)
        assert rig.controller.disks[0].block_count == _BLOCKS


@pytest.mark.parametrize("ncq", [True, False])
def test_a_held_command_ends_after_a_reset_of_its_port_and_later_ones_work(
    tmp_path: Path, ncq: bool
) -> None:
    # QEMU stands still in the COMRESET until the command has come back, so it has to some time.
    path = raw(tmp_path)
    node = (
        f"driver=throttle,throttle-group=tg,node-name={NODE},file.driver=file,file.filename={path}"
    )
    more = ("-object", "throttle-group,id=tg")
    with started(on_node(node, *more), timeout=TIMEOUT, ncq=ncq) as rig:
        limits = {"path": "/objects/tg", "property": "limits"}
        # One a second, and one of two blocks is two: time enough to begin on a busy machine.
        slow = {"iops-total": 1, "iops-size": 512}
        rig.machine.qmp.execute("qom-set", limits | {"value": slow})
        chunks = [rig.disk.chunk(1024) for _ in range(2)]
        rig.disk.read(2, 2, chunks[0], rig.done("budget"))  # QEMU lets the first one through
        rig.wait("budget")
        rig.disk.read(1, 1, chunks[1], rig.done("held"))
        assert rig.wait("held") == [e.EIO]
        port = rig.controller._ports[0]
        assert (port.counters.comresets, port.counters.timeouts) == (1, 1)
        rig.machine.qmp.execute("qom-set", limits | {"value": {"iops-total": 0, "iops-size": 0}})
        assert rig.read(1, 512) == (0, path.read_bytes()[512:1024])
        assert rig.write(1, b"\x77" * 512) == 0
    assert path.read_bytes()[512:1024] == b"\x77" * 512


@pytest.mark.parametrize("ncq", [True, False])
def test_commands_survive_a_reset_with_all_of_them_pending(tmp_path: Path, ncq: bool) -> None:
    path = raw(tmp_path)
    node = (
        f"driver=throttle,throttle-group=tg,node-name={NODE},file.driver=file,file.filename={path}"
    )
    more = ("-object", "throttle-group,id=tg,x-iops-total=2000")
    with started(on_node(node, *more), ncq=ncq) as rig:
        expected = path.read_bytes()
        port = rig.controller._ports[0]
        for round_ in range(8):
            chunks = [rig.disk.chunk(4096) for _ in range(40)]
            for index, chunk in enumerate(chunks):
                rig.disk.read(index * 8, 8, chunk, rig.done((round_, index)))
            rig.controller.flush_queue()
            if round_ % 2:
                port.recover("a test asks for it", trusted=True)
            else:
                rig.controller._budget._when.clear()
                rig.controller._budgets.clear()
                rig.controller.escalate(port, "a test asks for it")
            assert set(rig.wait(*((round_, index) for index in range(40)))) == {0}
            assert b"".join(chunk.view for chunk in chunks) == expected[: 40 * 4096]
            for chunk in chunks:
                chunk.free()
        assert rig.controller.resets == 4
        assert port.counters.comresets == 4


def test_one_port_that_is_reset_leaves_the_others_alone(tmp_path: Path) -> None:
    with started(told(tmp_path, "size=1M,disks=2")) as rig:
        first, second = rig.controller.disks
        chunks = [second.chunk(4096) for _ in range(20)]
        for index, chunk in enumerate(chunks):
            second.read(index * 8, 8, chunk, rig.done(index))
        second.flush_queue()
        rig.controller._ports[0].recover("a test asks for it", trusted=True)
        assert set(rig.wait(*range(20))) == {0}
        assert rig.read(0, 512, first) == (0, bytes(512))
        assert rig.controller._ports[1].counters.comresets == 0


def test_a_machine_that_dies_is_gone_and_every_command_ends(tmp_path: Path) -> None:
    node = f"driver=null-co,size={64 * MIB},latency-ns=60000000000,read-zeroes=on,node-name={NODE}"
    geometry = ",cyls=130,heads=16,secs=63"  # else QEMU reads the first block to guess it
    with started(on_node(node, options=geometry)) as rig:
        for index in range(100):  # more than there are slots
            rig.disk.read(index, 1, rig.disk.chunk(512), rig.done(index))
        rig.disk.flush(rig.done("flush"))
        rig.controller.flush_queue()
        rig.machine.kill()
        assert set(rig.wait("flush", *range(100))) == {e.ENODEV}
        assert rig.controller.state is State.GONE
        rig.disk.read(0, 1, rig.disk.chunk(512), rig.done("later"))
        assert rig.wait("later") == [e.ENODEV]


def test_a_successor_finds_the_cache_saved_and_starts_at_once(tmp_path: Path) -> None:
    path = raw(tmp_path)
    with started(on_node(f"driver=file,filename={path},node-name={NODE}")) as rig:
        for round_ in range(5):
            assert rig.write(round_, bytes([round_]) * 512) == 0
            rig.controller.stop()
            rig.controller.start()
            assert rig.read(round_, 512) == (0, bytes([round_]) * 512)


# -- CD drives -------------------------------------------------------------------------------------


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    path = tmp_path / "disc.iso"
    path.write_bytes(random.Random(9).randbytes(2 * MIB))
    return path


def test_a_disc_reads_as_what_is_on_it_and_cannot_be_written(tmp_path: Path, disc: Path) -> None:
    content = disc.read_bytes()
    with started(told(tmp_path, f"size=1M,cd={disc},serial=CD1")) as rig:
        assert len(rig.controller.disks) == 2
        cd = rig.cd
        assert (cd.number, cd.block_size, cd.block_count) == (1, 2048, 1024)
        assert cd.facts.model == "QEMU DVD-ROM"
        assert cd.facts.serial == "CD1"
        for lba, blocks in ((0, 1), (16, 2), (1000, 24), (0, 64)):
            expected = content[lba * 2048 : (lba + blocks) * 2048]
            assert rig.read(lba, blocks * 2048, cd) == (0, expected)
        assert rig.write(0, bytes(2048), cd) == e.EROFS
        assert rig.read(1024, 2048, cd)[0] == e.ENXIO
        cd.discard(0, 1, rig.done("trim"))
        cd.write_zeroes(0, 1, True, rig.done("zero"))
        cd.flush(rig.done("flush"))
        assert rig.wait("trim", "zero", "flush") == [e.EROFS, e.EROFS, 0]
        assert rig.read(0, 512) == (0, bytes(512))  # the disk beside it


def packet(*cdb: int) -> AtaCommand:
    return AtaCommand(Ata.PACKET, Transfer.PACKET, packet=bytes(cdb).ljust(12, b"\0"))


@pytest.mark.parametrize("dma", [True, False])
def test_packets_of_a_client_reach_the_drive(tmp_path: Path, disc: Path, dma: bool) -> None:
    content = disc.read_bytes()
    with started(told(tmp_path, f"disks=0,cd={disc}")) as rig:
        if not dma:
            facts = rig.cd.facts
            rig.cd.facts = type(facts)(**{  # type: ignore[misc]
                name: getattr(facts, name) if name != "dma" else False
                for name in facts.__dataclass_fields__
            })  # fmt: skip
        result, answer = rig.ata(packet(Scsi.READ_CAPACITY_10), 8, rig.cd)
        assert ok(result)
        assert struct.unpack(">II", answer) == (1023, 2048)
        cdb = struct.pack(">BBIBHB", Scsi.READ_10, 0, 7, 0, 3, 0)
        result, answer = rig.ata(packet(*cdb), 3 * 2048, rig.cd)
        assert ok(result)
        assert result.moved == 3 * 2048
        assert answer == content[7 * 2048 : 10 * 2048]
        assert rig.read(7, 3 * 2048, rig.cd) == (0, answer)
        result, answer = rig.ata(packet(0x12, 0, 0, 0, 36), 36, rig.cd)  # INQUIRY
        assert ok(result)
        assert answer[8:16] == b"QEMU    "
        result, _ = rig.ata(packet(0xFF), 0, rig.cd)
        assert result.error >> 4 == SenseKey.ILLEGAL_REQUEST
        result, answer = rig.ata(packet(Scsi.REQUEST_SENSE, 0, 0, 0, 18), 18, rig.cd)
        assert answer[2] & 0xF == SenseKey.ILLEGAL_REQUEST


def test_an_empty_drive_has_no_blocks(tmp_path: Path) -> None:
    with started(told(tmp_path, "size=1M,cd=")) as rig:
        assert rig.cd.block_count == 0
        assert rig.read(0, 2048, rig.cd)[0] == e.ENXIO


def test_a_disc_that_is_taken_out_is_no_medium_and_another_one_is_not_the_same(
    tmp_path: Path, disc: Path
) -> None:
    other = tmp_path / "other.iso"
    other.write_bytes(bytes(4 * MIB))
    with started(told(tmp_path, f"size=1M,cd={disc}")) as rig:
        qmp = rig.machine.qmp
        assert rig.read(0, 2048, rig.cd)[0] == 0
        for path, errno in ((other, e.EMEDIUMTYPE), (disc, 0)):
            qmp.execute("blockdev-open-tray", {"id": "ahci4cd", "force": True})
            qmp.execute("blockdev-remove-medium", {"id": "ahci4cd"})
            assert rig.read(0, 2048, rig.cd)[0] == e.ENOMEDIUM
            node = f"n{errno}"
            file = {"driver": "file", "filename": str(path)}
            qmp.execute("blockdev-add", {"driver": "raw", "node-name": node, "file": file,
                                         "read-only": True})  # fmt: skip
            qmp.execute("blockdev-insert-medium", {"id": "ahci4cd", "node-name": node})
            qmp.execute("blockdev-close-tray", {"id": "ahci4cd"})
            assert rig.read(0, 2048, rig.cd)[0] == errno
        assert rig.read(5, 2048, rig.cd) == (0, disc.read_bytes()[5 * 2048 : 6 * 2048])
