"""What a network card's driver implements; `redbear_host.classes.network` makes a scheme of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol


class NetworkAdapter(Protocol):
    """One port of a network card.

    A frame is an Ethernet frame from its destination address to the end of its payload, without
    FCS: 14 to `max_frame` bytes.  Calls never block.  Both directions work in batches: memory of
    the card's own rings is lent out, filled or read in place, and given back with one doorbell for
    all.
    """

    on_frames: Callable[[], object]
    """Called by the interrupt handler, at most once each time, when frames wait.

    This and the next two are the class's to set, before the card is started.
    """

    on_room: Callable[[], object]
    """Called when there is room to send again after there was none."""

    on_link: Callable[[], object]
    """Called when `link` has changed."""

    @property
    def mac(self) -> bytes:
        """The hardware address, 6 bytes."""
        ...

    @property
    def max_frame(self) -> int:
        """The longest frame, in bytes, that can be sent and received."""
        ...

    @property
    def link(self) -> int:
        """Speed of the link in Mb/s; 0 while it is down."""
        ...

    # -- from the wire -----------------------------------------------------------------------------

    def received(self, most: int, /) -> Sequence[memoryview]:
        """Return the oldest frames that wait, at most `most`.

        The views are the card's memory: they hold until `release`, and the same frames are returned
        again until then.
        """
        ...

    def release(self, count: int, /) -> None:
        """Give the memory of the `count` oldest frames back to the card."""
        ...

    # -- to the wire -------------------------------------------------------------------------------

    def slots(self, most: int, /) -> Sequence[memoryview]:
        """Return memory for the next frames, at most `most` slots of `max_frame` bytes each.

        Fewer, or none, when the ring is full; `on_room` is called after that.  Asking is free: what
        is not committed is returned again.
        """
        ...

    def commit(self, lengths: Sequence[int], /) -> None:
        """Send the first slots as frames of these lengths, in their order, after `flush_queue`.

        Frames below 60 bytes are padded by the card.
        """
        ...

    def put(self, frame: bytes | memoryview, /) -> bool:
        """Commit one frame, copied from elsewhere; False when the ring is full.

        The same as `slots`, a copy and `commit`, in one call instead of two and a list.
        """
        ...

    def flush_queue(self) -> None:
        """Hand what was committed since the last call to the card: one doorbell for all."""
        ...

    # -- the rest ----------------------------------------------------------------------------------

    def set_mac(self, mac: bytes, /) -> None:
        """Take another hardware address, until the next reset of the card's power."""
        ...

    def set_promiscuous(self, on: bool, /) -> None:
        """Receive what is addressed to others as well; without, own, broadcast and multicast."""
        ...

    def statistics(self) -> Mapping[str, int]:
        """Return the card's counters since it was started, by their names in its data sheet."""
        ...
