"""Directory entries as getdents delivers them (redox_syscall, src/dirent.rs).

A record is a packed header of 19 bytes, the name, a NUL, and zeroes up to a multiple of 8.  Where a
listing goes on is an opaque number in each record; ours counts entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from redbear_host.abi import errno as e
from redbear_host.bits import Struct, at
from redbear_host.errors import ProtocolError, Refused

ALIGN: Final = 8


class DirentHeader(Struct, size=19):
    """What stands before the name; `kind` is one of DT_… in `redbear_host.abi.flags`."""

    inode: int = at(0, "Q")
    next_opaque_id: int = at(8, "Q")
    record_len: int = at(16, "H")
    kind: int = at(18, "B")


class Dirent(NamedTuple):
    """One entry as read back."""

    name: str
    kind: int
    inode: int
    next_opaque_id: int  # what the call asks for that shall go on behind this entry


def pack(
    entries: Sequence[tuple[str, int, int]],
    room: int,
    opaque_offset: int = 0,
    header_size: int = DirentHeader.size,
) -> bytes:
    """Pack (name, kind, inode) entries from number `opaque_offset` on into at most `room` bytes.

    Whole records only; nothing once the listing is over.  Raises `Refused(EINVAL)` when not even
    one record fits, or for another header than the one defined, as Redox does.
    """
    if header_size != DirentHeader.size:
        raise Refused(e.EINVAL, f"directory headers have 19 bytes, not {header_size}")
    packed = bytearray()
    for number, (name, kind, inode) in enumerate(entries[opaque_offset:], opaque_offset):
        raw = name.encode()
        if not raw or b"\0" in raw or b"/" in raw:
            raise ValueError(f"{name!r} cannot be the name of a directory entry")
        length = DirentHeader.size + len(raw) + 1
        length += -length % ALIGN
        if len(packed) + length > room:
            if packed:
                break
            raise Refused(e.EINVAL, f"{room} bytes hold no entry of {length}")
        packed += bytes(
            DirentHeader(inode=inode, next_opaque_id=number + 1, record_len=length, kind=kind)
        )
        packed += raw.ljust(length - DirentHeader.size, b"\0")
    return bytes(packed)


def unpack(data: bytes | bytearray | memoryview) -> Iterator[Dirent]:
    """Yield the entries of a packed listing; raises `ProtocolError` at the first that is broken."""
    at_byte = 0
    while at_byte < len(data):
        if len(data) - at_byte < DirentHeader.size:
            raise ProtocolError(f"directory entry at byte {at_byte} is cut off in its header")
        header = DirentHeader.load(data, at_byte)
        end = at_byte + header.record_len
        if header.record_len <= DirentHeader.size or header.record_len % ALIGN or end > len(data):
            raise ProtocolError(
                f"directory entry at byte {at_byte} of {len(data)} has length {header.record_len}"
            )
        name, nul, _ = bytes(data[at_byte + DirentHeader.size : end]).partition(b"\0")
        if not nul:
            raise ProtocolError(f"name of the directory entry at byte {at_byte} has no end")
        try:
            text = name.decode()
        except UnicodeDecodeError:
            raise ProtocolError(f"name {name!r} of a directory entry is not UTF-8") from None
        yield Dirent(text, header.kind, header.inode, header.next_opaque_id)
        at_byte = end
