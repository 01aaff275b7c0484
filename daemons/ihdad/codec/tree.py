"""What a codec is made of: its function groups and their nodes, read once.

Ref: HDA 7.1 (codecs and nodes), 7.1.2 (connection lists), 7.3.4 (parameters).

Nothing a codec says is believed: numbers are cut to what there can be, lists to their longest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from daemons.ihdad.codec.regs import (
    AmpCaps,
    Configuration,
    ConnectionLength,
    FunctionKind,
    FunctionType,
    NodeCount,
    Parameter,
    PcmCaps,
    PinCaps,
    Verb,
    WidgetCaps,
    WidgetKind,
)
from redbear_host.errors import DeviceError

Ask: TypeAlias = Callable[[int, Verb, int], int]
"""Asks one codec: node, verb, payload."""

NODES_MOST: Final = 256
_CONNECTIONS_MOST: Final = 512  # of one node, ranges written out
_NOBODY: Final = (0, 0xFFFF_FFFF)  # vendors that none is


@dataclass(frozen=True)
class Node:
    """One widget; parameters it does not have are 0."""

    number: int
    caps: WidgetCaps
    connections: tuple[int, ...] = ()  # nodes its input can come from, in the order of their index
    amp_in: AmpCaps = field(default_factory=AmpCaps)  # its own, or its function group's
    amp_out: AmpCaps = field(default_factory=AmpCaps)
    pin: PinCaps = field(default_factory=PinCaps)
    configuration: Configuration = field(default_factory=Configuration)
    pcm: PcmCaps = field(default_factory=PcmCaps)  # its own, or its function group's

    @property
    def kind(self) -> WidgetKind:
        """What it is."""
        return self.caps.TYPE

    @property
    def detects(self) -> bool:
        """Whether a pin tells that something is plugged in."""
        return self.pin.PRESENCE and not self.configuration.NO_PRESENCE


@dataclass(frozen=True)
class Codec:
    """One codec, with the audio function group it has."""

    number: int
    vendor: int  # vendor's PCI id << 16 | its own id
    revision: int
    subsystem: int
    group: int = 0  # node of the audio function group; 0: there is none
    group_type: FunctionType = field(default_factory=FunctionType)
    modem: int = 0  # node of the modem function group
    nodes: dict[int, Node] = field(default_factory=dict)


def walk(number: int, ask: Ask) -> Codec:
    """Read codec `number`; `DeviceError` if it is none, or does not answer."""

    def parameter(node: int, which: Parameter) -> int:
        return ask(node, Verb.PARAMETER, which)

    vendor = parameter(0, Parameter.VENDOR)
    if vendor in _NOBODY:
        raise DeviceError(f"codec {number} says that its maker is {vendor:#x}")
    revision = parameter(0, Parameter.REVISION)
    subsystem = parameter(0, Parameter.SUBSYSTEM)
    audio = modem = 0
    kind = FunctionType()
    for group in _below(0, parameter):
        found = FunctionType.of(parameter(group, Parameter.FUNCTION))
        if found.KIND is FunctionKind.AUDIO and not audio:
            audio, kind = group, found
        elif found.KIND is FunctionKind.MODEM:
            modem = group
    if subsystem in _NOBODY and (audio or modem):
        subsystem = ask(audio or modem, Verb.GET_SUBSYSTEM, 0)
    nodes = {}
    if audio:
        common = _Common(
            AmpCaps.of(parameter(audio, Parameter.AMP_IN)),
            AmpCaps.of(parameter(audio, Parameter.AMP_OUT)),
            PcmCaps.of(parameter(audio, Parameter.PCM)),
        )
        nodes = {node: _node(node, common, ask) for node in _below(audio, parameter)}
    return Codec(number, vendor, revision, subsystem, audio, kind, modem, nodes)


@dataclass(frozen=True)
class _Common:
    """What a function group says for those of its nodes that do not say it themselves."""

    amp_in: AmpCaps
    amp_out: AmpCaps
    pcm: PcmCaps


def _below(node: int, parameter: Callable[[int, Parameter], int]) -> range:
    count = NodeCount.of(parameter(node, Parameter.NODES))
    if count.START <= node:  # they are numbered downwards from the root (7.1)
        return range(0)
    return range(count.START, min(count.START + count.TOTAL, NODES_MOST))


def _node(number: int, common: _Common, ask: Ask) -> Node:
    def parameter(which: Parameter) -> int:
        return ask(number, Verb.PARAMETER, which)

    caps = WidgetCaps.of(parameter(Parameter.WIDGET))
    amp_in, amp_out = common.amp_in, common.amp_out
    if caps.AMP_OVRD:
        amp_in = AmpCaps.of(parameter(Parameter.AMP_IN)) if caps.IN_AMP else amp_in
        amp_out = AmpCaps.of(parameter(Parameter.AMP_OUT)) if caps.OUT_AMP else amp_out
    is_pin = caps.TYPE is WidgetKind.PIN
    converts = caps.TYPE in (WidgetKind.OUTPUT, WidgetKind.INPUT)
    return Node(
        number,
        caps,
        # A volume knob always has a list (7.2.3.7), whether it says so or not.
        connections(number, ask) if caps.CONN_LIST or caps.TYPE is WidgetKind.KNOB else (),
        amp_in,
        amp_out,
        PinCaps.of(parameter(Parameter.PIN)) if is_pin else PinCaps(),
        Configuration.of(ask(number, Verb.GET_CONFIGURATION, 0)) if is_pin else Configuration(),
        PcmCaps.of(parameter(Parameter.PCM)) if converts and caps.FORMAT_OVRD else common.pcm,
    )


def connections(node: int, ask: Ask) -> tuple[int, ...]:
    """Read a connection list, in either form, with its ranges written out (7.1.2)."""
    length = ConnectionLength.of(ask(node, Verb.PARAMETER, Parameter.CONNECTIONS))
    width, each = (16, 2) if length.LONG else (8, 4)
    is_range, most = 1 << width - 1, (1 << width - 1) - 1
    found: list[int] = []
    for index in range(length.LENGTH):
        if index % each == 0:
            word = ask(node, Verb.CONNECTIONS, index)
        entry = word >> index % each * width
        last = entry & most
        if entry & is_range and found and last > found[-1]:
            found.extend(range(found[-1] + 1, last + 1))
        else:
            found.append(last)
        if len(found) > _CONNECTIONS_MOST:
            raise DeviceError(f"node {node:#04x} is connected with more than there are")
    return tuple(found)
