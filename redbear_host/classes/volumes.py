"""The names of a disk scheme: every disk, and every partition found on it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from redbear_host.abi.flags import DT_REG
from redbear_host.classes.diskio import DiskIo
from redbear_host.classes.probe import Probe
from redbear_host.classes.table import Table
from redbear_host.scheme.scheme import Entry

_log = logging.getLogger(__name__)

WHOLE: Final = -1
ROOT_INODE: Final = 1
_PARTITION_BITS: Final = 16  # of an inode; a table holds at most 8192


class Volume(NamedTuple):
    """What one name stands for: `blocks` blocks from `first`, a disk or partition `part` of it."""

    name: str
    io: DiskIo
    part: int  # WHOLE, or the partition's number
    first: int
    blocks: int

    @property
    def inode(self) -> int:
        """A number of its own, the same after a restart; that of no other volume or directory."""
        return (self.io.disk.number + 1 << _PARTITION_BITS) + self.part + 1

    @property
    def size(self) -> int:
        """Bytes."""
        return self.blocks << self.io.shift

    def conflicts(self, other: Volume) -> bool:
        """Tell whether the two may not be open together: the same, or a disk and its partition."""
        if self.io is not other.io:
            return False
        return self.part == other.part or WHOLE in (self.part, other.part)


class Volumes:
    """Disks in the order they were given, each followed by its partitions in table order."""

    def __init__(self, scheme: str, ios: Sequence[DiskIo]) -> None:
        self._scheme: Final = scheme
        self.ios: Final = list(ios)
        self._tables: Final = {io.disk.number: Table("") for io in self.ios}
        if len(self._tables) != len(self.ios):
            raise ValueError(f"two disks of {scheme} have the same number")
        self._pending: Final[list[tuple[set[DiskIo], Callable[[], None]]]] = []
        self._by_name: dict[str, Volume] = {}
        self._list()

    @property
    def settled(self) -> bool:
        """False while a partition table is being read."""
        return not self._pending

    def get(self, name: str) -> Volume | None:
        """Look up `N` or `NpM`."""
        return self._by_name.get(name)

    def entries(self) -> list[Entry]:
        """List the directory in list order: `0`, `0p0`, `0p1`, `1`."""
        return [Entry(one.name, DT_REG, one.inode) for one in self._by_name.values()]

    def read_tables(self, ios: Sequence[DiskIo], done: Callable[[], None]) -> None:
        """Read the partition tables of `ios` anew; call `done` when all are known.

        Until then the old ones hold.  A disk that cannot be read has no partitions.
        """
        waiting = set(ios)
        self._pending.append((waiting, done))
        for io in ios:
            Probe(io, partial(self._found, waiting)).start()
        self._finish()

    def _found(self, waiting: set[DiskIo], io: DiskIo, table: Table) -> None:
        number = io.disk.number
        for remark in table.remarks:
            _log.warning("%s/%d: %s", self._scheme, number, remark)
        if table.partitions:
            _log.info(
                "%s/%d: %s with %d partitions",
                self._scheme,
                number,
                table.kind.upper(),
                len(table.partitions),
            )
        self._tables[number] = table
        self._list()
        waiting.discard(io)
        self._finish()

    def _finish(self) -> None:
        ready = [done for waiting, done in self._pending if not waiting]
        self._pending[:] = [pair for pair in self._pending if pair[0]]
        for done in ready:
            done()

    def _list(self) -> None:
        volumes: list[Volume] = []
        for io in self.ios:
            number = io.disk.number
            volumes.append(Volume(str(number), io, WHOLE, 0, io.block_count))
            volumes += [
                Volume(f"{number}p{part}", io, part, found.first, found.blocks)
                for part, found in enumerate(self._tables[number].partitions)
            ]
        self._by_name = {one.name: one for one in volumes}
