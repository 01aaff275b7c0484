"""The card's non-volatile memory: where its hardware address comes from.

Ref: SDM 5.6 (EEPROM address map) and 13.4.4; 82574 6.1 and 10.2.2.3.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from daemons.e1000d.regs import (
    EERD,
    NVM_MAC,
    NVM_SUM,
    NVM_WORDS,
    E1000Regs,
    EerdWide,
    Regs82574,
)
from redbear_host.bits import Clock, Mmio
from redbear_host.errors import Stuck

WITHIN_S: Final = 0.01  # for one word
_WORD: Final = 1 << 16
_MULTICAST: Final = 1  # the group bit of an address' first byte

Read = Callable[[int], int]
"""Returns a word by its number; `Stuck` when it does not come."""

_log = logging.getLogger(__name__)


def reader(mmio: Mmio, clock: Clock, wide: bool) -> Read:
    """Read words by EERD; `wide` is the layout of 82573, 82574 and their like."""

    def old(word: int) -> int:
        eerd = E1000Regs(mmio).EERD
        eerd.write(EERD(START=True, ADDR=word))
        return eerd.wait(lambda it: it.DONE, clock, WITHIN_S).DATA

    def new(word: int) -> int:
        eerd = Regs82574(mmio).EERD
        eerd.write(EerdWide(START=True, ADDR=word))
        return eerd.wait(lambda it: it.DONE, clock, WITHIN_S).DATA

    return new if wide else old


def checksum_holds(words: Sequence[int]) -> bool:
    """Whether the first `NVM_WORDS` words add up as they must."""
    return sum(words) % _WORD == NVM_SUM


def is_station(mac: bytes) -> bool:
    """Whether an address can be a card's own: not a group's, not nothing."""
    return not mac[0] & _MULTICAST and any(mac)


def hardware_address(read: Read, name: str) -> bytes | None:
    """Return the address in the memory of the card `name`; None when there is none to be had.

    A memory with a wrong checksum is told of, and its address is taken if it can be one: a card
    that somebody has written a new address into still works.
    """
    try:
        words = [read(number) for number in range(NVM_WORDS)]
    except Stuck as error:
        _log.warning("%s: its EEPROM cannot be read: %s", name, error)
        return None
    mac = b"".join(word.to_bytes(2, "little") for word in words[NVM_MAC : NVM_MAC + 3])
    if not checksum_holds(words):
        _log.warning(
            "%s: the words of its EEPROM add up to %#06x, not %#06x",
            name, sum(words) % _WORD, NVM_SUM,
        )  # fmt: skip
    if not is_station(mac):
        _log.warning("%s: its EEPROM holds %s, which is no card's address", name, mac.hex(":"))
        return None
    return mac
