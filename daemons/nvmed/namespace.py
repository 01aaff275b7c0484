"""One namespace as a disk; see `redbear_host.classes.disk.Disk`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from daemons.nvmed.identify import Geometry
from daemons.nvmed.passthrough import forward
from daemons.nvmed.prp import DmaChunk
from daemons.nvmed.regs import DsmDw10_11, DsmRange, NvmOpcode, RwDw12
from redbear_host.abi import errno as e
from redbear_host.classes.commands import NvmeCommand, NvmeDone
from redbear_host.classes.disk import Chunk, Done

if TYPE_CHECKING:
    from daemons.nvmed.driver import Controller

# Plain numbers: the hot path packs them, and an IntEnum member packs slower.
_READ: Final = int(NvmOpcode.READ)
_WRITE: Final = int(NvmOpcode.WRITE)
_FLUSH: Final = int(NvmOpcode.FLUSH)
_WRITE_ZEROES: Final = int(NvmOpcode.WRITE_ZEROES)
_DATASET_MANAGEMENT: Final = int(NvmOpcode.DATASET_MANAGEMENT)

MOST_BLOCKS: Final = 1 << 16  # one command's Number of Logical Blocks
MOST_RANGE: Final = (1 << 32) - 1  # blocks in one Dataset Management range
MOST_RANGES: Final = 256  # ranges in one Dataset Management command


class Namespace:
    """A namespace of a running controller.

    Commands that make no sense end with EINVAL, those outside the disk with ENXIO, like any other
    command by `Done`.
    """

    __slots__ = ("_controller", "_count", "_nsid", "_reads", "_shift", "_writes", "geometry")

    def __init__(self, controller: Controller, geometry: Geometry) -> None:
        self.geometry: Final = geometry
        self._controller: Final = controller
        self._nsid: Final = geometry.nsid
        self._shift: Final = geometry.shift
        self._count: Final = geometry.blocks
        # With the number of blocks these tell one use of a chunk from all others: `DmaChunk.key`.
        self._reads: Final = (geometry.nsid << 8 | _READ) << 32
        self._writes: Final = (geometry.nsid << 8 | _WRITE) << 32

    @property
    def number(self) -> int:
        """The namespace identifier."""
        return self._nsid

    @property
    def block_size(self) -> int:
        """Bytes in one logical block."""
        return 1 << self._shift

    @property
    def block_count(self) -> int:
        """Logical blocks (NSZE)."""
        return self._count

    @property
    def writable(self) -> bool:
        """False when the namespace is write protected."""
        return self.geometry.writable

    @property
    def max_transfer(self) -> int:
        """Most bytes of one read or write: MDTS, and what a command and one PRP list can name."""
        return min(self._controller.max_transfer, MOST_BLOCKS << self._shift)

    def chunk(self, size: int) -> DmaChunk:
        """Prepare memory for transfers of up to `size` bytes, rounded up to whole blocks."""
        whole = -(-size >> self._shift) << self._shift
        if whole > self.max_transfer:
            raise ValueError(f"a transfer has at most {self.max_transfer} bytes, not {size}")
        return self._controller.chunk(whole)

    def read(self, lba: int, blocks: int, chunk: Chunk, done: Done, /) -> None:
        """Read `blocks` blocks from `lba` to the start of `chunk`."""
        if not isinstance(chunk, DmaChunk):
            raise TypeError(f"{chunk!r} is no chunk of this driver")
        if chunk.key == self._reads + blocks and 0 <= lba <= self._count - blocks:
            self._controller.lane.issue(chunk.prepared, lba, done)
        else:
            self._transfer(_READ, self._reads, lba, blocks, chunk, done)

    def write(self, lba: int, blocks: int, chunk: Chunk, done: Done, /) -> None:
        """Write `blocks` blocks from the start of `chunk` to `lba`."""
        if not isinstance(chunk, DmaChunk):
            raise TypeError(f"{chunk!r} is no chunk of this driver")
        if chunk.key == self._writes + blocks and 0 <= lba <= self._count - blocks:
            self._controller.lane.issue(chunk.prepared, lba, done)
        else:
            self._transfer(_WRITE, self._writes, lba, blocks, chunk, done)

    def _transfer(
        self, opcode: int, key: int, lba: int, blocks: int, chunk: DmaChunk, done: Done
    ) -> None:
        size = blocks << self._shift
        if not (0 <= lba <= self._count - blocks and 0 < size <= chunk.size):
            self._refuse(lba, blocks, done)
            return
        prp2 = 0 if size <= chunk.page else chunk.prp2(size)
        chunk.prepared = opcode, self._nsid, chunk.iova, prp2, blocks - 1
        chunk.key = key + blocks
        self._controller.lane.issue(chunk.prepared, lba, done)

    def read_many(
        self, lbas: Sequence[int], blocks: int, chunks: Sequence[DmaChunk], dones: Sequence[Done], /
    ) -> None:
        """As `read` for each LBA with its chunk and `Done`; cheaper by half per command."""
        taken = self._many(_READ, lbas, blocks, chunks, dones)
        for lba, chunk, done in zip(lbas[taken:], chunks[taken:], dones[taken:], strict=False):
            self.read(lba, blocks, chunk, done)

    def write_many(
        self, lbas: Sequence[int], blocks: int, chunks: Sequence[DmaChunk], dones: Sequence[Done], /
    ) -> None:
        """As `write` for each LBA with its chunk and `Done`; cheaper by half per command."""
        taken = self._many(_WRITE, lbas, blocks, chunks, dones)
        for lba, chunk, done in zip(lbas[taken:], chunks[taken:], dones[taken:], strict=False):
            self.write(lba, blocks, chunk, done)

    def flush(self, done: Done, /) -> None:
        """Make every finished write durable; nothing to do where there is no volatile cache."""
        if self._controller.identity.volatile_cache:
            self._controller.lane.submit(_FLUSH, self._nsid, 0, 0, 0, 0, done)
        else:
            self._controller.refuse(done, 0)

    def write_zeroes(self, lba: int, blocks: int, deallocate: bool, done: Done, /) -> None:
        """Make blocks read as zero; with `deallocate` the device may also drop their storage.

        Ends with EOPNOTSUPP where the controller cannot.  More than 65,536 blocks take several
        commands; the first error is the one reported.
        """
        if not self._controller.identity.commands.WRITE_ZEROES:
            self._controller.refuse(done, e.EOPNOTSUPP)
            return
        if not self._inside(lba, blocks):
            self._refuse(lba, blocks, done)
            return
        deac = deallocate and self.geometry.zeroes_deallocate
        pieces = range(lba, lba + blocks, MOST_BLOCKS)
        part = _Parts(len(pieces), done)
        for start in pieces:
            count = min(MOST_BLOCKS, lba + blocks - start)
            cdw12 = RwDw12(NLB=count - 1, DEAC=deac).raw
            self._controller.lane.submit(_WRITE_ZEROES, self._nsid, 0, 0, start, cdw12, part)

    def discard(self, lba: int, blocks: int, done: Done, /) -> None:
        """Deallocate blocks (trim); EOPNOTSUPP where the controller cannot, ENOMEM without room."""
        if not self._controller.identity.commands.DATASET_MANAGEMENT:
            self._controller.refuse(done, e.EOPNOTSUPP)
            return
        starts = range(lba, lba + blocks, MOST_RANGE)
        if not self._inside(lba, blocks) or len(starts) > MOST_RANGES:
            self._refuse(lba, blocks, done)
            return
        try:
            ranges = self._controller.chunk(len(starts) * DsmRange.size)
        except MemoryError:
            self._controller.refuse(done, e.ENOMEM)
            return
        for index, start in enumerate(starts):
            length = min(MOST_RANGE, lba + blocks - start)
            DsmRange(LENGTH=length, SLBA=start).store(ranges.view, index * DsmRange.size)

        def ended(errno: int) -> None:
            ranges.free()
            done(errno)

        cdw10 = DsmDw10_11(NR=len(starts) - 1, AD=True).raw
        lane = self._controller.lane
        lane.submit(_DATASET_MANAGEMENT, self._nsid, ranges.iova, 0, cdw10, 0, ended)

    def nvme(self, command: NvmeCommand, chunk: Chunk | None, size: int, done: NvmeDone, /) -> None:
        """Issue a client's command as it is; `size` bytes go to or from the start of `chunk`."""
        if chunk is not None and not isinstance(chunk, DmaChunk):
            raise TypeError(f"{chunk!r} is no chunk of this driver")
        if chunk is not None and size > chunk.size:
            raise ValueError(f"{size} bytes do not go into {chunk!r}")
        forward(self._controller, command, chunk, size, done)

    def flush_queue(self) -> None:
        """Hand everything queued since the last call to the device: one doorbell per batch."""
        self._controller.flush_queue()

    def _many(
        self,
        opcode: int,
        lbas: Sequence[int],
        blocks: int,
        chunks: Sequence[DmaChunk],
        dones: Sequence[Done],
    ) -> int:
        # One odd address sends the whole batch the slow way, where each command is judged alone.
        if not lbas or not (0 < blocks and 0 <= min(lbas) and max(lbas) <= self._count - blocks):
            return 0
        lane = self._controller.lane
        size = blocks << self._shift
        return lane.submit_many(opcode, self._nsid, lbas, chunks, size, blocks - 1, dones)

    def _inside(self, lba: int, blocks: int) -> bool:
        return blocks > 0 and 0 <= lba <= self._count - blocks

    def _refuse(self, lba: int, blocks: int, done: Done) -> None:
        outside = blocks > 0 and lba >= 0 and not self._inside(lba, blocks)
        self._controller.refuse(done, e.ENXIO if outside else e.EINVAL)

    def __repr__(self) -> str:
        return f"<Namespace {self._nsid}: {self._count} blocks of {self.block_size} bytes>"


class _Parts:
    """Counts the commands of one request; passes on the first error once all have ended."""

    __slots__ = ("_done", "_errno", "_left")

    def __init__(self, count: int, done: Callable[[int], None]) -> None:
        self._left = count
        self._errno = 0
        self._done: Final = done

    def __call__(self, errno: int) -> None:
        self._left -= 1
        self._errno = self._errno or errno
        if not self._left:
            self._done(self._errno)
