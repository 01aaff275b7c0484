"""Which frames the card takes: by address, and by VLAN (SDM 13.5)."""

from __future__ import annotations

from typing import Final

from daemons.e1000d.regs import (
    MTA_BASE,
    MTA_WORDS,
    RAH,
    RAL_BASE,
    RECEIVE_ADDRESSES,
    VFTA_BASE,
    VFTA_WORDS,
    ReceiveAddress,
    Word,
)
from redbear_host.bits import Mmio

_PAIR: Final = 8  # bytes of RAL and RAH
_VLANS_PER_WORD: Final = 32


class Filters:
    """The card's filter tables; none of them has a defined state after a reset."""

    def __init__(self, mmio: Mmio) -> None:
        self._mmio: Final = mmio
        self._addresses: Final = [
            ReceiveAddress(mmio, RAL_BASE + _PAIR * index) for index in range(RECEIVE_ADDRESSES)
        ]

    @property
    def mac(self) -> bytes:
        """The address in the first pair: from the EEPROM after a reset, or as it was set."""
        low, high = self._addresses[0].RAL.read(), self._addresses[0].RAH.read()
        return low.VALUE.to_bytes(4, "little") + high.RAH.to_bytes(2, "little")

    def set_mac(self, mac: bytes) -> None:
        """Take frames to `mac`."""
        low, high = int.from_bytes(mac[:4], "little"), int.from_bytes(mac[4:], "little")
        first = self._addresses[0]
        first.RAL.write(Word(VALUE=low))
        first.RAH.write(RAH(RAH=high, AV=True))

    def reset(self, mac: bytes, vlan: int) -> None:
        """Take frames to `mac` and no other station, and of `vlan` alone where VFE is on.

        The table of multicast addresses is empty: RCTL.MPE takes them all.
        """
        self.set_mac(mac)
        for pair in self._addresses[1:]:
            pair.RAH.write(RAH())
            pair.RAL.write(Word())
        write = self._mmio.write32
        for word in range(MTA_WORDS):
            write(MTA_BASE + 4 * word, 0)
        word, bit = divmod(vlan, _VLANS_PER_WORD)
        for index in range(VFTA_WORDS):
            write(VFTA_BASE + 4 * index, 1 << bit if vlan and index == word else 0)
