"""Looking into a journal from outside: what is in hand, what is open.

The daemon goes on writing meanwhile, so what is seen may be a moment old, or half of a change: it
is for people to look at (`/scheme/sys`), never to act upon.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from schemefs import protocol as p
from schemefs.handles import RECORD as HANDLE
from schemefs.journal import (
    HANDLE_BYTES,
    HANDLES_USED,
    NAME_MAX,
    NODE_BYTES,
    REQUEST_BYTES,
    Journal,
)
from schemefs.nodes import NAME_AT
from schemefs.nodes import RECORD as NODE

_LENGTHS: Final = Struct(f"=I{REQUEST_BYTES - 4}x")
_UNIQUES: Final = Struct(f"=Q{HANDLE_BYTES - 8}x")
_DEEPEST: Final = 4096  # names in a path; a torn table may lead in a circle


class Pending(NamedTuple):
    """A request that was taken and not answered."""

    unique: int
    opcode: int
    node: int
    pid: int
    uid: int
    gid: int


class Open(NamedTuple):
    """A handle."""

    fh: int
    node: int
    flags: int  # Redox's
    pid: int
    uid: int
    gid: int


def pending(journal: Journal) -> list[Pending]:
    """List the requests in hand, longest first taken."""
    shape = journal.geometry
    area = journal.bytes[shape.requests_at : shape.requests_at + journal.slots_used * REQUEST_BYTES]
    found = []
    for slot, (length,) in enumerate(_LENGTHS.iter_unpack(area)):
        if length:
            _, opcode, unique, node, uid, gid, pid, *_ = p.IN_HEADER.unpack_from(
                area, slot * REQUEST_BYTES
            )
            found.append(Pending(unique, opcode, node, pid, uid, gid))
    return sorted(found)


def opened(journal: Journal) -> list[Open]:
    """List the open handles."""
    shape = journal.geometry
    rows = journal.words[HANDLES_USED]
    area = journal.bytes[shape.handles_at : shape.handles_at + rows * HANDLE_BYTES]
    found = []
    for fh, (unique,) in enumerate(_UNIQUES.iter_unpack(area)):
        if unique:
            _, node, flags, pid, uid, gid, *_ = HANDLE.unpack_from(area, fh * HANDLE_BYTES)
            found.append(Open(fh, node, flags, pid, uid, gid))
    return found


def path(journal: Journal, node: int) -> str:
    """Return a node's path below the mount; `?` where it cannot be told any more."""
    shape = journal.geometry
    parts: list[str] = []
    while node != p.ROOT_ID:
        slot = node - 2
        if not 0 <= slot < shape.nodes or len(parts) > _DEEPEST:
            return "?"
        at = shape.nodes_at + slot * NODE_BYTES
        lookups, node, length = NODE.unpack_from(journal.bytes, at)[:3]
        if not lookups:
            return "?"
        name = bytes(journal.bytes[at + NAME_AT : at + NAME_AT + min(length, NAME_MAX)])
        parts.append(name.decode("utf-8", "backslashreplace"))
    return "/".join(reversed(parts))
