"""Names the kernel knows: FUSE node ids, kept in the journal so that a successor knows them too.

A node is a name below another node.  The kernel counts how often it was told about a node and says
when it forgets; at zero the number is free again.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from schemefs.journal import NAME_MAX, NODE_BYTES, Journal
from schemefs.protocol import ROOT_ID

RECORD: Final = Struct("=QQI")  # lookups, parent, length of the name; the name follows at byte 32
NAME_AT: Final = 32


class Nodes:
    """The table.  Node ids are 1 for the root, and a slot's index + 2 for the rest."""

    def __init__(self, journal: Journal) -> None:
        shape = journal.geometry
        table = journal.bytes[shape.nodes_at : shape.nodes_at + shape.nodes * NODE_BYTES]
        self._table: Final = table
        self._lookups: Final = table.cast("Q")
        self._step: Final = NODE_BYTES // 8
        self._by_name: Final[dict[tuple[int, bytes], int]] = {}
        self._names: Final[dict[int, tuple[int, bytes]]] = {}
        self._paths: Final[dict[int, str]] = {ROOT_ID: ""}
        self._free: Final[list[int]] = []
        for slot in reversed(range(shape.nodes)):
            lookups, parent, length = RECORD.unpack_from(table, slot * NODE_BYTES)
            if lookups == 0:
                self._free.append(slot)
                continue
            start = slot * NODE_BYTES + NAME_AT
            key = (parent, bytes(table[start : start + min(length, NAME_MAX)]))
            self._by_name[key] = slot + 2
            self._names[slot + 2] = key

    def path(self, node: int) -> str:
        """Return a node's path below the mount, without a leading slash."""
        path = self._paths.get(node)
        if path is None:
            parts: list[str] = []
            at = node
            while at != ROOT_ID:
                known = self._names.get(at)
                if known is None or len(parts) > len(self._names):
                    raise Refused(e.ESTALE)
                at = known[0]
                parts.append(known[1].decode("utf-8", "surrogateescape"))
            path = self._paths[node] = "/".join(reversed(parts))
        return path

    def remember(self, parent: int, name: bytes) -> int:
        """Count one more mention of `name` below `parent`; return its node id."""
        node = self._by_name.get((parent, name))
        if node is None:
            if len(name) > NAME_MAX:
                raise Refused(e.ENAMETOOLONG)
            if not self._free:
                raise Refused(e.ENOMEM)
            slot = self._free.pop()
            start = slot * NODE_BYTES
            self._table[start + NAME_AT : start + NAME_AT + len(name)] = name
            # The count decides whether the row is in use: it goes in last.
            RECORD.pack_into(self._table, start, 0, parent, len(name))
            self._lookups[slot * self._step] = 1
            node = slot + 2
            self._by_name[parent, name] = node
            self._names[node] = (parent, name)
        else:
            self._lookups[(node - 2) * self._step] += 1
        return node

    def forget(self, node: int, times: int) -> None:
        """Take back `times` mentions."""
        if node == ROOT_ID or node not in self._names:
            return
        index = (node - 2) * self._step
        left = self._lookups[index] - times
        if left > 0:
            self._lookups[index] = left
            return
        self._lookups[index] = 0
        key = self._names.pop(node)
        del self._by_name[key]
        self._paths.pop(node, None)
        self._free.append(node - 2)

    def __len__(self) -> int:
        return len(self._names)
