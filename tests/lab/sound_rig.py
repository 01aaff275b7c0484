"""ihdad's driver in this process, on any function; and sound that tells on itself."""

from __future__ import annotations

import array
import math
import os
import select
import struct
import time
import wave
from contextlib import suppress
from pathlib import Path

from daemons.ihdad.driver import Card, Wishes
from redbear_host.classes.soundcard import BUFFER, FRAMES
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.ports import InterruptKind, PciFunction

FRAME = struct.Struct("<hh")
_NUMBERS = 30000  # of frames in the left channel, before the right one counts


class Player:
    """A started card, driven as a daemon's loop would."""

    def __init__(self, function: PciFunction, kind: InterruptKind) -> None:
        self.function = function
        self.kind = kind
        self.fds = function.enable_interrupts(kind, 1)
        self.interrupts = 0
        self.recorded = b""
        self.card = Card(function, SystemClock(), Wishes())
        self.card.on_recorded = self._take
        self.card.start()

    def _take(self) -> None:
        while (recorded := self.card.recorded()) is not None:
            self.recorded += bytes(recorded)
            self.card.release()

    def turn(self) -> None:
        wait = max(0.0, min(0.05, self.card.deadline - time.monotonic()))
        if select.select(self.fds, [], [], wait)[0]:
            with suppress(BlockingIOError):
                os.eventfd_read(self.fds[0])
            self.interrupts += 1
            self.card.on_interrupt()
            if self.kind is InterruptKind.INTX:
                self.function.unmask_intx()
        if time.monotonic() >= self.card.deadline:
            self.card.tick(time.monotonic())

    def play(self, data: bytes, within: float = 20.0) -> None:
        """Play whole sub-buffers to their end."""
        end = time.monotonic() + within
        at = 0
        goal = self.card.played + len(data) // BUFFER * FRAMES
        while self.card.played < goal:
            assert time.monotonic() < end, self.card.statistics()
            while at < len(data) and self.card.room():
                self.card.play(data[at : at + BUFFER])
                at += BUFFER
            if at >= len(data):
                self.card.finish()
            self.turn()

    def record(self, size: int, within: float = 20.0) -> bytes:
        """Record at least `size` bytes."""
        end = time.monotonic() + within
        self.recorded = b""
        self.card.record(True)
        while len(self.recorded) < size:
            assert time.monotonic() < end, self.card.statistics()
            self.turn()
        self.card.record(False)
        return self.recorded

    def close(self) -> None:
        self.card.stop()
        self.function.close()


def tones(left: float, right: float, seconds: float, rate: int = 44100) -> bytes:
    """Make a tone for each ear, in whole sub-buffers."""
    frames = int(seconds * rate) // FRAMES * FRAMES
    return b"".join(
        FRAME.pack(
            round(12000 * math.sin(2 * math.pi * left * it / rate)),
            round(8000 * math.sin(2 * math.pi * right * it / rate)),
        )
        for it in range(frames)
    )


def numbered(first: int, count: int) -> bytes:
    """Make frames that each tell their number, and are never silent."""
    samples = array.array("h")
    for number in range(first, first + count):
        samples.append(1 + number % _NUMBERS)
        samples.append(1 + number // _NUMBERS)
    return samples.tobytes()


def numbers(samples: array.array[int]) -> list[int]:
    """Return the numbers of the frames that are not silent, in the order they were heard."""
    pairs = zip(samples[::2], samples[1::2], strict=True)
    return [left - 1 + (right - 1) * _NUMBERS for left, right in pairs if left or right]


def read_wav(path: Path) -> tuple[int, array.array[int]]:
    """Return a stereo file's rate, and its samples, left before right."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        return file.getframerate(), array.array("h", file.readframes(file.getnframes()))


def sounding(channel: array.array[int]) -> array.array[int]:
    """Cut the silence off both ends."""
    first = next(it for it, sample in enumerate(channel) if sample)
    last = next(it for it in range(len(channel) - 1, -1, -1) if channel[it])
    return channel[first : last + 1]


def breaks(channel: array.array[int], frequency: float, rate: int) -> list[int]:
    """Return where a channel is not the pure tone it was: each sample follows from two before it.

    Rounding moves each of the three by at most a half.
    """
    turn = 2 * math.cos(2 * math.pi * frequency / rate)
    return [
        it
        for it in range(2, len(channel))
        if abs(channel[it] - turn * channel[it - 1] + channel[it - 2]) > 2.1
    ]
