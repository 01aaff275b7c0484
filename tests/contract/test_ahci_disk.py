"""What ahcid's disks promise, on QEMU's adapter and the modelled one: no driver can tell which."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ahcid_rig
import pytest
from ahcid_bench import Bench

from daemons.ahcid.disk import AtaDisk
from redbear_host.abi import errno as e
from redbear_host.classes.commands import AtaCommand, AtaResult, Transfer
from redbear_host.lab.devices import parse
from redbear_host.models.ahci import Drive

BLOCKS = 2048
READ_DMA_EXT, WRITE_DMA_EXT, IDENTIFY, UNKNOWN = 0x25, 0x35, 0xEC, 0xFF


class Landing:
    """A started adapter with one disk of 1 MiB, and how to wait for its commands."""

    def __init__(
        self,
        disk: AtaDisk,
        done: Callable[[object], Callable[[int], None]],
        wait: Callable[[Callable[[], bool]], None],
        ended: dict[object, int],
    ) -> None:
        self.disk = disk
        self.done = done
        self.until = wait
        self._ended = ended

    def wait(self, *tags: object) -> list[int]:
        self.disk.flush_queue()
        self.until(lambda: all(tag in self._ended for tag in tags))
        return [self._ended.pop(tag) for tag in tags]

    def ata(self, command: AtaCommand, data: bytes | int = 0) -> tuple[AtaResult, bytes]:
        size = data if isinstance(data, int) else len(data)
        chunk = self.disk.chunk(size) if size else None
        if chunk is not None and not isinstance(data, int):
            chunk.view[:] = data
        ended: list[AtaResult] = []
        self.disk.ata(command, chunk, size, ended.append)
        self.disk.flush_queue()
        self.until(lambda: bool(ended))
        got = b"" if chunk is None else bytes(chunk.view)
        if chunk is not None:
            chunk.free()
        return ended[0], got


@contextmanager
def model(folder: Path, **driver: bool) -> Iterator[Landing]:
    bench = Bench([None, Drive(blocks=BLOCKS, serial="CONTRACT", trim_zeroes=False)], driver=driver)
    disk = bench.start()
    yield Landing(disk, bench.done, bench.wait_until, bench.ended)
    bench.controller.stop()
    assert bench.slot.dma.allocated == 0
    assert bench.model.violations == []


@contextmanager
def qtest(folder: Path, **driver: bool) -> Iterator[Landing]:
    arguments = parse("ahci:size=1M,serial=CONTRACT").arguments(folder)
    with ahcid_rig.started(arguments, **driver) as rig:
        yield Landing(rig.disk, rig.done, rig.until, rig.ended)


@pytest.fixture(params=[(model, True), (model, False), (qtest, True), (qtest, False)],
                ids=["model-ncq", "model", "qtest-ncq", "qtest"])  # fmt: skip
def landing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Landing]:
    make, ncq = request.param
    with make(tmp_path, ncq=ncq) as landing:
        yield landing


def test_a_disk_says_what_it_is(landing: Landing) -> None:
    disk = landing.disk
    assert (disk.number, disk.block_size, disk.block_count) == (0, 512, BLOCKS)
    assert disk.writable
    assert disk.facts.serial == "CONTRACT"
    assert len(disk.identify) == 512
    assert disk.max_transfer % 512 == 0


def test_what_was_written_is_read(landing: Landing) -> None:
    disk, dice = landing.disk, random.Random(1)
    content = bytearray(BLOCKS * 512)
    for round_ in range(40):
        blocks = dice.choice((1, 2, 8, 100, 256))
        lba = dice.choice((0, BLOCKS - blocks, dice.randrange(BLOCKS - blocks)))
        chunk = disk.chunk(blocks * 512)
        chunk.view[:] = data = dice.randbytes(blocks * 512)
        content[lba * 512 : (lba + blocks) * 512] = data
        disk.write(lba, blocks, chunk, landing.done(round_))
        assert landing.wait(round_) == [0]
        chunk.free()
    whole = disk.chunk(BLOCKS * 512)
    disk.read(0, BLOCKS, whole, landing.done("whole"))
    assert landing.wait("whole") == [0]
    assert whole.view == content
    whole.free()


def test_more_commands_than_slots_and_some_of_another_kind_among_them(landing: Landing) -> None:
    disk = landing.disk
    chunks = [disk.chunk(4096) for _ in range(100)]
    tags: list[object] = []
    for index, chunk in enumerate(chunks):
        chunk.view[:] = bytes([index]) * 4096
        disk.write(index * 8, 8, chunk, landing.done(("write", index)))
        tags.append(("write", index))
        if index % 25 == 24:
            disk.flush(landing.done(("flush", index)))
            tags.append(("flush", index))
    assert set(landing.wait(*tags)) == {0}
    back = [disk.chunk(4096) for _ in range(100)]
    disk.read_many([n * 8 for n in range(100)], 8, back, [landing.done(n) for n in range(100)])
    assert set(landing.wait(*range(100))) == {0}
    for index, chunk in enumerate(back):
        assert chunk.view == bytes([index]) * 4096
    for chunk in chunks + back:
        chunk.free()


def test_what_makes_no_sense_is_refused(landing: Landing) -> None:
    disk = landing.disk
    chunk = disk.chunk(512)
    disk.read(BLOCKS, 1, chunk, landing.done("past"))
    disk.write(-1, 1, chunk, landing.done("before"))
    disk.read(0, 2, chunk, landing.done("long"))
    disk.discard(BLOCKS - 1, 2, landing.done("trim"))
    assert landing.wait("past", "before", "long", "trim") == [e.ENXIO, e.EINVAL, e.EINVAL, e.ENXIO]
    chunk.free()


def test_trim_works_and_is_not_trusted_with_zeroes(landing: Landing) -> None:
    disk = landing.disk
    disk.discard(0, 100, landing.done("trim"))
    disk.write_zeroes(0, 8, True, landing.done("zero"))
    assert landing.wait("trim", "zero") == [0, e.EOPNOTSUPP]


def test_commands_of_a_client_see_what_the_disk_holds(landing: Landing) -> None:
    result, raw = landing.ata(AtaCommand(IDENTIFY, Transfer.PIO_IN), 512)
    assert (result.errno, result.status & 1, result.moved) == (0, 0, 512)
    assert raw == landing.disk.identify
    keys = {"count": 2, "lba": 77, "device": 0x40, "extended": True}
    data = random.Random(2).randbytes(1024)
    result, _ = landing.ata(AtaCommand(WRITE_DMA_EXT, Transfer.DMA_OUT, **keys), data)  # type: ignore[arg-type]
    assert result.status & 1 == 0
    result, back = landing.ata(AtaCommand(READ_DMA_EXT, Transfer.DMA_IN, **keys), 1024)  # type: ignore[arg-type]
    assert (result.moved, back) == (1024, data)
    chunk = landing.disk.chunk(1024)
    landing.disk.read(77, 2, chunk, landing.done("read"))
    assert landing.wait("read") == [0]
    assert chunk.view == data
    chunk.free()


def test_a_command_nobody_knows_fails_alone(landing: Landing) -> None:
    chunk = landing.disk.chunk(512)
    for round_ in range(3):
        landing.disk.read(0, 1, chunk, landing.done(round_))
        result, _ = landing.ata(AtaCommand(UNKNOWN, Transfer.NON_DATA))
        assert (result.errno, result.status & 1, result.error & 4) == (0, 1, 4)
        assert landing.wait(round_) == [0]
    result, _ = landing.ata(AtaCommand(0x60, Transfer.DMA_IN, count=8, extended=True), 512)
    assert result.errno == e.EINVAL
    chunk.free()
