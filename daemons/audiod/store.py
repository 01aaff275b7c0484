"""What is queued and how loud it is: in a file of the instance's, so that a successor has it too.

The file is mapped before audiod is locked in.  A page for what is common, then a row of words for
each slot, then each slot's ring of frames.  Samples are stored before the index that counts them
(x86-64 keeps that order), so whenever we are killed the indexes name only what is whole.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from daemons.audiod.format import Frames

SLOTS: Final = 256
QUEUE: Final = 4096  # frames of a slot; Redox's writers wait when so many are queued

# Words of a slot.
ID: Final = 0  # of its stream; 0: the slot is free
HEAD: Final = 1  # frames taken
TAIL: Final = 2  # frames put
VOLUME: Final = 3
UNDERRUNS: Final = 4
SILENCE: Final = 5  # frames that were missing when they were due
UID: Final = 6
PID: Final = 7
REST: Final = 8  # bytes of a frame that was cut in two
REST_AT: Final = 9  # where they stand: four words
NAME_AT: Final = 13  # the program's name: two words
_WORDS: Final = 16

_PAGE: Final = 4096
_RINGS_AT: Final = _PAGE + SLOTS * _WORDS * 8
_SIZE: Final = _RINGS_AT + SLOTS * QUEUE * 4

Words = npt.NDArray[np.uint64]


class Store:
    """The mapped file."""

    def __init__(self, memory: mmap.mmap) -> None:
        """Look at `memory`; what is in it stays."""
        self._common: Final[Words] = np.frombuffer(memory, np.uint64, 2)
        words: Words = np.frombuffer(memory, np.uint64, SLOTS * _WORDS, _PAGE)
        self._words: Final = words.reshape(SLOTS, _WORDS)
        rings: Frames = np.frombuffer(memory, np.int16, SLOTS * QUEUE * 2, _RINGS_AT)
        self._rings: Final = rings.reshape(SLOTS, QUEUE, 2)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the file, or make it; others than root may not read it."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, _SIZE)
            return cls(mmap.mmap(fd, _SIZE))
        finally:
            os.close(fd)

    @classmethod
    def fresh(cls) -> Self:
        """Make one in memory of our own, which nobody inherits."""
        return cls(mmap.mmap(-1, _SIZE))

    def volume(self, default: int) -> int:
        """Return the volume of all, 0 to 100."""
        stored = int(self._common[0])
        return stored - 1 if 1 <= stored <= 101 else default

    def set_volume(self, volume: int) -> None:
        """Remember the volume of all."""
        self._common[0] = volume + 1

    def next_id(self) -> int:
        """Return a number that no stream has had."""
        self._common[1] += np.uint64(1)
        return int(self._common[1])

    def free(self) -> int | None:
        """Find a free slot."""
        found = np.flatnonzero(self._words[:, ID] == 0)
        return int(found[0]) if len(found) else None

    def taken(self) -> Iterator[int]:
        """List the slots that a predecessor left."""
        return (int(slot) for slot in np.flatnonzero(self._words[:, ID]))

    def words(self, slot: int) -> Words:
        """Return a slot's words."""
        row: Words = self._words[slot]
        return row

    def ring(self, slot: int) -> Frames:
        """Return a slot's ring of frames."""
        ring: Frames = self._rings[slot]
        return ring
