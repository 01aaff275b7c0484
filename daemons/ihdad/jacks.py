"""Jacks: what is plugged in, what is heard for it, and what is recorded from.

Ref: HDA 7.3.3.14 (unsolicited responses), 7.3.3.15 (pin sense).

Headphones that are plugged in mute the speakers of their codec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from daemons.ihdad.codec import names
from daemons.ihdad.codec.regs import (
    Connectivity,
    ConverterStream,
    Device,
    UnsolicitedResponse,
    Verb,
)
from daemons.ihdad.codec.routes import Route, inputs
from daemons.ihdad.codec.setting import announce, open_input, plugged, set_output
from daemons.ihdad.codec.tree import Ask, Codec, Node
from redbear_host.hw.ports import Clock

AskOf: TypeAlias = Callable[[int], Ask]
"""Returns what asks one codec."""

_TAGS: Final = range(1, 64)
_Pin: TypeAlias = tuple[int, int]  # codec, node


class Jacks:
    """The pins of the ways out of one codec, and of the way in of perhaps another."""

    def __init__(self, ask_of: AskOf, clock: Clock) -> None:
        self._ask_of: Final = ask_of
        self._clock: Final = clock
        self._out: tuple[Codec, list[Route]] | None = None
        self._in: tuple[Codec, Route] | None = None
        self._in_tag = self._in_format = 0
        self._present: dict[_Pin, bool | None] = {}
        self._muted: set[int] = set()
        self._tags: dict[tuple[int, int], int] = {}  # codec and tag → node
        self.silent = False  # a pin tells only when it is asked

    def use_outputs(self, codec: Codec, routes: list[Route]) -> None:
        """Look after these ways out, which are open."""
        self._out = codec, routes
        self._muted.clear()

    def use_input(self, codec: Codec, route: Route, tag: int, sample_format: int) -> None:
        """Look after the way in, which is open for stream `tag`."""
        self._in = codec, route
        self._in_tag, self._in_format = tag, sample_format

    def listen(self, unasked: bool) -> None:
        """Let pins say what happens to them, if codecs can be heard `unasked`; feel them all."""
        self._tags.clear()
        self.silent = False
        tags = iter(_TAGS)
        for codec, pin in self._pins():
            if not pin.detects:
                continue
            tag = next(tags, 0)
            if tag and unasked and announce(pin, tag, self._ask_of(codec)):
                self._tags[codec, tag] = pin.number
            else:
                self.silent = True
        self._present.clear()
        self.feel()

    def told(self, said: Iterable[tuple[int, int]]) -> bool:
        """Return whether one of these unsolicited responses is about a jack of ours."""
        return any(
            (codec, UnsolicitedResponse.of(response).TAG) in self._tags for codec, response in said
        )

    def feel(self) -> bool:
        """Feel all jacks and do what follows; return whether something has changed."""
        present = {
            (codec, pin.number): plugged(pin, self._ask_of(codec), self._clock)
            for codec, pin in self._pins()
        }
        if present == self._present:
            return False
        self._present = present
        self._mute()
        self._choose_input()
        return True

    def _pins(self) -> Iterator[tuple[int, Node]]:
        if self._out is not None:
            codec, routes = self._out
            for route in routes:
                yield codec.number, route.pin
        if self._in is not None:
            codec, _ = self._in
            for route in inputs(codec, _unknown):
                yield codec.number, route.pin

    def _mute(self) -> None:
        """Mute speakers while headphones are plugged in."""
        if self._out is None:
            return
        codec, routes = self._out
        phones = any(
            self._present.get((codec.number, route.pin.number))
            for route in routes
            if route.pin.configuration.DEVICE is Device.HP_OUT
        )
        for route in routes:
            pin = route.pin
            if pin.configuration.DEVICE is not Device.SPEAKER:
                continue
            if phones != (pin.number in self._muted):
                set_output(pin, not phones, self._ask_of(codec.number))
                self._muted ^= {pin.number}

    def _choose_input(self) -> None:
        """Record from the best input that something is plugged into."""
        if self._in is None:
            return
        codec, before = self._in
        ask = self._ask_of(codec.number)
        best = inputs(codec, lambda pin: self._present.get((codec.number, pin.number)))
        able = [route for route in best if route.converter.pcm == before.converter.pcm]
        if not able or able[0].pin.number == before.pin.number:
            return
        ask(before.converter.number, Verb.SET_STREAM, ConverterStream().raw)
        open_input(able[0], self._in_tag, self._in_format, ask)
        self._in = codec, able[0]

    def text(self) -> str:
        """Return a line for each pin in use; see docs/protocol.md."""
        lines = []
        if self._out is not None:
            codec, routes = self._out
            for route in routes:
                state = "muted" if route.pin.number in self._muted else "on"
                lines.append(self._line(codec.number, route.pin, state))
        if self._in is not None:
            lines.append(self._line(self._in[0].number, self._in[1].pin, "recorded"))
        return "".join(lines)

    def _line(self, codec: int, pin: Node, state: str) -> str:
        there = self._present.get((codec, pin.number))
        shown = "unknown" if there is None else "plugged" if there else "unplugged"
        if there is None and pin.configuration.PORT is Connectivity.FIXED:
            shown = "fixed"
        return f"{codec} {pin.number:#04x} {names.device(pin.configuration)} {shown} {state}\n"


def _unknown(pin: Node) -> bool | None:
    return None
