"""Sample formats as clients write them, and how they become what the card plays.

```
RATE[,CHANNELS] or RATE[-FORMAT[-CHANNELS]]        48000   48000,1   44100-s24-6
```

FORMAT is u8, s16, s24 (three bytes), s32 or f32, little-endian; CHANNELS 1 to 8, in ALSA's order:
front left and right, rear left and right, centre, bass, side left and right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.int16]  # shape (frames, 2)
Floats = npt.NDArray[np.float32]  # shape (frames, 2), full scale is 1.0

RATE_LEAST: Final = 4000  # Hz
RATE_MOST: Final = 384_000
FRAME_MOST: Final = 32  # bytes: eight channels of 32 bits
_LIGHT: Final = 48_000 * 2  # samples a second

_f32: Final = np.float32  # its quotients stay 32 bits wide
_SPELLING: Final = re.compile(r"(\d{4,6})(?:,(\d)|-([a-z]\d+)(?:-(\d))?)?", re.ASCII)
_WIDTHS: Final = {"u8": 1, "s16": 2, "s24": 3, "s32": 4, "f32": 4}
_HALF: Final = 0.5**0.5  # -3 dB: what two loudspeakers get of what belongs between or behind them

# What left and right get of each channel (ITU-R BS.775, and the bass to both).
_LEFT: Final = (1.0, 0.0, _HALF, 0.0, _HALF, _HALF, _HALF, 0.0)
_RIGHT: Final = (0.0, 1.0, 0.0, _HALF, _HALF, _HALF, 0.0, _HALF)


@dataclass(frozen=True)
class Format:
    """What a client's bytes mean."""

    rate: int = 44100  # Hz
    kind: str = "s16"
    channels: int = 2

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a spelling; ValueError if it is none."""
        found = _SPELLING.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no format; as 48000, 48000,1 or 48000-s24-2")
        rate, pair, kind, channels = found.groups()
        made = cls(int(rate), kind or "s16", int(pair or channels or 2))
        if not RATE_LEAST <= made.rate <= RATE_MOST:
            raise ValueError(f"{made.rate} Hz is not within {RATE_LEAST} and {RATE_MOST}")
        if made.kind not in _WIDTHS or not 1 <= made.channels <= 8:
            raise ValueError(f"{text!r}: there is {', '.join(_WIDTHS)}, and 1 to 8 channels")
        return made

    def __str__(self) -> str:
        return f"{self.rate}-{self.kind}-{self.channels}"

    @property
    def frame(self) -> int:
        """How many bytes a frame has."""
        return _WIDTHS[self.kind] * self.channels

    @property
    def weight(self) -> int:
        """What it costs to mix, in streams of 48000 Hz with two channels."""
        return -(-self.rate * self.channels // _LIGHT)

    def frames(self, data: bytes) -> Frames:
        """Turn whole frames into the card's form, at the client's rate; a copy."""
        if self.kind == "s16" and self.channels == 2:
            return np.frombuffer(data, "<i2").reshape(-1, 2)
        if self.kind == "s16" and self.channels == 1:
            return np.repeat(np.frombuffer(data, "<i2"), 2).reshape(-1, 2)
        return to_frames(self.floats(data))

    def floats(self, data: bytes) -> Floats:
        """Turn whole frames into left and right, full scale 1.0."""
        samples = self._samples(data).reshape(-1, self.channels)
        if self.channels == 1:
            return np.repeat(samples, 2, axis=1)
        if self.channels == 2:
            return samples
        weights = np.array([_LEFT, _RIGHT], np.float32)[:, : self.channels]
        weights /= weights.sum(axis=1, keepdims=True)  # so that nothing is ever clipped
        mixed: Floats = samples @ weights.T
        return mixed

    def _samples(self, data: bytes) -> npt.NDArray[np.float32]:
        if self.kind == "u8":
            return (np.frombuffer(data, "u1").astype(np.float32) - _f32(128)) / _f32(128)
        if self.kind == "f32":
            # Not a number would stay in the resampler for ever, and too much is clipped anyway.
            raw = np.nan_to_num(np.frombuffer(data, "<f4"), nan=0.0, posinf=1.0, neginf=-1.0)
            clipped: Floats = np.clip(raw, _f32(-1), _f32(1))
            return clipped
        if self.kind == "s24":
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, "u1").reshape(-1, 3)
            integers: npt.NDArray[Any] = wide.reshape(-1).view("<i4")
            return integers.astype(np.float32) / _f32(2**31)
        if self.kind == "s32":
            return np.frombuffer(data, "<i4").astype(np.float32) / _f32(2**31)
        return np.frombuffer(data, "<i2").astype(np.float32) / _f32(2**15)


def to_frames(floats: Floats) -> Frames:
    """Round to the card's 16 bits; what is too loud is clipped."""
    scaled = np.rint(floats * np.float32(2**15))
    frames: Frames = np.clip(scaled, -(2**15), 2**15 - 1).astype(np.int16)
    return frames
