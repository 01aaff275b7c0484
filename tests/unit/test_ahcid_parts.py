"""ahcid's parsers and records: IDENTIFY, FISes, sense data, the words of errors."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from contextlib import suppress

import pytest
from fuzzing import rounds
from hypothesis import given
from hypothesis import strategies as st

from daemons.ahcid import fis, identify, medium
from daemons.ahcid.regs import (
    TABLE_SIZE,
    Ata,
    CommandTable,
    Host,
    Port,
    SenseKey,
    Signature,
    TaskError,
    TaskStatus,
)
from daemons.ahcid.status import describe, errno_of, failed
from redbear_host.abi import errno as e
from redbear_host.classes.commands import AtaCommand, AtaResult, Transfer
from redbear_host.errors import DeviceError
from redbear_host.models.ahci import Drive

# -- tables ----------------------------------------------------------------------------------------


def test_registers_lie_where_the_specification_has_them() -> None:
    host = {name: offset for offset, (name, _) in Host.registers().items()}
    assert host["Host.CAP2"] == 0x24
    assert host["Host.BOHC"] == 0x28
    port = {name: offset for offset, (name, _) in Port.registers().items()}
    assert (port["Port.CMD"], port["Port.TFD"]) == (0x18, 0x20)
    assert (port["Port.SACT"], port["Port.CI"]) == (0x34, 0x38)
    assert TABLE_SIZE % 128 == 0


def test_a_packed_command_table_is_fis_and_prd() -> None:
    raw = bytearray(CommandTable.size)
    CommandTable.codec.pack_into(raw, 0, 1, 2, 3, 4, 0, 0x1_2345_6780, 0, 0xFFF)
    assert raw[:16] == struct.pack("<4I", 1, 2, 3, 4)
    assert raw[0x80:] == struct.pack("<QII", 0x1_2345_6780, 0, 0xFFF)


# -- frames ----------------------------------------------------------------------------------------


def fields(frame: fis.Frame) -> tuple[int, int, int, int, int]:
    """Read a frame as SATA 10.3.4 has it: command, features, LBA, count, device."""
    raw = struct.pack("<4I", *frame[:4])
    assert raw[:2] == b"\x27\x80"
    lba = int.from_bytes(raw[4:7] + raw[8:11], "little")
    return raw[2], raw[3] | raw[11] << 8, lba, raw[12] | raw[13] << 8, raw[7]


@given(
    st.integers(0, 255),
    st.integers(0, (1 << 48) - 1),
    st.integers(0, 65535),
    st.integers(0, 65535),
)
def test_a_48_bit_command_has_every_bit_in_its_place(
    command: int, lba: int, count: int, feature: int
) -> None:
    made = fields(fis.ext(command, lba, count, feature))
    assert made == (command, feature, lba, count, 0x40)


@given(st.integers(0, 255), st.integers(0, (1 << 28) - 1), st.integers(0, 256))
def test_a_28_bit_command_has_four_bits_of_its_address_in_device(
    command: int, lba: int, count: int
) -> None:
    made = fields(fis.short(command, lba, count))
    assert made == (command, 0, lba & 0xFF_FFFF, count & 0xFF, 0x40 | lba >> 24)


def test_a_packet_says_how_its_data_moves() -> None:
    cdb = bytes(12)
    assert fields(fis.packet(cdb, 0, to_device=False, dma=True, dmadir=True))[:3] == (0xA0, 0, 0)
    pio = fis.packet(cdb, 2047, to_device=False, dma=False, dmadir=False)
    assert fields(pio)[:3] == (0xA0, 0, 2048 << 8)
    long = fis.packet(cdb, 1 << 20, to_device=False, dma=False, dmadir=False)
    assert fields(long)[2] == 0xFFFE << 8
    assert fields(fis.packet(cdb, 8, to_device=False, dma=True, dmadir=False))[1] == 1
    assert fields(fis.packet(cdb, 8, to_device=False, dma=True, dmadir=True))[1] == 5
    assert fields(fis.packet(cdb, 8, to_device=True, dma=True, dmadir=True))[1] == 1


@pytest.mark.parametrize(
    ("command", "size"),
    [
        (AtaCommand(0x100, Transfer.NON_DATA), 0),
        (AtaCommand(0x25, Transfer.DMA_IN, count=256), 512),  # 9 bits, and not extended
        (AtaCommand(0x25, Transfer.DMA_IN, lba=1 << 28), 512),
        (AtaCommand(0x25, Transfer.DMA_IN, lba=1 << 48, extended=True), 512),
        (AtaCommand(0x25, Transfer.DMA_IN, feature=-1, extended=True), 512),
        (AtaCommand(0x25, Transfer.DMA_IN, device=256, extended=True), 512),
        (AtaCommand(0x25, Transfer.DMA_IN, extended=True), 0),
        (AtaCommand(0xE7, Transfer.NON_DATA), 512),
        (AtaCommand(0x60, Transfer.DMA_IN, extended=True), 512),
        (AtaCommand(0xA0, Transfer.PIO_IN), 512),
        (AtaCommand(0xA0, Transfer.PACKET, packet=bytes(6)), 0),
    ],
)
def test_a_command_that_fits_nowhere_is_refused(command: AtaCommand, size: int) -> None:
    assert fis.of(command, size) is None


@given(
    st.builds(
        AtaCommand,
        command=st.integers(-1, 256),
        transfer=st.sampled_from(Transfer),
        feature=st.integers(-1, 1 << 17),
        count=st.integers(-1, 1 << 17),
        lba=st.integers(-1, 1 << 49),
        device=st.integers(-1, 256),
        extended=st.booleans(),
        packet=st.binary(max_size=17),
        data_in=st.booleans(),
    ),
    st.integers(0, 1 << 20),
    st.booleans(),
    st.booleans(),
)
def test_whatever_a_client_asks_for_is_a_frame_or_refused(
    command: AtaCommand, size: int, dma: bool, dmadir: bool
) -> None:
    frame = fis.of(command, size, dma=dma, dmadir=dmadir)
    if frame is not None:
        assert fields(frame)[0] == (
            0xA0 if command.transfer is Transfer.PACKET else command.command
        )


def received(**fises: bytes) -> memoryview:
    raw = bytearray(256)
    for name, data in fises.items():
        at = {"pio": 0x20, "d2h": 0x40}[name]
        raw[at : at + len(data)] = data
    return memoryview(raw)


def test_the_registers_of_a_result_are_those_the_device_sent_last() -> None:
    d2h = bytes([0x34, 0x40, 0x50, 0, 1, 2, 3, 0xE4, 5, 6, 7, 0, 8, 9, 0, 0]) + bytes(4)
    assert fis.result(received(d2h=d2h), 0x50, 0) == AtaResult(
        0, 0x50, 0, 0x0908, 0x070605030201, 0xE4, 0
    )
    pio = bytes([0x5F, 0x60, 0x58, 0, 1, 0, 0, 0xA0, 0, 0, 0, 0, 4, 0, 0, 0x50, 0, 2, 0, 0])
    assert fis.result(received(pio=pio), 0x50, 512) == AtaResult(0, 0x50, 0, 4, 1, 0xA0, 512)
    assert fis.result(received(pio=pio, d2h=d2h), 0x51 | 4 << 8, 0).lba == 0x070605030201
    assert fis.result(received(), 0x51 | 4 << 8, 0) == AtaResult(0, 0x51, 4)


@given(st.binary(min_size=256, max_size=256), st.integers(0, 0xFFFF), st.integers(0, 1 << 32))
def test_any_bytes_are_a_result_that_can_be_told(raw: bytes, taskfile: int, moved: int) -> None:
    result = fis.result(memoryview(raw), taskfile, moved)
    assert describe(result)
    assert errno_of(result, Ata.READ_DMA_EXT) in (0, e.EIO)
    assert failed(result) == bool(errno_of(result, Ata.READ_DMA_EXT))


# -- IDENTIFY --------------------------------------------------------------------------------------


def words(raw: bytes, changes: dict[int, int]) -> bytes:
    """Change words of an IDENTIFY, and drop its checksum."""
    changed = bytearray(raw)
    for word, value in changes.items():
        struct.pack_into("<H", changed, 2 * word, value)
    struct.pack_into("<H", changed, 510, 0)
    return bytes(changed)


def ata(**facts: object) -> bytes:
    return Drive(**facts).identify()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"ES-R24  ", "SER-42"),
        (b"ES-R24\0\0", "SER-42"),
        (b"  pscade  ", "spaced"),
        (b"ba\x1b\x01", "ab??"),
        (b"\xff\xfe", "??"),
        (b"\0" * 20, ""),
    ],
)
def test_text_is_readable_whatever_the_bytes(raw: bytes, text: str) -> None:
    assert identify.text(raw) == text


def test_the_capacity_is_taken_from_where_it_is_valid() -> None:
    raw = ata(blocks=1 << 40)
    assert identify.disk(raw).blocks == 1 << 40
    assert identify.disk(words(raw, {83: 0x4000})).blocks == (1 << 28) - 1
    assert identify.disk(words(raw, {83: 0x8400})).blocks == (1 << 28) - 1  # word 83 is not valid
    extended = words(raw, {69: 0x0008, 230: 7, 231: 0, 232: 1, 233: 0})
    assert identify.disk(extended).blocks == 1 << 32 | 7


def test_block_sizes_are_taken_from_word_106_when_it_is_valid() -> None:
    raw = ata()
    assert identify.disk(raw).block_size == 512
    long = words(ata(shift=12), {106: 0x7003})
    assert (identify.disk(long).block_size, identify.disk(long).physical) == (4096, 32768)
    advanced = words(raw, {106: 0x6003})
    assert (identify.disk(advanced).block_size, identify.disk(advanced).physical) == (512, 4096)
    assert identify.disk(words(long, {106: 0xD000})).block_size == 512
    with pytest.raises(identify.Unusable, match="520 bytes"):
        identify.disk(words(long, {117: 260}))


def test_queuing_needs_serial_ata_to_say_so() -> None:
    raw = ata(depth=20)
    assert identify.disk(raw).depth == 20
    assert identify.disk(words(raw, {76: 0})).depth == 0
    assert identify.disk(words(raw, {76: 0xFFFF})).depth == 0
    assert identify.disk(words(raw, {75: 0xFFFF})).depth == 32


def test_a_trim_that_zeroes_needs_two_bits() -> None:
    raw = ata()
    assert identify.disk(raw).trim_zeroes
    assert not identify.disk(words(raw, {69: 0x0020})).trim_zeroes
    assert not identify.disk(words(raw, {69: 0x4000})).trim_zeroes
    assert identify.disk(words(raw, {105: 0})).trim_blocks == 1
    assert identify.disk(words(raw, {169: 0})).trim_blocks == 0


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (bytes(512), "empty"),
        (b"\xff" * 512, "checksum|empty"),
        (ata()[:511] + b"\x00", "checksum"),
        (words(ata(), {0: 0x8040}), "0x8040"),
        (words(ata(), {49: 0x0200}), "no DMA"),
        (words(ata(), {49: 0x0100}), "no logical"),
        (words(ata(), {128: 0x0007}), "locked"),
        (words(ata(), {100: 0, 60: 0}), "no blocks"),
        (ata()[:100], "100 bytes"),
    ],
)
def test_a_disk_that_cannot_be_served_says_why(raw: bytes, says: str) -> None:
    with pytest.raises(identify.Unusable, match=says):
        identify.disk(raw)


def test_a_packet_device_is_told_by_its_first_word() -> None:
    raw = words(bytes(512), {0: 0x85C0, 49: 0x0300})
    drive = identify.packet_device(raw)
    assert (drive.kind, drive.packet, drive.dma, drive.removable) == (5, 12, True, True)
    assert identify.packet_device(words(raw, {0: 0x85C1})).packet == 16
    required = identify.packet_device(words(raw, {49: 0, 62: 0x8000}))
    assert required.dma
    assert required.dmadir
    for word in (0x0040, 0xC5C0, 0x85C2):
        with pytest.raises(identify.Unusable):
            identify.packet_device(words(raw, {0: word}))


@pytest.mark.fuzz
@pytest.mark.parametrize("parse", [identify.disk, identify.packet_device])
def test_a_malformed_identify_is_facts_that_hold_or_unusable(
    parse: Callable[[bytearray], identify.AtaIdentity | identify.PacketIdentity],
) -> None:
    dice = random.Random(20)
    is_disk = parse is identify.disk
    base = ata() if is_disk else words(bytes(512), {0: 0x85C0, 49: 0x0300})
    count, usable = rounds(10_000), 0
    for round_ in range(count):
        raw = bytearray(words(base, {})) if round_ % 4 else bytearray(dice.randbytes(512))
        for _ in range(dice.randrange(1, 12)):
            raw[dice.randrange(512)] = dice.choice((0, 0xFF, dice.randrange(256)))
        with suppress(DeviceError):
            facts = parse(raw)
            usable += 1
            assert facts.model.isprintable()
            if isinstance(facts, identify.AtaIdentity):
                assert facts.block_size in identify.BLOCK_SIZES
                assert 0 < facts.blocks * facts.block_size <= 1 << 63
                assert 0 <= facts.depth <= 32
    assert count // 10 < usable < count


@pytest.mark.fuzz
def test_malformed_fises_are_results_that_can_be_told() -> None:
    dice = random.Random(21)
    raw = bytearray(256)
    for _ in range(rounds(10_000)):
        raw[0x20:0x58] = dice.randbytes(0x38)
        raw[0x40] = dice.choice((0x34, raw[0x40]))
        raw[0x20] = dice.choice((0x5F, raw[0x20]))
        result = fis.result(memoryview(raw), dice.randrange(1 << 32), dice.randrange(1 << 32))
        assert 0 <= result.lba < 1 << 48
        assert describe(result)
        assert errno_of(result, Ata.DATA_SET_MANAGEMENT) in (0, e.EIO, e.EOPNOTSUPP)


# -- media and errors ------------------------------------------------------------------------------


def test_sense_data_is_key_and_code() -> None:
    raw = bytearray(18)
    raw[0], raw[2], raw[12] = 0x70, 0x02, 0x3A
    assert medium.sense(raw) == (SenseKey.NOT_READY, 0x3A)
    assert medium.gone(medium.sense(raw))
    raw[0] = 0x72  # descriptor format, which nobody asked for
    assert medium.sense(raw).key is SenseKey.NO_SENSE
    assert medium.sense(b"").key is SenseKey.NO_SENSE


@given(st.binary(min_size=8, max_size=64))
def test_any_bytes_are_sense_data_and_a_capacity_or_unusable(raw: bytes) -> None:
    assert medium.sense(raw).code in range(256)
    with suppress(DeviceError):
        found = medium.capacity(raw)
        assert found.block_size in identify.BLOCK_SIZES


@pytest.mark.parametrize(
    ("last", "size", "found"),
    [(1023, 2048, (1024, 2048)), (0, 0, medium.NONE), (0, 2048, (1, 2048)), (9, 2352, None)],
)
def test_a_capacity_is_blocks_and_their_size(
    last: int, size: int, found: tuple[int, int] | None
) -> None:
    raw = struct.pack(">II", last, size)
    if found is None:
        with pytest.raises(identify.Unusable, match="2352"):
            medium.capacity(raw)
    else:
        assert medium.capacity(raw) == found


def test_errors_are_told_in_the_specifications_words() -> None:
    status, error = TaskStatus(ERR=True, DRDY=True).raw, TaskError(UNC=True).raw
    assert describe(AtaResult(0, status, error)) == "UNC"
    assert describe(AtaResult(e.ENXIO)) == f"no answer (errno {e.ENXIO})"
    assert describe(AtaResult(0, 0x41, 0)) == "status 0x41, error 0x00"


def test_a_trim_that_is_aborted_is_none_the_disk_has() -> None:
    aborted = AtaResult(0, 0x41, TaskError(ABRT=True).raw)
    assert errno_of(aborted, Ata.DATA_SET_MANAGEMENT) == e.EOPNOTSUPP
    assert errno_of(aborted, Ata.FLUSH_CACHE_EXT) == e.EIO
    assert errno_of(AtaResult(e.ENODEV), Ata.FLUSH_CACHE_EXT) == e.ENODEV
    assert errno_of(AtaResult(0, 0x50), Ata.FLUSH_CACHE_EXT) == 0


def test_signatures_of_later_revisions_have_a_name() -> None:
    assert Signature(0x1234).name == "RESERVED_0x1234"
