"""nvmed's driver on QEMU's NVMe model, which nobody here wrote."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from nvmed_rig import TIMEOUT, started
from qemu_version import qemu_version

from daemons.nvmed.regs import AsyncEvent, AsyncEventType, CriticalWarning, Feature
from daemons.nvmed.state import State
from redbear_host.abi import errno as e
from redbear_host.hw.ports import InterruptKind
from redbear_host.lab.devices import parse

MIB = 1 << 20
NODE = "d0"


def told(folder: Path, keys: str = "size=16M") -> list[str]:
    return parse(f"nvme:{keys}").arguments(folder)


def image(folder: Path, number: int = 1) -> Path:
    return folder / ("nvme-4.img" if number == 1 else f"nvme-4.img.{number}")


def on_node(blockdev: str, *more: str) -> list[str]:
    device = f"nvme,id=dut,serial=RB,drive={NODE},addr=4,mdts=7"
    return [*more, "-blockdev", blockdev, "-device", device]


def raw(folder: Path, size: int = 8 * MIB) -> Path:
    path = folder / "disk.img"
    path.write_bytes(random.Random(1).randbytes(size))
    return path


def test_identity_is_what_qemu_was_told(tmp_path: Path) -> None:
    with started(told(tmp_path, "size=16M,serial=SER-42")) as rig:
        it = rig.controller.identity
        assert it.serial == "SER-42"
        assert it.model == "QEMU NVMe Ctrl"
        assert it.volatile_cache
        assert it.max_transfer == 4096 << 7
        assert (rig.disk.block_size, rig.disk.block_count) == (512, 16 * MIB // 512)


@pytest.mark.parametrize(
    ("kind", "vectors"), [(InterruptKind.MSIX, 1), (InterruptKind.MSIX, 3), (InterruptKind.INTX, 1)]
)
def test_data_arrives_in_the_backing_file_and_comes_back(
    tmp_path: Path, kind: InterruptKind, vectors: int
) -> None:
    path = tmp_path / "nvme-4.img"
    content = bytearray(random.Random(2).randbytes(16 * MIB))
    path.write_bytes(content)
    with started(told(tmp_path), kind=kind, vectors=vectors, queues=2) as rig:
        dice = random.Random(3)
        for size in (512, 4096, 4608, 8192, 12288, 65536, 1 << 19):
            at = dice.randrange((16 * MIB - size) // 512)
            assert rig.read(at, size) == (0, bytes(content[at * 512 : at * 512 + size]))
            data = dice.randbytes(size)
            content[at * 512 : at * 512 + size] = data
            assert rig.write(at, data) == 0
        rig.disk.flush(rig.done("flush"))
        assert rig.wait("flush") == [0]
        assert path.read_bytes() == content


def test_a_deep_queue_of_random_reads_and_writes_agrees_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "nvme-4.img"
    content = bytearray(random.Random(4).randbytes(16 * MIB))
    path.write_bytes(content)
    with started(told(tmp_path), depth=16) as rig:
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


def test_polling_needs_no_interrupt(tmp_path: Path) -> None:
    image(tmp_path).write_bytes(random.Random(6).randbytes(MIB))
    with started(told(tmp_path, "size=1M"), polled=True) as rig:
        chunks = [rig.disk.chunk(4096) for _ in range(200)]
        lbas = list(range(0, 1600, 8))
        rig.disk.read_many(lbas, 8, chunks, [rig.done(lba) for lba in lbas])
        rig.controller.flush_queue()
        ended = 0
        for _ in range(10_000_000):
            ended += rig.controller.poll()
            if ended == 200:
                break
        assert rig.ended == dict.fromkeys(lbas, 0)
        assert (
            b"".join(chunk.view for chunk in chunks) == image(tmp_path).read_bytes()[: 200 * 4096]
        )


def test_blocks_of_4096_bytes(tmp_path: Path) -> None:
    with started(told(tmp_path, "size=16M,block=4096")) as rig:
        assert (rig.disk.block_size, rig.disk.block_count) == (4096, 4096)
        data = random.Random(7).randbytes(3 * 4096)
        assert rig.write(4093, data) == 0
        assert rig.read(4093, 3 * 4096) == (0, data)
    assert image(tmp_path).read_bytes()[-3 * 4096 :] == data


def test_several_namespaces_have_their_own_files(tmp_path: Path) -> None:
    with started(told(tmp_path, "size=1M,namespaces=3")) as rig:
        disks = rig.controller.namespaces
        assert [disk.number for disk in disks] == [1, 2, 3]
        for disk in disks:
            assert rig.write(5, bytes([disk.number]) * 512, disk) == 0
    for number in (1, 2, 3):
        assert image(tmp_path, number).read_bytes()[5 * 512 : 6 * 512] == bytes([number]) * 512


def test_a_small_mdts_is_kept(tmp_path: Path) -> None:
    with started(told(tmp_path, "size=1M,mdts=1")) as rig:
        assert rig.disk.max_transfer == 8192
        data = random.Random(8).randbytes(8192)
        assert rig.write(0, data) == 0
        assert rig.read(0, 8192) == (0, data)


def test_as_many_queues_as_qemu_grants(tmp_path: Path) -> None:
    keys = "size=1M,vectors=4"  # three I/O queue pairs
    with started(told(tmp_path, keys), vectors=4, queues=8) as rig:
        for round_ in range(9):
            assert rig.read(round_, 512) == (0, bytes(512))


def test_zeroes_and_discard_read_as_zero(tmp_path: Path) -> None:
    image(tmp_path).write_bytes(b"\xff" * MIB)
    with started(told(tmp_path, "size=1M")) as rig:
        rig.disk.write_zeroes(8, 8, False, rig.done("zero"))
        rig.disk.write_zeroes(24, 8, True, rig.done("deallocate"))
        rig.disk.discard(40, 8, rig.done("discard"))
        assert rig.wait("zero", "deallocate", "discard") == [0, 0, 0]
        _, data = rig.read(0, 64 * 512)
        ones, zeroes = b"\xff" * 4096, bytes(4096)
        assert data[: 5 * 4096] == ones + zeroes + ones + zeroes + ones
        assert data[6 * 4096 :] == ones * 2


def test_logs_and_features(tmp_path: Path) -> None:
    with started(told(tmp_path)) as rig:
        ask, answers = rig.controller.inquiry, []
        ask.smart(lambda errno, log: answers.append((errno, log.COMPOSITE_TEMPERATURE)))
        ask.firmware(lambda errno, log: answers.append((errno, log.FRS1)))
        ask.errors(lambda errno, log: answers.append((errno, log)))
        ask.get_feature(Feature.VOLATILE_WRITE_CACHE, lambda *it: answers.append(it), nsid=1)
        rig.until(lambda: len(answers) == 4)
        assert answers[0] == (0, 323)
        assert answers[1] == (0, b"1.0     ")
        assert answers[2] == (0, [])
        assert answers[3][0] == 0


def test_a_media_error_is_eio_for_that_command_only(tmp_path: Path) -> None:
    path = raw(tmp_path)
    node = (
        f"driver=raw,node-name={NODE},file.driver=blkdebug,file.image.driver=file,"
        f"file.image.filename={path},file.inject-error.0.event=read_aio,"
        "file.inject-error.0.errno=5,file.inject-error.0.sector=800,file.inject-error.0.once=on"
    )
    with started(on_node(node)) as rig:
        chunks = [rig.disk.chunk(512) for _ in range(5)]
        for index, chunk in enumerate(chunks):
            rig.disk.read(798 + index, 1, chunk, rig.done(index))
        assert rig.wait(*range(5)) == [0, 0, e.EIO, 0, 0]
        assert rig.read(800, 512) == (0, path.read_bytes()[800 * 512 : 801 * 512])
        assert rig.controller.counters.resets == 0


def test_a_held_command_ends_after_a_reset_and_later_ones_work(tmp_path: Path) -> None:
    # A throttled node lets go of its requests when the controller is reset; one that blkdebug
    # holds would make QEMU wait for it for ever.
    path = raw(tmp_path)
    node = (
        f"driver=throttle,throttle-group=tg,node-name={NODE},file.driver=file,file.filename={path}"
    )
    with started(
        on_node(node, "-object", "throttle-group,id=tg"), timeout=TIMEOUT, queues=1
    ) as rig:
        limits = {"path": "/objects/tg", "property": "limits"}
        rig.machine.qmp.execute("qom-set", limits | {"value": {"bps-total": 1}})
        chunks = [rig.disk.chunk(512) for _ in range(3)]
        rig.disk.read(0, 1, chunks[0], rig.done("budget"))  # QEMU lets the first one through
        rig.wait("budget")
        rig.disk.read(1, 1, chunks[1], rig.done("held"))
        assert rig.wait("held") == [e.EIO]
        counters = rig.controller.counters
        assert (counters.aborts, counters.resets, counters.timeouts) == (1, 1, 1)
        rig.machine.qmp.execute("qom-set", limits | {"value": {"bps-total": 0}})
        rig.until(lambda: rig.controller.state is State.RUNNING)
        assert rig.read(1, 512) == (0, path.read_bytes()[512:1024])
        assert rig.write(1, b"\x77" * 512) == 0
    assert path.read_bytes()[512:1024] == b"\x77" * 512


@pytest.mark.skipif(
    qemu_version() >= (10,),
    reason="QEMU 10 stands still in an Abort of a request that blkdebug holds; 7.2 goes on",
)
def test_a_command_that_comes_late_after_its_abort_ends_well(tmp_path: Path) -> None:
    path = raw(tmp_path)
    node = (
        f"driver=raw,node-name={NODE},file.driver=blkdebug,"
        f"file.image.driver=file,file.image.filename={path}"
    )
    # Time enough to resume on a busy machine: QEMU blocks in a reset while the request is held.
    with started(on_node(node), timeout=TIMEOUT * 10) as rig:
        rig.machine.qmp.hmp(f'qemu-io {NODE} "break read_aio A"')
        chunk = rig.disk.chunk(512)
        rig.disk.read(3, 1, chunk, rig.done("held"))
        rig.controller.flush_queue()
        rig.until(lambda: rig.controller.counters.aborts == 1)
        assert rig.ended == {}
        assert rig.write(9, b"\x11" * 512) == 0  # others go on meanwhile
        rig.machine.qmp.hmp(f'qemu-io {NODE} "resume A"')
        assert rig.wait("held") == [0]
        assert bytes(chunk.view) == path.read_bytes()[3 * 512 : 4 * 512]
        assert rig.controller.counters.resets == 0


def test_commands_survive_a_reset_on_request(tmp_path: Path) -> None:
    path = raw(tmp_path)
    with started(on_node(f"driver=file,filename={path},node-name={NODE}")) as rig:
        expected = path.read_bytes()
        for round_ in range(20):
            chunks = [rig.disk.chunk(4096) for _ in range(40)]
            for index, chunk in enumerate(chunks):
                rig.disk.read(index * 8, 8, chunk, rig.done((round_, index)))
            rig.controller.flush_queue()
            rig.controller.reset()
            assert set(rig.wait(*((round_, index) for index in range(40)))) == {0}
            assert b"".join(chunk.view for chunk in chunks) == expected[: 40 * 4096]
            for chunk in chunks:
                chunk.free()
        assert rig.controller.counters.resets == 20


def test_a_machine_that_dies_is_gone_and_every_command_ends(tmp_path: Path) -> None:
    node = f"driver=null-co,size={64 * MIB},latency-ns=60000000000,read-zeroes=on,node-name={NODE}"
    with started(on_node(node)) as rig:
        for index in range(300):  # more than the ring holds
            rig.disk.read(index, 1, rig.disk.chunk(512), rig.done(index))
        rig.controller.flush_queue()
        rig.machine.kill()
        assert set(rig.wait(*range(300))) == {e.ENODEV}
        assert rig.controller.state is State.GONE
        rig.disk.read(0, 1, rig.disk.chunk(512), rig.done("later"))
        assert rig.wait("later") == [e.ENODEV]
        turns = 0
        end = rig.controller.deadline + 0.5
        while rig.controller.deadline < end and turns < 100:
            now = rig.controller.deadline
            rig.controller.tick(now)
            turns += 1
        assert turns < 10


def test_a_critical_warning_is_heard_each_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = f"driver=file,filename={raw(tmp_path)},node-name={NODE}"
    with started(on_node(node), timeout=TIMEOUT) as rig:
        seen: list[AsyncEvent] = []
        rig.controller.on_event = seen.append
        warning = {"path": "/machine/peripheral/dut", "property": "smart_critical_warning"}
        for count, value in enumerate((CriticalWarning(RELIABILITY=True).raw, 0, 4), 1):
            rig.machine.qmp.execute("qom-set", warning | {"value": value})
            if value:
                rig.until(lambda count=count: len(seen) >= (count + 1) // 2)  # type: ignore[misc]
                rig.until(lambda: "RELIABILITY=True" in caplog.text)
                caplog.clear()
        assert {event.AET for event in seen} == {AsyncEventType.SMART_HEALTH}
        assert len(seen) == 2


def test_a_successor_finds_the_cache_saved_and_starts_at_once(tmp_path: Path) -> None:
    path = raw(tmp_path)
    with started(on_node(f"driver=file,filename={path},node-name={NODE}")) as rig:
        for round_ in range(5):
            assert rig.write(round_, bytes([round_]) * 512) == 0
            rig.controller.stop()
            rig.controller.start()
            assert rig.read(round_, 512) == (0, bytes([round_]) * 512)
