"""Switching a codec's nodes: power, ways, amplifiers, pins.

Ref: HDA 7.3.3 (verbs).
"""

from __future__ import annotations

from typing import Final

from daemons.ihdad.codec.regs import (
    AmpCaps,
    AmpSet,
    ConverterStream,
    Device,
    Digital,
    Eapd,
    PinControl,
    PowerState,
    Sense,
    Unsolicited,
    Verb,
    WidgetKind,
)
from daemons.ihdad.codec.routes import Route, Step
from daemons.ihdad.codec.tree import Ask, Codec, Node
from redbear_host.errors import Stuck
from redbear_host.hw.ports import Clock

POWER_S: Final = 0.2  # for a node to come up from D3 (7.3.3.10 has 10 ms; external parts take more)
SENSE_S: Final = 0.002  # between a trigger and what it measures
_D0: Final = 0
_VREF_80: Final = 4
_VREF_50: Final = 1
_INPUTS_MOST: Final = 16  # of an amplifier


def power_up(codec: Codec, ask: Ask, clock: Clock) -> None:
    """Bring the function group, and each node that has power of its own, to D0.

    `Stuck` if the group does not get there.
    """
    ask(codec.group, Verb.SET_POWER, _D0)
    for node in codec.nodes.values():
        if node.caps.POWER:
            ask(node.number, Verb.SET_POWER, _D0)
    deadline = clock.now() + POWER_S
    while True:
        late = clock.now() >= deadline
        state = PowerState.of(ask(codec.group, Verb.GET_POWER, 0))
        if state.ACT == _D0:
            return
        if late:
            raise Stuck(f"codec {codec.number}: {state!r} after {POWER_S:g} s")
        clock.pause(0.001)


def plugged(node: Node, ask: Ask, clock: Clock) -> bool | None:
    """Feel whether something is plugged in; None if the pin cannot tell."""
    if not node.detects:
        return None
    if node.pin.TRIGGER:
        ask(node.number, Verb.EXECUTE_SENSE, 0)
        clock.pause(SENSE_S)
    return Sense.of(ask(node.number, Verb.GET_SENSE, 0)).PRESENCE


def announce(node: Node, tag: int, ask: Ask) -> bool:
    """Let a pin tell unasked when something is plugged in; return whether it can."""
    if not (node.detects and node.caps.UNSOL):
        return False
    ask(node.number, Verb.SET_UNSOLICITED, Unsolicited(TAG=tag, ENABLE=True).raw)
    return True


def open_output(route: Route, tag: int, sample_format: int, ask: Ask) -> None:
    """Let stream `tag` be heard at a route's pin, without gain or loss."""
    _connect(route.steps, ask)
    _convert(route.converter, tag, sample_format, ask)
    if route.converter.caps.DIGITAL:
        ask(route.converter.number, Verb.SET_DIGITAL, Digital(DIGEN=True).raw)
    pin = route.pin
    if pin.pin.EAPD:
        ask(pin.number, Verb.SET_EAPD, Eapd(EAPD=True).raw)
    set_output(pin, True, ask)


def set_output(pin: Node, on: bool, ask: Ask) -> None:
    """Let a pin drive what is plugged into it, or not."""
    phones = pin.pin.HEADPHONE and pin.configuration.DEVICE is Device.HP_OUT
    control = PinControl(OUT=True, HP=phones) if on else PinControl()
    ask(pin.number, Verb.SET_PIN, control.raw)


def open_input(route: Route, tag: int, sample_format: int, ask: Ask) -> None:
    """Let stream `tag` carry what comes in at a route's pin."""
    _connect(route.steps, ask)
    pin = route.pin
    vref = 0
    if pin.configuration.DEVICE is Device.MIC_IN:  # it wants a voltage
        vref = next((it for it in (_VREF_80, _VREF_50) if pin.pin.VREF >> it & 1), 0)
    ask(pin.number, Verb.SET_PIN, PinControl(IN=True, VREF=vref).raw)
    _convert(route.converter, tag, sample_format, ask)


def _convert(converter: Node, tag: int, sample_format: int, ask: Ask) -> None:
    ask(converter.number, Verb.SET_FORMAT, sample_format)
    ask(converter.number, Verb.SET_STREAM, ConverterStream(STREAM=tag, CHANNEL=0).raw)


def _connect(steps: tuple[Step, ...], ask: Ask) -> None:
    """Select a route's connections and open the amplifiers on it."""
    for node, index in steps:
        if index >= 0 and len(node.connections) > 1 and node.kind is not WidgetKind.MIXER:
            ask(node.number, Verb.SET_CONNECTION, index)
        if node.caps.IN_AMP:
            _open_inputs(node, index, ask)
        if node.caps.OUT_AMP:
            ask(node.number, Verb.SET_AMP, _unity(node.amp_out, AmpSet(OUTPUT=True)))


def _open_inputs(node: Node, index: int, ask: Ask) -> None:
    if node.kind is WidgetKind.PIN:
        index = 0  # it has one amplifier, however many connections
    if node.kind is WidgetKind.MIXER:
        for other in range(min(len(node.connections), _INPUTS_MOST)):
            if other != index:
                shut = AmpSet(LEFT=True, RIGHT=True, INPUT=True, INDEX=other, MUTE=True)
                ask(node.number, Verb.SET_AMP, shut.raw)
    if 0 <= index < _INPUTS_MOST:
        ask(node.number, Verb.SET_AMP, _unity(node.amp_in, AmpSet(INPUT=True, INDEX=index)))


def _unity(caps: AmpCaps, which: AmpSet) -> int:
    """Return the payload that lets sound through as it is: 0 dB, not muted."""
    which.LEFT = which.RIGHT = True
    which.GAIN = min(caps.OFFSET, caps.STEPS)
    return which.raw
