"""Capture files in the pcapng format, which Wireshark, tshark and tcpdump read.

Ref: PCAP Next Generation Capture File Format, draft-ietf-opsawg-pcapng, sections 3 (options), 4.1
(Section Header Block), 4.2 (Interface Description Block), 4.3 (Enhanced Packet Block) and 4.6
(Interface Statistics Block).

One section with one Ethernet interface, in this machine's byte order, times in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

_SECTION_HEADER: Final = 0x0A0D_0D0A
_INTERFACE_DESCRIPTION: Final = 1
_INTERFACE_STATISTICS: Final = 5
_ENHANCED_PACKET: Final = 6

_BYTE_ORDER_MAGIC: Final = 0x1A2B_3C4D
_LENGTH_UNKNOWN: Final = -1
_ETHERNET: Final = 1  # LINKTYPE_ETHERNET

_END: Final = 0  # opt_endofopt
_SHB_USERAPPL: Final = 4
_IF_NAME: Final = 2
_IF_MACADDR: Final = 6
_IF_TSRESOL: Final = 9
_NANOSECONDS: Final = 9  # ten to the minus ninth
_EPB_FLAGS: Final = 2
_EPB_DROPCOUNT: Final = 4
_INBOUND: Final = 1
_OUTBOUND: Final = 2
_ISB_STARTTIME: Final = 2
_ISB_ENDTIME: Final = 3
_ISB_IFRECV: Final = 4
_ISB_IFDROP: Final = 5

_ENDS: Final = Struct("=II")  # block type, block total length
_LENGTH: Final = Struct("=I")
_SECTION: Final = Struct("=IHHq")  # magic, version, length of the section
_INTERFACE: Final = Struct("=HHI")  # link type, reserved, snap length
_PACKET: Final = Struct("=IIIII")  # interface, time high and low, captured and original length
_STATISTICS: Final = Struct("=III")  # interface, time high and low
_OPTION: Final = Struct("=HH")  # code, length
_U32: Final = Struct("=I")
_U64: Final = Struct("=Q")
_HALVES: Final = Struct("=II")  # a time as two words, the high one first


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes = b"") -> bytes:
    return _OPTION.pack(code, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    size = _ENDS.size + len(body) + _LENGTH.size
    return _ENDS.pack(kind, size) + body + _LENGTH.pack(size)


def _halves(time: int) -> tuple[int, int]:
    return time >> 32 & 0xFFFF_FFFF, time & 0xFFFF_FFFF


class Writer:
    """Writes one capture through `write`, a block a call: what was written is whole at any time."""

    def __init__(
        self, write: Callable[[bytes], object], interface: str, mac: bytes, snaplen: int = 0
    ) -> None:
        """Write the head: who captured, on which interface; frames are cut to `snaplen` bytes.

        0: frames are kept whole.
        """
        self._write: Final = write
        self._snaplen: Final = snaplen
        self._started = 0
        section = _SECTION.pack(_BYTE_ORDER_MAGIC, 1, 0, _LENGTH_UNKNOWN)
        section += _option(_SHB_USERAPPL, b"redbear-host net dump") + _option(_END)
        described = _INTERFACE.pack(_ETHERNET, 0, snaplen)
        described += _option(_IF_NAME, interface.encode()) + _option(_IF_MACADDR, mac)
        described += _option(_IF_TSRESOL, bytes((_NANOSECONDS,))) + _option(_END)
        write(_block(_SECTION_HEADER, section) + _block(_INTERFACE_DESCRIPTION, described))

    def packet(
        self, time: int, frame: bytes | memoryview, *, sent: bool = False, lost: int = 0
    ) -> None:
        """Write a frame, which passed `time` nanoseconds after 1970; `lost` came before it."""
        self._started = self._started or time
        kept = bytes(frame[: self._snaplen] if self._snaplen else frame)
        head = _PACKET.pack(0, *_halves(time), len(kept), len(frame))
        options = _option(_EPB_FLAGS, _U32.pack(_OUTBOUND if sent else _INBOUND))
        if lost:
            options += _option(_EPB_DROPCOUNT, _U64.pack(lost))
        self._write(_block(_ENHANCED_PACKET, head + _padded(kept) + options + _option(_END)))

    def end(self, time: int, received: int, dropped: int) -> None:
        """Write how many frames the capture met, and how many of them it has lost."""
        body = _STATISTICS.pack(0, *_halves(time))
        body += _option(_ISB_STARTTIME, _HALVES.pack(*_halves(self._started or time)))
        body += _option(_ISB_ENDTIME, _HALVES.pack(*_halves(time)))
        body += _option(_ISB_IFRECV, _U64.pack(received)) + _option(_ISB_IFDROP, _U64.pack(dropped))
        self._write(_block(_INTERFACE_STATISTICS, body + _option(_END)))
