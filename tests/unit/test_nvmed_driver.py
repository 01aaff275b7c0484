"""nvmed's driver: what works when nothing is wrong."""

from __future__ import annotations

import logging

import pytest
from nvmed_bench import Bench

from redbear_host.abi import errno as e
from redbear_host.classes.disk import Disk
from redbear_host.models.nvme import Media


def pattern(size: int, seed: int = 1) -> bytes:
    return bytes((seed * 31 + index * 7 + index // 256) & 0xFF for index in range(size))


def test_what_was_written_is_read_again() -> None:
    bench = Bench()
    disk = bench.start()
    data = pattern(3 * 512)
    assert bench.write(5, data) == 0
    assert bench.read(5, 3) == (0, data)
    assert bench.read(4, 5) == (0, bytes(512) + data + bytes(512))
    assert (disk.number, disk.block_size, disk.block_count, disk.writable) == (1, 512, 2048, True)
    assert bench.model.violations == []


def test_a_namespace_is_a_disk() -> None:
    disk: Disk = Bench().start()
    assert disk.max_transfer == 4096 << 5


@pytest.mark.parametrize("size", [512, 4096, 4608, 8192, 8704, 65536, 4096 << 5])
@pytest.mark.parametrize("mpsmin", [0, 1])
def test_transfers_of_every_shape_of_prp_arrive(size: int, mpsmin: int) -> None:
    bench = Bench(mpsmin=mpsmin)
    bench.start()
    data = pattern(size)
    assert bench.write(1, data) == 0
    assert bench.read(1, size // 512) == (0, data)
    assert bench.model.violations == []


def test_a_chunk_serves_shorter_transfers_too() -> None:
    bench = Bench()
    disk = bench.start()
    chunk = disk.chunk(65536)
    for blocks in (128, 1, 8, 9, 16, 17, 40):
        chunk.view[:] = bytes(65536)
        chunk.view[: blocks * 512] = pattern(blocks * 512, seed=blocks)
        disk.write(0, blocks, chunk, bench.done(blocks))
        disk.flush_queue()
        bench.deliver()
        assert bench.read(0, blocks) == (0, pattern(blocks * 512, seed=blocks))
    assert set(bench.ended.values()) == {0}
    assert bench.model.violations == []


def test_mdts_limits_a_transfer() -> None:
    bench = Bench(mdts=1)
    disk = bench.start()
    assert disk.max_transfer == 8192
    with pytest.raises(ValueError, match="8192"):
        disk.chunk(8193)


def test_without_mdts_our_own_limit_holds() -> None:
    assert Bench(mdts=0, driver={"max_transfer": 1 << 19}).start().max_transfer == 1 << 19
    # One page of PRP list entries, and the first page.
    assert Bench(mdts=0, driver={"max_transfer": 1 << 30}).start().max_transfer == 513 * 4096


def test_blocks_of_4096_bytes() -> None:
    bench = Bench({1: Media(blocks=64, shift=12)})
    disk = bench.start()
    assert (disk.block_size, disk.block_count) == (4096, 64)
    data = pattern(3 * 4096)
    assert bench.write(61, data) == 0
    assert bench.read(61, 3) == (0, data)
    assert bench.model.media[1].read(62) == data[4096:8192]


def test_several_namespaces_keep_apart() -> None:
    media = {1: Media(), 3: Media(blocks=16, shift=12), 7: Media(write_protected=True)}
    bench = Bench(media)
    bench.start()
    one, three, seven = bench.controller.namespaces
    assert [n.number for n in (one, three, seven)] == [1, 3, 7]
    assert [n.writable for n in (one, three, seven)] == [True, True, False]
    chunk = one.chunk(4096)
    chunk.view[:] = b"\x11" * 4096
    one.write(0, 8, chunk, bench.done("one"))
    three.write(0, 1, chunk, bench.done("three"))
    seven.write(0, 8, chunk, bench.done("seven"))
    one.flush_queue()
    bench.deliver()
    assert bench.ended == {"one": 0, "three": 0, "seven": e.EROFS}
    assert media[1].read(0) == b"\x11" * 512
    assert media[3].read(0) == b"\x11" * 4096
    assert media[7].read(0) == bytes(512)


@pytest.mark.parametrize(
    "odd",
    [
        Media(metadata=8),
        Media(shift=8),
        Media(shift=0),
        Media(shift=20),
        Media(blocks=0),
        Media(blocks=(1 << 64) - 1),
    ],
    ids=["metadata", "256 bytes", "LBADS 0", "1 MiB", "inactive", "huge"],
)
def test_a_namespace_that_is_not_believable_is_left_out_with_a_word(
    odd: Media, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench({1: odd, 2: Media()})
    with caplog.at_level(logging.WARNING):
        bench.start()
    assert [n.number for n in bench.controller.namespaces] == [2]
    assert "namespace 1" in caplog.text


def test_identity_is_what_the_controller_says() -> None:
    bench = Bench()
    bench.start()
    it = bench.controller.identity
    assert (it.serial, it.model, it.firmware) == ("MODEL0001", "redbear-host NVMe model", "0.1")
    assert (it.version, it.vendor, it.abort_limit) == ("1.4", 0x5242, 4)
    assert it.volatile_cache


def test_a_controller_of_revision_1_0_has_no_namespace_list() -> None:
    bench = Bench({1: Media(), 2: Media(blocks=8)}, version=0x0001_0000)
    bench.start()
    assert [n.number for n in bench.controller.namespaces] == [1, 2]


def test_flush_makes_writes_durable() -> None:
    bench = Bench()
    disk = bench.start()
    bench.write(0, b"\xaa" * 512)
    bench.model.media[1].cut_power()
    assert bench.read(0, 1) == (0, bytes(512))
    bench.write(0, b"\xbb" * 512)
    disk.flush(bench.done("flush"))
    disk.flush_queue()
    bench.deliver()
    bench.model.media[1].cut_power()
    assert bench.ended["flush"] == 0
    assert bench.read(0, 1) == (0, b"\xbb" * 512)


def test_flush_without_a_volatile_cache_is_no_command() -> None:
    bench = Bench(volatile_cache=False)
    disk = bench.start()
    before = bench.model.completed
    disk.flush(bench.done("flush"))
    assert "flush" not in bench.ended  # never at once
    disk.flush_queue()
    assert bench.ended == {"flush": 0}
    assert bench.model.completed == before


def test_write_zeroes_of_many_blocks_takes_several_commands_and_ends_once() -> None:
    bench = Bench({1: Media(blocks=200_000)})
    disk = bench.start()
    bench.write(0, b"\xff" * 512)
    bench.write(150_000, b"\xff" * 512)
    before = bench.model.completed
    disk.write_zeroes(0, 150_001, False, bench.done("zero"))
    disk.flush_queue()
    bench.deliver()
    assert bench.ended["zero"] == 0
    assert bench.model.completed - before == 3
    assert bench.read(0, 1) == bench.read(150_000, 1) == (0, bytes(512))


def test_discard_reads_as_zero_here_and_gives_its_memory_back() -> None:
    bench = Bench()
    disk = bench.start()
    bench.write(10, b"\xff" * 1024)
    before = bench.slot.dma.allocated
    disk.discard(11, 5, bench.done("discard"))
    disk.flush_queue()
    bench.deliver()
    assert bench.ended["discard"] == 0
    assert bench.read(10, 2) == (0, b"\xff" * 512 + bytes(512))
    assert bench.slot.dma.allocated == before


def test_what_the_controller_lacks_is_not_supported() -> None:
    bench = Bench(oncs=0)
    disk = bench.start()
    disk.write_zeroes(0, 1, True, bench.done("zero"))
    disk.discard(0, 1, bench.done("discard"))
    disk.flush_queue()
    assert bench.ended == {"zero": e.EOPNOTSUPP, "discard": e.EOPNOTSUPP}


@pytest.mark.parametrize(
    ("lba", "blocks", "errno"),
    [
        (0, 0, e.EINVAL),
        (-1, 1, e.EINVAL),
        (0, -1, e.EINVAL),
        (0, 9, e.EINVAL),
        (2048, 1, e.ENXIO),
        (2047, 2, e.ENXIO),
        (1 << 64, 1, e.ENXIO),
    ],
)
def test_requests_that_make_no_sense_end_by_done_without_a_command(
    lba: int, blocks: int, errno: int
) -> None:
    bench = Bench()
    disk = bench.start()
    chunk = disk.chunk(4096)
    before = bench.model.completed
    disk.read(lba, blocks, chunk, bench.done("read"))
    disk.write(lba, blocks, chunk, bench.done("write"))
    disk.read_many([lba], blocks, [chunk], [bench.done("many")])
    if blocks != 9:
        disk.write_zeroes(lba, blocks, False, bench.done("zero"))
        disk.discard(lba, blocks, bench.done("discard"))
    assert bench.ended == {}
    disk.flush_queue()
    assert set(bench.ended.values()) == {errno}
    assert len(bench.ended) == (3 if blocks == 9 else 5)
    assert bench.model.completed == before


def test_a_chunk_of_somebody_else_is_a_bug() -> None:
    class Foreign:
        view = memoryview(bytearray(512))

    disk = Bench().start()
    with pytest.raises(TypeError, match="chunk"):
        disk.read(0, 1, Foreign(), lambda errno: None)
    with pytest.raises(TypeError, match="chunk"):
        disk.write(0, 1, Foreign(), lambda errno: None)
