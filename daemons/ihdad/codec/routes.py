"""Ways for sound through a codec: from a converter to a pin, or from a pin to a converter.

Ref: HDA 7.1.2 (connections), 7.3.3.31 (configuration defaults).

A node's connections say where its input comes from, so a way is always searched from the end of
the sound to its source.  Breadth first, each node once: a list that leads in circles costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from daemons.ihdad.codec.regs import Connectivity, Device, WidgetKind
from daemons.ihdad.codec.tree import Codec, Node

Plugged: TypeAlias = Callable[[Node], bool | None]
"""Says whether something is in a pin's jack; None if the pin cannot tell."""

LONGEST: Final = 16  # nodes of a way

# What people want to hear from, and speak into, when nothing else is known.  Digital ways carry
# sound too, but nobody can tell whether anything listens at their ends.
_OUTPUTS: Final = {
    Device.SPEAKER: 90,
    Device.LINE_OUT: 80,
    Device.HP_OUT: 70,
    Device.OTHER: 30,
    Device.DIGITAL_OUT: 20,
    Device.SPDIF_OUT: 10,
}
_INPUTS: Final = {
    Device.MIC_IN: 90,
    Device.LINE_IN: 80,
    Device.AUX: 40,
    Device.CD: 30,
    Device.OTHER: 20,
}
_PLUGGED: Final = 5
_UNPLUGGED: Final = -50
_PASSES: Final = (WidgetKind.MIXER, WidgetKind.SELECTOR, WidgetKind.PIN)


class Step(NamedTuple):
    """A node on a way, and which of its connections the sound comes in by; -1 at its source."""

    node: Node
    source: int


@dataclass(frozen=True)
class Route:
    """One way, from the end of the sound to its source."""

    steps: tuple[Step, ...]
    pin: Node
    converter: Node
    score: int


def outputs(codec: Codec, plugged: Plugged) -> list[Route]:
    """Find the ways out, the best first; analogue ones only, unless there are none."""
    found: list[Route] = []
    chosen: dict[int, int] = {}
    pins = [
        (score, node)
        for node in codec.nodes.values()
        if (score := _score(node, node.pin.OUTPUT, _OUTPUTS, plugged)) is not None
    ]
    for score, pin in sorted(pins, key=lambda it: (-it[0], _order(it[1]))):
        steps = _search(codec.nodes, pin, chosen, lambda it: it.kind is WidgetKind.OUTPUT)
        if steps:
            found.append(Route(steps, pin, steps[-1].node, score))
    analogue = [route for route in found if not route.converter.caps.DIGITAL]
    return analogue or found[:1]


def inputs(codec: Codec, plugged: Plugged) -> list[Route]:
    """Find the ways in, the best first; each converter listens to one pin."""
    found: list[Route] = []
    pins = {
        node.number: score
        for node in codec.nodes.values()
        if (score := _score(node, node.pin.INPUT, _INPUTS, plugged)) is not None
    }
    best = sorted(pins, key=lambda it: (-pins[it], _order(codec.nodes[it])))
    converters = [
        node
        for node in codec.nodes.values()
        if node.kind is WidgetKind.INPUT and not node.caps.DIGITAL
    ]
    for number in best:
        for converter in converters:
            steps = _search(codec.nodes, converter, {}, lambda it: it.number == number)  # noqa: B023 - called at once
            if steps:
                found.append(Route(steps, codec.nodes[number], converter, pins[number]))
                break
    return found


def _order(pin: Node) -> tuple[int, int, int]:
    """Order pins that are equal otherwise: by association, 0 being none, then by sequence."""
    given = pin.configuration
    return given.ASSOCIATION or 16, given.SEQUENCE, pin.number


def _score(node: Node, able: bool, worth: Mapping[Device, int], plugged: Plugged) -> int | None:
    if node.kind is not WidgetKind.PIN or not able:
        return None
    if node.configuration.PORT is Connectivity.NONE:
        return None
    score = worth.get(node.configuration.DEVICE)
    if score is None:
        return None
    there = plugged(node)
    if there is None:
        return score
    return score + (_PLUGGED if there else _UNPLUGGED)


def _search(
    nodes: Mapping[int, Node],
    start: Node,
    chosen: dict[int, int],
    is_source: Callable[[Node], bool],
) -> tuple[Step, ...]:
    """Return the shortest way from `start` to a source; empty when there is none.

    What selectors select is noted in `chosen`, and kept to: another way may run through them.
    """
    came: dict[int, tuple[int, int]] = {start.number: (-1, -1)}  # node → the one before, its index
    waiting = deque([(start, 1)])
    while waiting:
        node, length = waiting.popleft()
        if is_source(node) and node is not start:
            return _steps(nodes, came, node, chosen)
        if length == LONGEST or (node is not start and node.kind not in _PASSES):
            continue
        for index, number in enumerate(node.connections):
            following = nodes.get(number)
            if following is None or number in came:
                continue
            if node.kind is not WidgetKind.MIXER and chosen.get(node.number, index) != index:
                continue
            came[number] = (node.number, index)
            waiting.append((following, length + 1))
    return ()


def _steps(
    nodes: Mapping[int, Node],
    came: Mapping[int, tuple[int, int]],
    source: Node,
    chosen: dict[int, int],
) -> tuple[Step, ...]:
    steps = [Step(source, -1)]
    before, index = came[source.number]
    while before >= 0:
        node = nodes[before]
        steps.append(Step(node, index))
        if node.kind is not WidgetKind.MIXER:
            chosen[before] = index
        before, index = came[before]
    return tuple(reversed(steps))
