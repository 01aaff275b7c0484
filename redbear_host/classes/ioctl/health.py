"""A disk's temperature, and whether it expects to fail: asked of the disk itself, by SMART.

Ref: ACS-3 (INCITS 522) 7.48 SMART; NVM Express Base Specification 2.0c figure 207.  The layout of
ATA's attributes is the vendors' common one; no standard has it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from redbear_host.classes.commands import AtaCommand, NvmeCommand, Transfer
from redbear_host.classes.ioctl.forward import Forwarder
from redbear_host.classes.ioctl.nvme import (
    EVERY_NAMESPACE,
    GET_LOG_PAGE,
    SMART_LOG,
    SMART_LOG_BYTES,
)
from redbear_host.classes.ioctl.story import Story

UNKNOWN: Final = 0xFF
_SMART: Final = 0xB0
_READ_DATA, _RETURN_STATUS = 0xD0, 0xDA
_KEY: Final = 0xC24F00  # what SMART wants in its LBA
_FAILING: Final = 0x2CF400  # what it answers there
_ATTRIBUTES_AT, _ATTRIBUTES, _ATTRIBUTE = 2, 30, 12
_TEMPERATURES: Final = (194, 190)
_SECTOR: Final = 512
_KELVIN: Final = 273


class Health(NamedTuple):
    """What LOG SENSE tells."""

    celsius: int = UNKNOWN
    fails: bool = False


def of_ata(forwarder: Forwarder) -> Story[Health]:
    """Ask an ATA disk that has SMART."""
    read = AtaCommand(_SMART, Transfer.PIO_IN, feature=_READ_DATA, count=1, lba=_KEY)
    result, data = yield from forwarder.ata(read, _SECTOR, b"")
    celsius = UNKNOWN if result.errno or len(data) < _SECTOR else temperature(data)
    status = AtaCommand(_SMART, Transfer.NON_DATA, feature=_RETURN_STATUS, lba=_KEY)
    result, _ = yield from forwarder.ata(status, 0, b"")
    return Health(celsius, not result.errno and result.lba & 0xFFFF00 == _FAILING)


def temperature(data: bytes) -> int:
    """Find the temperature among SMART's attributes, in degrees Celsius."""
    found = {}
    for index in range(_ATTRIBUTES):
        at = _ATTRIBUTES_AT + index * _ATTRIBUTE
        found[data[at]] = data[at + 5]
    return next((found[number] for number in _TEMPERATURES if number in found), UNKNOWN)


def of_nvme(forwarder: Forwarder) -> Story[Health]:
    """Ask an NVMe controller."""
    dwords = SMART_LOG_BYTES // 4 - 1
    ask = NvmeCommand(True, GET_LOG_PAGE, EVERY_NAMESPACE, cdw10=dwords << 16 | SMART_LOG)
    result, data = yield from forwarder.nvme(ask, SMART_LOG_BYTES, b"")
    if result.errno or result.status:
        return Health()
    celsius = int.from_bytes(data[1:3], "little") - _KELVIN
    return Health(min(max(0, celsius), UNKNOWN), data[0] != 0)
