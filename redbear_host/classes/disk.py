"""What a disk driver implements; `redbear_host.classes.block` makes a scheme of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

Done: TypeAlias = Callable[[int], None]
"""Called once when a command has ended: 0, or the errno (Redox's) the client shall see."""


class Chunk(Protocol):
    """DMA memory for one transfer, prepared by the driver so that using it costs nothing.

    `view` is writable and at least as large as the transfer; the device owns it from `read` or
    `write` until `Done`.
    """

    @property
    def view(self) -> memoryview: ...


class Disk(Protocol):
    """One disk (an NVMe namespace, an ATA device).

    Commands never block and never fail at once: they end by `Done`, in any order, from
    `flush_queue` or from the driver's interrupt handler.  Blocks count `block_size` bytes each.
    """

    @property
    def number(self) -> int:
        """The name in the scheme: `N` (NVMe: the namespace id)."""
        ...

    @property
    def block_size(self) -> int: ...

    @property
    def block_count(self) -> int: ...

    @property
    def writable(self) -> bool: ...

    @property
    def max_transfer(self) -> int:
        """Most bytes one `read` or `write` may move: a multiple of `block_size`."""
        ...

    def chunk(self, size: int) -> Chunk:
        """Prepare memory for transfers of up to `size` bytes; raises `MemoryError` when full."""
        ...

    def read(self, lba: int, blocks: int, chunk: Chunk, done: Done, /) -> None:
        """Read `blocks` blocks from `lba` to the start of `chunk`."""
        ...

    def write(self, lba: int, blocks: int, chunk: Chunk, done: Done, /) -> None:
        """Write `blocks` blocks from the start of `chunk` to `lba`."""
        ...

    def flush(self, done: Done, /) -> None:
        """Make every finished write durable."""
        ...

    def write_zeroes(self, lba: int, blocks: int, deallocate: bool, done: Done, /) -> None:
        """Make blocks read as zero; with `deallocate` the device may also drop their storage.

        Ends with EOPNOTSUPP where the device cannot.
        """
        ...

    def discard(self, lba: int, blocks: int, done: Done, /) -> None:
        """Tell the device that the blocks' content no longer matters (trim)."""
        ...

    def flush_queue(self) -> None:
        """Hand everything queued since the last call to the device: one doorbell per batch."""
        ...
