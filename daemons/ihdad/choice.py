"""Which codec is heard, by which ways, at which rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from daemons.ihdad.codec.routes import Plugged, Route, inputs, outputs
from daemons.ihdad.codec.tree import Codec, Node
from daemons.ihdad.regs import BITS_16, FMT, Base

RATES: Final = (44100, 48000)  # the one of Redox first
_STEREO: Final = 1  # channels less one
_FORMATS: Final = {
    44100: FMT(BASE=Base.HZ_44100, BITS=BITS_16, CHAN=_STEREO),
    48000: FMT(BASE=Base.HZ_48000, BITS=BITS_16, CHAN=_STEREO),
}


@dataclass(frozen=True)
class Choice:
    """Ways of one codec that one stream is connected with."""

    codec: Codec
    routes: list[Route]
    rate: int

    @property
    def sample_format(self) -> FMT:
        """How the stream's samples look: two channels of 16 bits."""
        return _FORMATS[self.rate]


def choose_output(codecs: Iterable[Codec], plugged: dict[int, Plugged]) -> Choice | None:
    """Choose the codec with the best way out, and all ways of it that can have the same rate."""
    best: Choice | None = None
    for codec in codecs:
        choice = _choose(codec, outputs(codec, plugged[codec.number]))
        if choice is not None and (best is None or _rank(choice) > _rank(best)):
            best = choice
    return best


def choose_input(codecs: Iterable[Codec], plugged: dict[int, Plugged], rate: int) -> Choice | None:
    """Choose the best way in, at `rate` where that is possible."""
    best: Choice | None = None
    for codec in codecs:
        choice = _choose(codec, inputs(codec, plugged[codec.number]), rate)
        if choice is not None and (best is None or _rank(choice) > _rank(best)):
            best = choice
    return best


def _rank(choice: Choice) -> tuple[bool, int]:
    first = choice.routes[0]
    return not first.converter.caps.DIGITAL, first.score


def _choose(codec: Codec, routes: list[Route], first: int = RATES[0]) -> Choice | None:
    for best in routes:
        for rate in sorted(RATES, key=lambda it: it != first):
            if _able(best.converter, rate):
                return Choice(codec, [it for it in routes if _able(it.converter, rate)], rate)
    return None


def _able(converter: Node, rate: int) -> bool:
    pcm = converter.pcm
    return pcm.B16 and (pcm.R44100 if rate == RATES[0] else pcm.R48000)
