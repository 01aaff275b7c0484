"""What a sound card's driver implements; `redbear_host.classes.sound` makes `audiohw` of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

FRAME: Final = 4  # bytes: left, then right, signed 16 bits each, little-endian
BUFFER: Final = 2048  # bytes of a sub-buffer, what Redox writes at a time
FRAMES: Final = BUFFER // FRAME
AHEAD: Final = 3  # sub-buffers between the client and what is being played


class SoundCard(Protocol):
    """One card with one way out and perhaps one way in.

    Calls never block.  What is played and recorded is passed in sub-buffers of `BUFFER` bytes.
    """

    on_played: Callable[[], object]
    """Called when sub-buffers were played, and when the card has failed, or left, or come back.

    This and the next two are the class's to set, before the card is started.
    """

    on_recorded: Callable[[], object]
    """Called when sub-buffers wait to be read, and when the card has failed or left."""

    on_jacks: Callable[[], object]
    """Called when `jacks` has changed."""

    @property
    def gone(self) -> bool:
        """Whether the card has left."""
        ...

    @property
    def failed(self) -> bool:
        """Whether it is left alone for a while, since resets did not help."""
        ...

    @property
    def rate(self) -> int:
        """Frames a second, of what is played."""
        ...

    @property
    def capture_rate(self) -> int:
        """Frames a second, of what is recorded; 0 for a card without an input."""
        ...

    # -- playing -----------------------------------------------------------------------------------

    def room(self) -> int:
        """Look how many sub-buffers `play` takes now, 0 to `AHEAD`; 0 while it has failed."""
        ...

    def play(self, data: bytes | bytearray | memoryview, /) -> None:
        """Copy one sub-buffer behind those that are to be played; only where there is room."""
        ...

    def finish(self) -> None:
        """Hear that nothing more is coming for now: what there is begins at once.

        That it is played to its end is no under-run.
        """
        ...

    @property
    def written(self) -> int:
        """Frames that `play` took, since the driver started."""
        ...

    @property
    def played(self) -> int:
        """How many of those were played, or lost in a reset."""
        ...

    # -- recording ---------------------------------------------------------------------------------

    def record(self, on: bool, /) -> None:
        """Begin to record, or stop."""
        ...

    @property
    def deaf(self) -> bool:
        """Whether the input has stopped moving; recording is to be begun anew."""
        ...

    def recorded(self) -> memoryview | None:
        """Return the oldest sub-buffer that waits, or None; it holds until `release`."""
        ...

    def release(self) -> None:
        """Give the memory of the oldest sub-buffer back to the card."""
        ...

    # -- the rest ----------------------------------------------------------------------------------

    def statistics(self) -> Mapping[str, int]:
        """Return the card's counters since it was started."""
        ...

    def jacks(self) -> str:
        """Return a line for each pin in use; see docs/protocol.md."""
        ...

    def codecs(self) -> Sequence[int]:
        """Return the numbers of the codecs there are."""
        ...

    def codec_text(self, number: int, /) -> str:
        """Return a codec's tree; `KeyError` for one there is not, `DeviceError` if it is silent."""
        ...
