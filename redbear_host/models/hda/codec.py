"""Modelled codecs: parameters, connections and settings, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

ALL_RATES: Final = 0x0002_07F0  # 16 bits; 32000 to 96000 Hz and some
OUTPUT, INPUT, MIXER, SELECTOR, PIN = 0, 1, 2, 3, 4  # widget types
STEREO, IN_AMP, OUT_AMP, OVERRIDE, FORMAT, UNSOL, LIST, DIGITAL, POWER = (
    *(1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 7, 1 << 8, 1 << 9, 1 << 10),
)
_LONG: Final = 1 << 7


@dataclass
class NodeModel:
    """One widget: its type, its other capabilities, and what it says when asked."""

    kind: int
    caps: int = STEREO
    connections: Sequence[int] = ()  # entries as they stand in the list, ranges and all
    long: bool = False  # entries of 16 bits
    parameters: dict[int, int] = field(default_factory=dict)
    configuration: int = 0
    present: bool = False  # something is plugged in
    length: int | None = None  # said instead of the number of connections

    # what was set
    selected: int = 0
    stream: int = 0
    format: int = 0
    control: int = 0
    power: int = 3
    unsolicited: int = 0
    eapd: int = 0
    digital: int = 0
    gains: dict[tuple[bool, bool, int], int] = field(default_factory=dict)  # output, left, index

    @property
    def widget(self) -> int:
        """Audio Widget Capabilities."""
        return self.caps | self.kind << 20 | (LIST if self.connections else 0)


@dataclass
class CodecModel:
    """A codec with one audio function group at node 1, and its nodes from 2 on."""

    nodes: dict[int, NodeModel]
    vendor: int = 0x1AF4_0012
    subsystem: int = 0x1AF4_0012
    revision: int = 0x10_0101
    group: dict[int, int] = field(default_factory=lambda: {0x05: 1, 0x0A: ALL_RATES, 0x0B: 1})
    power: int = 3
    wakes: bool = True  # the group gets to D0

    def answer(self, node: int, verb: int, payload: int) -> int:
        """Do what a verb of 12 bits, or of 4 with 16 of payload, says; return the response."""
        if verb == 0xF00:
            return self._parameter(node, payload)
        if node == 1:
            return self._group(verb, payload)
        found = self.nodes.get(node)
        return 0 if found is None else _node(found, verb, payload)

    def _parameter(self, node: int, which: int) -> int:
        if node == 0:
            root = {0x00: self.vendor, 0x01: self.subsystem, 0x02: self.revision, 0x04: 1 << 16 | 1}
            return root.get(which, 0)
        if node == 1:
            first = min(self.nodes, default=2)
            count = max(self.nodes, default=1) - first + 1
            return first << 16 | count if which == 0x04 else self.group.get(which, 0)
        found = self.nodes.get(node)
        if found is None:
            return 0
        if which == 0x09:
            return found.widget
        if which == 0x0E:
            length = len(found.connections) if found.length is None else found.length
            return length | (_LONG if found.long else 0)
        return found.parameters.get(which, 0)

    def _group(self, verb: int, payload: int) -> int:
        if verb == 0x705 and self.wakes:
            self.power = payload & 0xF
        if verb == 0xF20:
            return self.subsystem
        return self.power << 4 | self.power if verb == 0xF05 else 0


def _node(node: NodeModel, verb: int, payload: int) -> int:
    match verb:
        case 0x701:
            node.selected = payload
        case 0x705:
            node.power = payload
        case 0x706:
            node.stream = payload
        case 0x707:
            node.control = payload
        case 0x708:
            node.unsolicited = payload
        case 0x70C:
            node.eapd = payload
        case 0x70D:
            node.digital = payload
        case 0x2:
            node.format = payload
        case 0x3:
            _set_gain(node, payload)
        case 0xB:
            return node.gains.get((bool(payload >> 15), bool(payload >> 13 & 1), payload & 15), 0)
        case 0xF02:
            return _entries(node, payload)
        case _:
            said = {
                0xF01: node.selected,
                0xF05: node.power << 4 | node.power,
                0xF06: node.stream,
                0xF07: node.control,
                0xF08: node.unsolicited,
                0xF09: node.present << 31,
                0xF0C: node.eapd,
                0xF0D: node.digital,
                0xF1C: node.configuration,
                0xA: node.format,
            }
            return said.get(verb, 0)
    return 0


def _set_gain(node: NodeModel, payload: int) -> None:
    for output in (True, False):
        for left in (True, False):
            if payload >> (15 if output else 14) & 1 and payload >> (13 if left else 12) & 1:
                node.gains[output, left, payload >> 8 & 15] = payload & 0xFF


def _entries(node: NodeModel, index: int) -> int:
    width, count = (16, 2) if node.long else (8, 4)
    piece = node.connections[index : index + count]
    return sum((it & (1 << width) - 1) << width * at for at, it in enumerate(piece))


def desktop() -> CodecModel:
    """Return a codec as a plain one has: one converter and a line-out jack, one for line in."""
    return CodecModel(
        {
            2: NodeModel(
                OUTPUT, STEREO | OUT_AMP | OVERRIDE | FORMAT,
                parameters={0x0A: ALL_RATES, 0x0B: 1, 0x12: 0x8003_4A4A},
            ),
            3: NodeModel(PIN, connections=[2], parameters={0x0C: 0x10}, configuration=0x0101_4010),
            4: NodeModel(
                INPUT, STEREO | IN_AMP | OVERRIDE | FORMAT, connections=[5],
                parameters={0x0A: ALL_RATES, 0x0B: 1, 0x0D: 0x8003_4A4A},
            ),
            5: NodeModel(PIN, parameters={0x0C: 0x20}, configuration=0x0181_3020),
        }
    )  # fmt: skip


def laptop() -> CodecModel:
    """Return a codec with speakers, a headphone jack that tells, and two microphones.

    Both outputs have a mixer of their own; nodes 0x0C and 0x0D listen to the converters 2 and 3 and
    to the microphones, as codecs do that mix inputs into what is heard.
    """
    mixer = STEREO | IN_AMP
    jack = STEREO | OUT_AMP | UNSOL | POWER
    return CodecModel(
        {
            0x02: NodeModel(OUTPUT, STEREO | OUT_AMP, parameters={}),
            0x03: NodeModel(OUTPUT, STEREO | OUT_AMP, parameters={}),
            0x08: NodeModel(INPUT, STEREO | IN_AMP, connections=[0x23]),
            0x0C: NodeModel(MIXER, mixer, connections=[0x02, 0x18]),
            0x0D: NodeModel(MIXER, mixer, connections=[0x03, 0x12]),
            0x12: NodeModel(PIN, parameters={0x0C: 0x20}, configuration=0x90A6_0130),
            0x14: NodeModel(
                PIN, STEREO | OUT_AMP, connections=[0x0C], parameters={0x0C: 0x0001_0014},
                configuration=0x9017_0110,
            ),
            0x18: NodeModel(
                PIN, jack, parameters={0x0C: 0x0000_3724}, configuration=0x03A1_1040,
            ),
            0x21: NodeModel(
                PIN, jack, connections=[0x0C, 0x0D], parameters={0x0C: 0x1C},
                configuration=0x0321_1020,
            ),
            0x23: NodeModel(SELECTOR, STEREO, connections=[0x18, 0x12]),
        },
        vendor=0x10EC_0256,
        subsystem=0x1028_0000,
        group={0x05: 0x101, 0x0A: ALL_RATES, 0x0B: 1, 0x0D: 0x8005_1F17, 0x12: 0x0002_5757},
    )  # fmt: skip
