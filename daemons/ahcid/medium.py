"""The medium of a packet device: whether there is one, and how large it is."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from daemons.ahcid.identify import BLOCK_SIZES, PacketIdentity, Unusable
from daemons.ahcid.regs import (
    ASC_BECOMING_READY,
    ASC_NO_MEDIUM,
    SENSE_ASC,
    SENSE_KEY,
    SENSE_SIZE,
    Scsi,
    SenseKey,
)
from daemons.ahcid.status import failed
from daemons.ahcid.story import Story, pause
from redbear_host.classes.commands import AtaResult
from redbear_host.hw.ports import Clock

CD: Final = 5  # peripheral device type (SPC-4, 6.6.2)
BLOCK: Final = 2048
CAPACITY_SIZE: Final = 8
READY_S: Final = 15.0  # loading a disc
LOOK_S: Final = 0.1
_LOOKS: Final = 200  # at a drive that has something else to say each time

Ask: TypeAlias = Callable[[bytes, int], Story[tuple[AtaResult, bytes]]]
"""Executes a packet command that reads some bytes; returns how it ended, and the bytes."""


class Medium(NamedTuple):
    """How large it is; no blocks when there is none."""

    blocks: int
    block_size: int


class Sense(NamedTuple):
    """Why a packet command failed (SPC-4, 4.5)."""

    key: SenseKey
    code: int  # additional sense code


NONE: Final = Medium(0, BLOCK)

TEST_UNIT_READY: Final = bytes([Scsi.TEST_UNIT_READY]).ljust(12, b"\0")
REQUEST_SENSE: Final = bytes([Scsi.REQUEST_SENSE, 0, 0, 0, SENSE_SIZE]).ljust(12, b"\0")
READ_CAPACITY: Final = bytes([Scsi.READ_CAPACITY_10]).ljust(12, b"\0")


def sense(raw: bytes | memoryview, /) -> Sense:
    """Read fixed format sense data; anything else is NO SENSE."""
    if len(raw) < SENSE_SIZE or raw[0] & 0x7E != 0x70:
        return Sense(SenseKey.NO_SENSE, 0)
    return Sense(SenseKey(raw[SENSE_KEY] & 0xF), raw[SENSE_ASC])


def capacity(raw: bytes | memoryview, /) -> Medium:
    """Read the answer to READ CAPACITY (10); `Unusable` for blocks nobody serves."""
    last, size = struct.unpack_from(">II", raw)
    if last == 0 and size == 0:
        return NONE
    if size not in BLOCK_SIZES:
        raise Unusable(f"its medium has blocks of {size} bytes, which no driver here serves")
    return Medium(last + 1, size)


def find(ask: Ask, clock: Clock, identity: PacketIdentity) -> Story[Medium]:
    """Wait until the unit is ready, then ask how large its medium is.

    The first command after a reset fails with UNIT ATTENTION, and so may the next.
    """
    if identity.kind != CD:
        raise Unusable(f"is a packet device of type {identity.kind}, and this driver serves CDs")
    deadline = clock.now() + READY_S
    for _ in range(_LOOKS):
        result, _ = yield from ask(TEST_UNIT_READY, 0)
        if not failed(result):
            result, raw = yield from ask(READ_CAPACITY, CAPACITY_SIZE)
            if not failed(result) and result.moved == CAPACITY_SIZE:
                return capacity(raw)
        result, raw = yield from ask(REQUEST_SENSE, SENSE_SIZE)
        why = sense(raw)
        if why.key is SenseKey.NOT_READY:
            if why.code != ASC_BECOMING_READY:
                return NONE
            yield from pause(clock, LOOK_S)
        if clock.now() >= deadline:
            break
    return NONE


def gone(why: Sense) -> bool:
    """Whether there is no medium."""
    return why.key is SenseKey.NOT_READY and why.code == ASC_NO_MEDIUM
