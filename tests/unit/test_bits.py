"""The register language keeps every promise its docstrings make."""

from __future__ import annotations

import gc
import struct
import sys
import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redbear_host.bits import (
    RC,
    RO,
    RW,
    WO,
    Bits,
    Block,
    SpecEnum,
    Struct,
    at,
    bits,
    rc,
    ro,
    rw,
    wo,
)
from redbear_host.errors import DeviceError, Stuck

MASK = {8: 0xFF, 16: 0xFFFF, 32: 0xFFFF_FFFF, 64: 0xFFFF_FFFF_FFFF_FFFF}


class Mode(SpecEnum):
    IDLE = 0
    RUN = 1


class Control(Bits):
    ON: bool = bits(0)
    LEVEL: int = bits(7, 4)
    MODE: Mode = bits(10, 8)
    DONE: bool = bits(16, w1c=True)
    FAULT: int = bits(19, 18, w1c=True)


class Tiny(Bits, width=8):
    LOW: int = bits(3, 0)
    HIGH: int = bits(7, 4)


class Half(Bits, width=16):
    ALL: int = bits(15, 0)


class Wide(Bits, width=64):
    LOW: int = bits(31, 0)
    TOP: bool = bits(63)


class Bare(Bits):
    """A register without named fields."""


class Bank(Block):
    CONTROL = rw(0x00, Control)
    STATE = ro(0x04, Control)
    WIDE = rw(0x08, Wide)
    CAUSE = rc(0x10, Control)
    BELL = wo(0x14, Bare)
    TINY = rw(0x18, Tiny)
    HALF = rw(0x1A, Half)


class Record(Struct, size=32):
    KIND: int = at(0, "B")
    FLAGS: int = at(2, "H")
    COUNT: int = at(4, "i")
    ADDRESS: int = at(8, "Q")
    NAME: bytes = at(20, "8s")


class Ram:
    """An Mmio over plain memory that remembers every access as (verb, offset, value)."""

    def __init__(self, size: int = 0x100) -> None:
        self.size = size
        self.memory = bytearray(size)
        self.log: list[tuple[str, int, int]] = []

    def _read(self, width: int, offset: int) -> int:
        value = int.from_bytes(self.memory[offset : offset + width // 8], "little")
        self.log.append((f"read{width}", offset, value))
        return value

    def _write(self, width: int, offset: int, value: int) -> None:
        self.log.append((f"write{width}", offset, value))
        self.memory[offset : offset + width // 8] = value.to_bytes(width // 8, "little")

    def read8(self, offset: int, /) -> int:
        return self._read(8, offset)

    def read16(self, offset: int, /) -> int:
        return self._read(16, offset)

    def read32(self, offset: int, /) -> int:
        return self._read(32, offset)

    def read64(self, offset: int, /) -> int:
        return self._read(64, offset)

    def write8(self, offset: int, value: int, /) -> None:
        self._write(8, offset, value)

    def write16(self, offset: int, value: int, /) -> None:
        self._write(16, offset, value)

    def write32(self, offset: int, value: int, /) -> None:
        self._write(32, offset, value)

    def write64(self, offset: int, value: int, /) -> None:
        self._write(64, offset, value)


class Ticks:
    """A clock that moves only by `pause`, and by `naps` that the machine takes meanwhile."""

    def __init__(self, naps: float = 0.0) -> None:
        self.time = 100.0
        self.naps = naps
        self.pauses = 0

    def now(self) -> float:
        return self.time

    def pause(self, seconds: float, /) -> None:
        assert seconds > 0
        self.pauses += 1
        self.time += seconds + self.naps


def declare(text: str) -> Any:
    """Run a piece of register table as a module of its own would."""
    source = "from __future__ import annotations\nfrom redbear_host.bits import *\n"
    source += "class Reg(Bits):\n    A: int = bits(0)\n"
    module = types.ModuleType("table")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "table", module)
        exec(source + text, vars(module))
    return module


# -- words -------------------------------------------------------------------------------------


@given(st.integers(0, MASK[32]), st.integers(0, 15))
def test_setting_a_field_moves_no_other_bit(raw: int, level: int) -> None:
    word = Control.of(raw)
    word.LEVEL = level
    assert word.LEVEL == level
    assert (word.raw ^ raw) & ~0xF0 == 0


@given(st.integers(0, MASK[64]))
def test_every_field_reads_its_own_bits(raw: int) -> None:
    word = Wide.of(raw)
    assert word.LOW == raw % 2**32
    assert word.TOP is (raw >= 2**63)
    assert word.raw == raw


def test_fields_given_by_name_build_the_word() -> None:
    assert Control(ON=True, LEVEL=5, MODE=Mode.RUN).raw == 0x151
    assert Control().raw == 0


def test_a_field_comes_back_as_the_type_it_was_declared_with() -> None:
    word = Control.of(0x101)
    assert word.ON is True
    assert word.MODE is Mode.RUN
    assert type(word.LEVEL) is int


@pytest.mark.parametrize("value", [16, -1, 1 << 40])
def test_a_value_that_does_not_fit_is_refused_and_named(value: int) -> None:
    word = Control.of(0x20)
    with pytest.raises(ValueError, match=r"Control\.LEVEL cannot hold"):
        word.LEVEL = value
    with pytest.raises(ValueError, match=r"Control\.LEVEL cannot hold"):
        Control(LEVEL=value)
    assert word.raw == 0x20


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(AttributeError):
        Control().LEVLE = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        Control(LEVLE=1)  # type: ignore[call-arg]


def test_words_compare_by_type_and_value() -> None:
    assert Control.of(7) == Control.of(7)
    assert Control.of(7) != Control.of(8)
    assert Control.of(7) != Bare.of(7)
    assert len({Control.of(7), Control.of(7), Bare.of(7)}) == 2


def test_a_word_prints_like_a_line_of_a_data_sheet() -> None:
    assert repr(Tiny.of(0x2A)) == "<Tiny 0x2a LOW=10 HIGH=2>"
    assert repr(Control(ON=True)).startswith("<Control 0x00000001 ON=True LEVEL=0 MODE=<Mode.IDLE")


def test_a_word_without_fields_starts_as_zero() -> None:
    assert Bare().raw == 0
    assert Bare.of(0xDEAD).raw == 0xDEAD


def test_a_value_from_a_later_revision_gets_a_name_and_stays_the_same_object() -> None:
    word = Control.of(5 << 8)
    assert word.MODE == 5
    assert word.MODE.name == "RESERVED_0x5"
    assert word.MODE is Control.of(5 << 8).MODE
    first = id(Mode(6))
    gc.collect()
    assert id(Mode(6)) == first
    assert "RESERVED_0x5" in repr(word)
    assert [m.name for m in Mode] == ["IDLE", "RUN"]


@pytest.mark.parametrize("value", [-1, "RUN", None])
def test_what_no_register_can_hold_is_not_a_reserved_value(value: object) -> None:
    with pytest.raises(ValueError, match="is not a valid Mode"):
        Mode(value)  # type: ignore[arg-type]


# -- registers ---------------------------------------------------------------------------------


def test_each_register_is_accessed_with_its_own_width() -> None:
    ram = Ram()
    bank = Bank(ram)
    bank.TINY.write(Tiny(LOW=1))
    bank.HALF.write(Half(ALL=0x1234))
    bank.CONTROL.write(Control(ON=True))
    bank.WIDE.write(Wide(TOP=True))
    assert bank.TINY.read().LOW == 1
    assert bank.HALF.read().ALL == 0x1234
    assert bank.CONTROL.read().ON
    assert bank.WIDE.read().TOP
    assert ram.log == [
        ("write8", 0x18, 0x01),
        ("write16", 0x1A, 0x1234),
        ("write32", 0x00, 0x01),
        ("write64", 0x08, 1 << 63),
        ("read8", 0x18, 0x01),
        ("read16", 0x1A, 0x1234),
        ("read32", 0x00, 0x01),
        ("read64", 0x08, 1 << 63),
    ]


def test_looking_at_a_block_touches_no_register() -> None:
    ram = Ram()
    bank = Bank(ram)
    assert bank.CAUSE.offset == 0x10
    assert bank.CONTROL.kind is Control
    assert ram.log == []


def test_edit_is_one_read_and_one_write() -> None:
    ram = Ram()
    ram.memory[0] = 0xF0
    with Bank(ram).CONTROL.edit() as control:
        control.ON = True
        control.LEVEL = 2
    assert ram.log == [("read32", 0, 0xF0), ("write32", 0, 0x21)]


def test_edit_leaves_write_one_to_clear_bits_alone() -> None:
    ram = Ram()
    ram.memory[0:4] = 0x000D_0000.to_bytes(4, "little")
    with Bank(ram).CONTROL.edit() as control:
        control.LEVEL = 3
    assert ram.log[-1] == ("write32", 0, 0x30)


def test_edit_clears_a_bit_it_is_told_to_clear() -> None:
    ram = Ram()
    ram.memory[0:4] = 0x000D_0000.to_bytes(4, "little")
    with Bank(ram).CONTROL.edit() as control:
        control.DONE = True
    assert ram.log[-1] == ("write32", 0, 0x1_0000)


def half_done(control: Control) -> None:
    control.ON = True
    raise KeyError("half way")


def test_an_error_inside_edit_writes_nothing() -> None:
    ram = Ram()
    with pytest.raises(KeyError, match="half way"), Bank(ram).CONTROL.edit() as control:
        half_done(control)
    assert ram.log == [("read32", 0, 0)]


def test_the_kind_of_access_decides_which_verbs_exist() -> None:
    verbs = {
        kind: {v for v in ("read", "write", "edit", "wait") if hasattr(kind, v)}
        for kind in (RO, RC, WO, RW)
    }
    assert verbs == {
        RO: {"read", "wait"},
        RC: {"read", "wait"},
        WO: {"write"},
        RW: {"read", "write", "edit", "wait"},
    }
    bank = Bank(Ram())
    assert isinstance(bank.CAUSE, RC)
    assert isinstance(bank.STATE, RO)
    assert isinstance(bank.BELL, WO)


def test_two_blocks_of_one_class_do_not_share_a_window() -> None:
    one, two = Ram(), Ram()
    first, second = Bank(one), Bank(two)
    first.CONTROL.write(Control(ON=True))
    assert not second.CONTROL.read().ON
    assert len(one.log) == len(two.log) == 1


def test_a_block_can_be_bound_further_into_the_window() -> None:
    ram = Ram(0x80)
    Bank(ram, 0x40).HALF.write(Half(ALL=7))
    assert ram.log == [("write16", 0x5A, 7)]


@pytest.mark.parametrize("base", [0x44, 0x01, -0x40])
def test_a_base_that_misaligns_a_register_is_refused(base: int) -> None:
    with pytest.raises(ValueError, match="aligned to 8 bytes"):
        Bank(Ram(), base)


def test_a_window_too_small_for_the_block_is_refused() -> None:
    assert Bank.end == 0x1C
    Bank(Ram(0x1C))
    with pytest.raises(DeviceError, match="needs 0x1c bytes, not 0x1b"):
        Bank(Ram(0x1B))
    with pytest.raises(DeviceError, match="needs 0x5c bytes"):
        Bank(Ram(0x5B), 0x40)


# -- waiting -----------------------------------------------------------------------------------


def test_wait_returns_the_value_that_was_ready() -> None:
    ram, clock = Ram(), Ticks()

    def third_time_lucky(value: Control) -> bool:
        ram.memory[4] = 0x11
        return value.ON

    value = Bank(ram).STATE.wait(third_time_lucky, clock, 1.0)
    assert value.raw == 0x11
    assert [verb for verb, _, _ in ram.log] == ["read32", "read32"]
    assert clock.pauses == 1


def test_wait_does_not_pause_when_the_register_is_ready_at_once() -> None:
    clock = Ticks()
    Bank(Ram()).STATE.wait(lambda s: not s.ON, clock, 0.0)
    assert clock.pauses == 0


def test_a_stuck_register_names_itself_its_value_and_the_patience() -> None:
    ram, clock = Ram(), Ticks()
    ram.memory[4] = 0x30
    with pytest.raises(Stuck, match=r"^<Control 0x00000030 ON=False LEVEL=3 .*> after 7\.5 s$"):
        Bank(ram).STATE.wait(lambda s: s.ON, clock, 7.5)
    assert 7.5 <= clock.time - 100.0 < 7.6


def test_stuck_is_the_devices_fault_and_also_a_timeout() -> None:
    assert issubclass(Stuck, DeviceError)
    assert issubclass(Stuck, TimeoutError)


def test_a_machine_that_slept_past_the_deadline_looks_once_more() -> None:
    ram, clock = Ram(), Ticks(naps=3600.0)

    def asleep(value: Control) -> bool:
        ready = value.ON
        ram.memory[4] = 1  # the device finishes during the nap
        return ready

    assert Bank(ram).STATE.wait(asleep, clock, 1.0).ON
    assert clock.pauses == 1


def test_a_device_that_never_answers_is_given_up_after_one_late_look() -> None:
    ram, clock = Ram(), Ticks(naps=3600.0)
    with pytest.raises(Stuck):
        Bank(ram).STATE.wait(lambda s: s.ON, clock, 1.0)
    assert len(ram.log) == 2


# -- records -----------------------------------------------------------------------------------


def test_members_lie_where_they_were_placed_and_gaps_are_zero() -> None:
    record = Record(KIND=0x11, FLAGS=0x2233, COUNT=-2, ADDRESS=0x8877665544332211, NAME=b"disk0")
    assert bytes(record) == bytes.fromhex(
        "11 00 3322 feffffff 1122334455667788 00000000 6469736b30000000 00000000"
    )


def test_an_empty_record_is_all_zero_and_equals_a_loaded_one() -> None:
    assert bytes(Record()) == bytes(32)
    assert Record().NAME == bytes(8)
    loaded = Record.load(bytes(32))
    assert loaded == Record()
    assert [getattr(loaded, f) for f in Record.fields] == [
        getattr(Record(), f) for f in Record.fields
    ]


records = st.builds(
    Record,
    KIND=st.integers(0, MASK[8]),
    FLAGS=st.integers(0, MASK[16]),
    COUNT=st.integers(-(1 << 31), (1 << 31) - 1),
    ADDRESS=st.integers(0, MASK[64]),
    NAME=st.binary(max_size=8),
)


@given(records, st.integers(0, 9))
def test_a_record_survives_the_round_trip_at_any_offset(record: Record, offset: int) -> None:
    room = bytearray(b"\xaa" * 48)
    record.store(room, offset)
    assert Record.load(room, offset) == record
    assert hash(Record.load(room, offset)) == hash(record)
    assert room[:offset] == b"\xaa" * offset
    assert room[offset + 32 :] == b"\xaa" * (16 - offset)


@given(st.binary(min_size=32, max_size=32))
def test_loading_reads_only_named_bytes(raw: bytes) -> None:
    known = bytearray(raw)
    for gap in (slice(1, 2), slice(16, 20), slice(28, 32)):
        known[gap] = bytes(len(known[gap]))
    assert bytes(Record.load(raw)) == bytes(known)


def test_a_record_does_not_leave_its_buffer() -> None:
    with pytest.raises(struct.error):
        Record.load(bytes(31))
    with pytest.raises(struct.error):
        Record().store(bytearray(40), 9)


@pytest.mark.parametrize(("member", "value"), [("KIND", 256), ("COUNT", 1 << 31), ("ADDRESS", -1)])
def test_a_member_too_large_for_its_place_is_not_stored(member: str, value: int) -> None:
    room = bytearray(32)
    record = Record()
    setattr(record, member, value)
    with pytest.raises(struct.error):
        record.store(room)


def test_a_misspelt_member_is_refused() -> None:
    with pytest.raises(AttributeError):
        Record().KINDS = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        Record(KINDS=1)  # type: ignore[call-arg]


def test_records_compare_by_type_and_bytes() -> None:
    class Other(Struct, size=32):
        KIND: int = at(0, "B")

    assert Record(KIND=1) == Record(KIND=1)
    assert Record(KIND=1) != Record(KIND=2)
    assert Record(KIND=1) != Other(KIND=1)
    assert repr(Other(KIND=1)) == "<Other KIND=1>"


# -- tables that must not import ---------------------------------------------------------------

BROKEN = {
    "two fields share a bit": (
        "overlap another field",
        "class Twice(Bits):\n    A: int = bits(3, 0)\n    B: int = bits(5, 3)",
    ),
    "a field is wider than its register": (
        "do not fit in 16",
        "class Long(Bits, width=16):\n    A: int = bits(16, 0)",
    ),
    "the ends of a field are swapped": (
        "bits 0:3: give the higher bit first",
        "class Swapped(Bits):\n    A: int = bits(0, 3)",
    ),
    "no bus has such a width": (
        "8, 16, 32 or 64 bits",
        "class Odd(Bits, width=24):\n    A: int = bits(0)",
    ),
    "the type of a field is unknown": (
        "'Later' is not known",
        "class Early(Bits):\n    A: Later = bits(1, 0)\nclass Later(SpecEnum):\n    X = 0",
    ),
    "a field has no type": ("is not known", "class Untyped(Bits):\n    A = bits(0)"),
    "a word extends a finished one": (
        "no subclasses",
        "class More(Reg):\n    B: int = bits(1)",
    ),
    "two registers share a byte": (
        "offset 0x4 is below 0x8",
        "class Wide(Bits, width=64):\n    A: int = bits(0)\n"
        "class Lapped(Block):\n    A = rw(0, Wide)\n    B = rw(4, Reg)",
    ),
    "registers are out of order": (
        "offset 0x0 is below 0x8",
        "class Jumbled(Block):\n    A = rw(4, Reg)\n    B = ro(0, Reg)",
    ),
    "a register straddles its width": (
        "offset 0x2 is not aligned",
        "class Skewed(Block):\n    A = rw(2, Reg)",
    ),
    "a register lies before the window": (
        "offset -0x4 is below 0x0",
        "class Before(Block):\n    A = rw(-4, Reg)",
    ),
    "a block extends another": (
        "no subclasses",
        "class One(Block):\n    A = rw(0, Reg)\nclass Two(One):\n    B = rw(4, Reg)",
    ),
    "two members share a byte": (
        "inside the member before",
        'class Nested(Struct, size=8):\n    A: int = at(0, "I")\n    B: int = at(2, "I")',
    ),
    "members are out of order": (
        "inside the member before",
        'class Jumbled(Struct, size=8):\n    A: int = at(4, "I")\n    B: int = at(0, "I")',
    ),
    "a record ends inside a member": (
        "end at byte 8 of 6",
        'class Cut(Struct, size=6):\n    A: int = at(4, "I")',
    ),
    "a member is several values": (
        "holds 6 values",
        'class Many(Struct, size=48):\n    A: int = at(0, "6Q")',
    ),
    "a member is no value": (
        "holds 0 values",
        'class Gap(Struct, size=4):\n    A: int = at(0, "4x")',
    ),
    "a record extends a finished one": (
        "no subclasses",
        'class Base(Struct, size=4):\n    A: int = at(0, "I")\n'
        'class More(Base, size=8):\n    B: int = at(4, "I")',
    ),
}


@pytest.mark.parametrize("slip", BROKEN)
def test_a_table_does_not_import_when(slip: str) -> None:
    message, table = BROKEN[slip]
    with pytest.raises(TypeError, match=message):
        declare(table)


def test_a_sound_table_imports_the_same_way() -> None:
    table = declare("class Fine(Block):\n    A = rw(0, Reg)\n    B = ro(4, Reg)")
    assert table.Fine.end == 8
    assert table.Reg.fields == ("A",)
