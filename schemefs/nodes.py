"""Names the kernel knows: FUSE node ids, kept in the journal so that a successor knows them too.

A node is a name below another node.  The kernel counts how often it was told about a node and says
when it forgets; at zero the number is free again.  A node whose name was removed while the kernel
still knows it (an open file) is nameless: its parent is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from schemefs.journal import MOVE_AT, NAME_MAX, NODE_BYTES, NODES_USED, Journal
from schemefs.protocol import ROOT_ID

RECORD: Final = Struct("=QQII")  # lookups, parent, length of the name, kind; NAME_AT: the name
NAME_AT: Final = 32
PLAIN: Final = 1  # a kind: it is known to be no directory

# A row moves by this note in the journal, so that a death between two stores leaves no half name:
# the node (last to be written, first to be cleared), the node whose name it takes or 0, the new
# parent, the length of the new name, which follows.
_MOVE: Final = Struct("=QQQI")
_MOVE_NAME: Final = MOVE_AT + _MOVE.size


class Nodes:
    """The table.  Node ids are 1 for the root, and a slot's index + 2 for the rest."""

    def __init__(self, journal: Journal) -> None:
        shape = journal.geometry
        table = journal.bytes[shape.nodes_at : shape.nodes_at + shape.nodes * NODE_BYTES]
        self._journal: Final = journal
        self._table: Final = table
        self._lookups: Final = table.cast("Q")
        self._step: Final = NODE_BYTES // 8
        self._by_name: Final[dict[tuple[int, bytes], int]] = {}
        self._names: Final[dict[int, tuple[int, bytes]]] = {}
        self._paths: Final[dict[int, str]] = {ROOT_ID: ""}
        self._below: Final[dict[int, int]] = {}  # how many names each node has below it
        self._free: Final[list[int]] = []
        self._finish_move()
        self._most: Final = shape.nodes
        self._crowd: Final = shape.nodes - shape.nodes // 4
        self.on_crowded: Callable[[], object] | None = None
        """Called with each name that comes while three quarters of the table are taken."""
        for slot in reversed(range(journal.words[NODES_USED])):
            lookups, parent, length, _ = RECORD.unpack_from(table, slot * NODE_BYTES)
            if lookups == 0:
                self._free.append(slot)
                continue
            start = slot * NODE_BYTES + NAME_AT
            self._bind(slot + 2, parent, bytes(table[start : start + min(length, NAME_MAX)]))

    def _bind(self, node: int, parent: int, name: bytes) -> None:
        self._names[node] = key = (parent, name)
        if parent:
            self._by_name[key] = node
            self._below[parent] = self._below.get(parent, 0) + 1

    def _unbind(self, node: int) -> None:
        key = self._names.pop(node)
        self._paths.pop(node, None)
        if key[0]:
            del self._by_name[key]
            left = self._below[key[0]] - 1
            if left:
                self._below[key[0]] = left
            else:
                del self._below[key[0]]

    def path(self, node: int) -> str:
        """Return a node's path below the mount, without a leading slash; ESTALE for a nameless."""
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

    def is_nameless(self, node: int) -> bool:
        """Tell whether the node's name was removed, while something still uses it."""
        known = self._names.get(node)
        return known is not None and not known[0]

    def remember(self, parent: int, name: bytes, plain: bool = False) -> int:
        """Count one more mention of `name` below `parent`; return its node id.

        A `plain` node is no directory: the kernel may be asked to forget it.
        """
        node = self._by_name.get((parent, name))
        if node is None:
            if len(name) > NAME_MAX:
                raise Refused(e.ENAMETOOLONG)
            slot = self._take_slot()
            start = slot * NODE_BYTES
            self._table[start + NAME_AT : start + NAME_AT + len(name)] = name
            # The count decides whether the row is in use: it goes in last.
            RECORD.pack_into(self._table, start, 0, parent, len(name), plain * PLAIN)
            self._lookups[slot * self._step] = 1
            node = slot + 2
            self._bind(node, parent, name)
        else:
            self._lookups[(node - 2) * self._step] += 1
        return node

    def _take_slot(self) -> int:
        if len(self._names) >= self._crowd and self.on_crowded is not None:
            self.on_crowded()
        if self._free:
            return self._free.pop()
        used = self._journal.words[NODES_USED]
        if used == self._most:
            raise Refused(e.ENOMEM)
        self._journal.words[NODES_USED] = used + 1
        return used

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
        self._unbind(node)
        self._free.append(node - 2)

    def remove(self, parent: int, name: bytes) -> None:
        """Take a name away: a node that had it is nameless until the kernel forgets it."""
        node = self._by_name.get((parent, name))
        if node is not None:
            self._lookups[(node - 2) * self._step + 1] = 0  # the parent: one store
            self._lose_name(node)

    def _lose_name(self, node: int) -> None:
        self._unbind(node)
        self._names[node] = (0, b"")
        if node in self._below:
            self._drop_paths()

    def _drop_paths(self) -> None:
        self._paths.clear()
        self._paths[ROOT_ID] = ""

    def rename(self, parent: int, name: bytes, new_parent: int, new_name: bytes) -> None:
        """Give the node at one name another name, whose node becomes nameless.

        Nothing is left to do if there is no node at the first name: the kernel knows what it
        renames, so a predecessor has done it.
        """
        node = self._by_name.get((parent, name))
        victim = self._by_name.get((new_parent, new_name))
        if node is None or node == victim:
            return
        journal = self._journal
        journal.bytes[_MOVE_NAME : _MOVE_NAME + len(new_name)] = new_name
        _MOVE.pack_into(journal.bytes, MOVE_AT, 0, victim or 0, new_parent, len(new_name))
        journal.quads[MOVE_AT // 8] = node
        self._finish_move()
        if victim is not None:
            self._lose_name(victim)
        self._unbind(node)
        self._bind(node, new_parent, new_name)
        if node in self._below:
            self._drop_paths()

    def _finish_move(self) -> None:
        """Do to the rows what the note says, if there is one; doing it twice is doing it once."""
        journal = self._journal
        node, victim, parent, length = _MOVE.unpack_from(journal.bytes, MOVE_AT)
        if not node:
            return
        if victim:
            self._lookups[(victim - 2) * self._step + 1] = 0
        start = (node - 2) * NODE_BYTES
        name = journal.bytes[_MOVE_NAME : _MOVE_NAME + min(length, NAME_MAX)]
        self._table[start + NAME_AT : start + NAME_AT + len(name)] = name
        lookups, _, _, kind = RECORD.unpack_from(self._table, start)
        RECORD.pack_into(self._table, start, lookups, parent, len(name), kind)
        journal.quads[MOVE_AT // 8] = 0

    def __len__(self) -> int:
        return len(self._names)
