"""Mistakes a type checker must catch: every `type: ignore` below has to be needed.

Never imported and never run; `test_registers.py` gives it to mypy, which reports an ignore that
silences nothing.  So the day a slip passes unseen, the test fails.
"""

from __future__ import annotations

from redbear_host.bits import Bits, Block, Clock, SpecEnum, Struct, at, bits, rc, ro, rw, wo


class Level(SpecEnum):
    LOW = 0
    HIGH = 1


class Colour(SpecEnum):
    RED = 0


class Control(Bits):
    ON: bool = bits(0)
    LEVEL: Level = bits(3, 1)
    COUNT: int = bits(15, 8)


class Status(Bits):
    READY: bool = bits(0)


class Bank(Block):
    CONTROL = rw(0x00, Control)
    STATUS = ro(0x04, Status)
    CAUSE = rc(0x08, Status)
    BELL = wo(0x0C, Control)


class Entry(Struct, size=16):
    KIND: int = at(0, "B")
    NAME: bytes = at(8, "8s")


def sound(bank: Bank, clock: Clock) -> int:
    """What a driver writes every day passes without a mark."""
    bank.CONTROL.write(Control(ON=True, LEVEL=Level.HIGH))
    with bank.CONTROL.edit() as control:
        control.COUNT = 3
    if bank.CAUSE.read().READY:
        bank.BELL.write(Control())
    bank.STATUS.wait(lambda status: status.READY, clock, 1.0)
    entry = Entry.load(bytes(Entry(KIND=1, NAME=b"disk")))
    return entry.KIND + len(entry.NAME)


def mistakes(bank: Bank, clock: Clock) -> None:
    """One slip a line."""
    bank.STATUS.write(Status())  # type: ignore[attr-defined]  # a read-only register
    bank.CAUSE.write(Status())  # type: ignore[attr-defined]  # cleared by reading, not by writing
    bank.BELL.read()  # type: ignore[attr-defined]  # a write-only register
    bank.BELL.edit()  # type: ignore[attr-defined]  # edit would have to read it
    bank.STATUS.edit()  # type: ignore[attr-defined]  # edit would have to write it
    bank.CONTROL.ON = True  # type: ignore[attr-defined]  # no register access looks like this
    bank.CONTROLS.read()  # type: ignore[attr-defined]  # no such register
    bank.CONTROL.write(Status())  # type: ignore[arg-type]  # another register's value
    bank.CONTROL.write(1)  # type: ignore[arg-type]  # a number is not a value
    Control(ENABLE=True)  # type: ignore[call-arg]  # the field is called ON
    Control(LEVEL=1)  # type: ignore[arg-type]  # LEVEL takes a Level
    Control(LEVEL=Colour.RED)  # type: ignore[arg-type]  # and not any other enumeration
    Control(True)  # type: ignore[call-arg]  # fields go by name, never by place
    _ = bank.CONTROL.read().READY  # type: ignore[attr-defined]  # READY is in Status
    with bank.CONTROL.edit() as control:
        control.LEVEL = "high"  # type: ignore[assignment]
        control.LEVLE = Level.LOW  # type: ignore[attr-defined]
    bank.STATUS.wait(lambda status: status.ON, clock, 1.0)  # type: ignore[attr-defined]
    bank.STATUS.wait(lambda status: status.READY)  # type: ignore[call-arg]  # no deadline
    Entry(OPCODE=2)  # type: ignore[call-arg]  # the member is called KIND
    Entry(NAME="disk")  # type: ignore[arg-type]  # a record holds bytes
    Entry().store(b"read-only")  # type: ignore[arg-type]
    Entry.load(bytes(16)).KIND = b"1"  # type: ignore[assignment]
    Bank(b"")  # type: ignore[arg-type]  # bytes are no window onto a device
