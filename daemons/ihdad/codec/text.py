"""A codec's tree as text, in the form of Linux's /proc/asound/card0/codec#0.

Ref: what that file shows (Linux 6.1); HDA 7.3.3 and 7.3.4 for what the numbers mean.

Only what the codec says is here: the lines in which Linux tells of its own controls and devices are
not.  What can change (gains, switches, power) is asked for at every reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from daemons.ihdad.codec import names
from daemons.ihdad.codec.regs import (
    AmpCaps,
    AmpGet,
    ConverterStream,
    Digital,
    Eapd,
    GpioCount,
    Knob,
    KnobCaps,
    Parameter,
    PinControl,
    PowerState,
    Processing,
    Unsolicited,
    Verb,
    WidgetKind,
)
from daemons.ihdad.codec.tree import Ask, Codec, Node

_REALTEK: Final = 0x10EC
_RATES: Final = (
    *(8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 176400, 192000, 384000),
)
_BITS: Final = (8, 16, 20, 24, 32)
_FORMATS: Final = ("PCM", "FLOAT", "AC3")
_POWERS: Final = ("D0", "D1", "D2", "D3", "D3cold")
_POWER_SUPPORT: Final = {
    **dict(enumerate(_POWERS)),
    29: "S3D3cold",
    30: "CLKSTOP",
    31: "EPSS",
}  # bits of Supported Power States (7.3.4.12)
_VREFS: Final = {
    0: "HIZ",
    1: "50",
    2: "GRD",
    4: "80",
    5: "100",
}  # bits of PinCaps.VREF, and values of PinControl.VREF


def render(codec: Codec, ask: Ask) -> str:
    """Write a codec's tree; `DeviceError` when it stops answering."""
    return "".join(f"{line}\n" for line in _Text(codec, ask).lines())


class _Text:
    def __init__(self, codec: Codec, ask: Ask) -> None:
        self._codec: Final = codec
        self._ask: Final = ask

    def _parameter(self, node: int, which: Parameter) -> int:
        return self._ask(node, Verb.PARAMETER, which)

    def lines(self) -> Iterator[str]:
        codec = self._codec
        maker = names.VENDORS.get(codec.vendor >> 16, f"Generic {codec.vendor >> 16:04x}")
        yield f"Codec: {maker} Generic"
        yield f"Address: {codec.number}"
        if codec.group:
            kind = codec.group_type
            yield f"AFG Function Id: {kind.KIND.value:#x} (unsol {kind.UNSOL:d})"
        yield f"Vendor Id: {codec.vendor:#010x}"
        yield f"Subsystem Id: {codec.subsystem:#010x}"
        yield f"Revision Id: {codec.revision:#x}"
        if codec.modem:
            yield f"Modem Function Group: {codec.modem:#x}"
        else:
            yield "No Modem Function Group found"
        if codec.group:
            yield from self._group(codec.group)
            for node in codec.nodes.values():
                yield from self._node(node)

    def _group(self, group: int) -> Iterator[str]:
        yield "Default PCM:"
        yield from self._pcm(group)
        yield f"Default Amp-In caps: {self._amp_caps(group, Parameter.AMP_IN)}"
        yield f"Default Amp-Out caps: {self._amp_caps(group, Parameter.AMP_OUT)}"
        yield f"State of AFG node {group:#04x}:"
        yield from self._power(group)
        yield from self._gpio(group)

    def _pcm(self, node: int) -> Iterator[str]:
        raw = self._parameter(node, Parameter.PCM)
        formats = self._parameter(node, Parameter.FORMATS)
        yield f"    rates [{raw & 0xFFF:#x}]:{_chosen(raw, _RATES)}"
        yield f"    bits [{raw >> 16 & 0xFF:#x}]:{_chosen(raw >> 16, _BITS)}"
        yield f"    formats [{formats & 0xF:#x}]:{_chosen(formats, _FORMATS)}"

    def _amp_caps(self, node: int, which: Parameter) -> str:
        caps = AmpCaps.of(self._parameter(node, which))
        if not caps.raw:
            return "N/A"
        return (
            f"ofs={caps.OFFSET:#04x}, nsteps={caps.STEPS:#04x}, "
            f"stepsize={caps.SIZE:#04x}, mute={caps.MUTE:d}"
        )

    def _power(self, node: int) -> Iterator[str]:
        able = self._parameter(node, Parameter.POWER)
        if able != 0xFFFF_FFFF:
            shown = "".join(f" {name}" for bit, name in _POWER_SUPPORT.items() if able >> bit & 1)
            yield f"  Power states: {shown}"
        state = PowerState.of(self._ask(node, Verb.GET_POWER, 0))
        flags = (
            ", Error" * state.ERROR
            + ", Clock-stop-OK" * state.CLKSTOP
            + ", Setting-reset" * state.RESET
        )
        yield f"  Power: setting={_power_name(state.SET)}, actual={_power_name(state.ACT)}{flags}"

    def _gpio(self, group: int) -> Iterator[str]:
        count = GpioCount.of(self._parameter(group, Parameter.GPIO))
        yield (
            f"GPIO: io={count.GPIOS}, o={count.GPOS}, i={count.GPIS}, "
            f"unsolicited={count.UNSOL:d}, wake={count.WAKE:d}"
        )
        if not count.GPIOS or count.raw == 0xFFFF_FFFF:
            return
        enable, direction, wake, sticky, data, unsolicited = (
            self._ask(group, verb, 0)
            for verb in (
                Verb.GET_GPIO_ENABLE,
                Verb.GET_GPIO_DIRECTION,
                Verb.GET_GPIO_WAKE,
                Verb.GET_GPIO_STICKY,
                Verb.GET_GPIO_DATA,
                Verb.GET_GPIO_UNSOLICITED,
            )
        )
        for pin in range(min(count.GPIOS, 8)):
            yield (
                f"  IO[{pin}]: enable={enable >> pin & 1}, dir={direction >> pin & 1}, "
                f"wake={wake >> pin & 1}, sticky={sticky >> pin & 1}, "
                f"data={data >> pin & 1}, unsol={unsolicited >> pin & 1}"
            )

    # -- one node ----------------------------------------------------------------------------------

    def _node(self, node: Node) -> Iterator[str]:
        caps, number = node.caps, node.number
        yield f"Node {number:#04x} [{_widget(node)}] wcaps {caps.raw:#x}:{_abilities(node)}"
        sources = node.connections
        if caps.IN_AMP:
            yield f"  Amp-In caps: {self._amp_caps(number, Parameter.AMP_IN)}"
            count = 1 if node.kind is WidgetKind.PIN else len(sources)
            yield f"  Amp-In vals: {self._amp_values(node, False, count)}"
        if caps.OUT_AMP:
            yield f"  Amp-Out caps: {self._amp_caps(number, Parameter.AMP_OUT)}"
            yield f"  Amp-Out vals: {self._amp_values(node, True, 1)}"
        if node.kind is WidgetKind.PIN:
            yield from self._pin(node)
        elif node.kind is WidgetKind.KNOB:
            yield self._knob(number)
        elif node.kind in (WidgetKind.OUTPUT, WidgetKind.INPUT):
            yield from self._converter(node)
        if caps.UNSOL:
            said = Unsolicited.of(self._ask(number, Verb.GET_UNSOLICITED, 0) & 0xFF)
            yield f"  Unsolicited: tag={said.TAG:02x}, enabled={said.ENABLE:d}"
        if caps.POWER:
            yield from self._power(number)
        if caps.DELAY:
            yield f"  Delay: {caps.DELAY} samples"
        if caps.CONN_LIST or node.kind is WidgetKind.KNOB:
            yield from self._sources(node, sources)
        if caps.PROC:
            processing = Processing.of(self._parameter(number, Parameter.PROCESSING))
            count = processing.COEFFICIENTS
            yield f"  Processing caps: benign={processing.BENIGN:d}, ncoeff={count}"
            coefficient = self._ask(number, Verb.GET_COEFFICIENT, 0)
            yield f"  Processing Coefficient: {coefficient:#04x}"
            yield f"  Coefficient Index: {self._ask(number, Verb.GET_COEFFICIENT_INDEX, 0):#04x}"

    def _amp_values(self, node: Node, output: bool, count: int) -> str:
        sides = (True, False) if node.caps.STEREO else (False,)
        return "".join(
            " ["
            + " ".join(
                f"{self._gain(node.number, AmpGet(OUTPUT=output, LEFT=left, INDEX=index)):#04x}"
                for left in sides
            )
            + "]"
            for index in range(min(count, 16))
        )

    def _gain(self, node: int, which: AmpGet) -> int:
        return self._ask(node, Verb.GET_AMP, which.raw)

    def _pin(self, node: Node) -> Iterator[str]:
        number, caps = node.number, node.pin
        yield f"  Pincap {caps.raw:#010x}:{_pin_abilities(node, self._codec.vendor)}"
        if caps.VREF:
            yield f"    Vref caps:{_listed(caps.VREF, _VREFS)}"
        if caps.EAPD:
            raw = self._ask(number, Verb.GET_EAPD, 0)
            eapd = Eapd.of(raw & 0xFF)
            shown = " BALANCED" * eapd.BTL + " EAPD" * eapd.EAPD + " R/L" * eapd.LR_SWAP
            yield f"  EAPD {raw:#x}:{shown}"
        given = node.configuration
        yield (
            f"  Pin Default {given.raw:#010x}: [{names.PORTS[given.PORT]}] "
            f"{names.device(given)} at {names.location(given)}"
        )
        yield (f"    Conn = {names.connection(given)}, Color = {names.COLORS[given.COLOR]}")
        yield (f"    DefAssociation = {given.ASSOCIATION:#x}, Sequence = {given.SEQUENCE:#x}")
        if given.NO_PRESENCE:
            yield "    Misc = NO_PRESENCE"
        control = PinControl.of(self._ask(number, Verb.GET_PIN, 0) & 0xFF)
        shown = " IN" * control.IN + " OUT" * control.OUT + " HP" * control.HP
        if caps.VREF and control.VREF in _VREFS:
            shown += f" VREF_{_VREFS[control.VREF]}"
        yield f"  Pin-ctls: {control.raw:#04x}:{shown}"

    def _knob(self, number: int) -> str:
        caps = KnobCaps.of(self._parameter(number, Parameter.KNOB))
        knob = Knob.of(self._ask(number, Verb.GET_KNOB, 0))
        return (
            f"  Volume-Knob: delta={caps.DELTA:d}, steps={caps.STEPS}, "
            f"direct={knob.DIRECT:d}, val={knob.VOLUME}"
        )

    def _converter(self, node: Node) -> Iterator[str]:
        number = node.number
        stream = ConverterStream.of(self._ask(number, Verb.GET_STREAM, 0) & 0xFF)
        yield f"  Converter: stream={stream.STREAM}, channel={stream.CHANNEL}"
        if node.kind is WidgetKind.INPUT:
            yield f"  SDI-Select: {self._ask(number, Verb.GET_SDI, 0) & 0xF}"
        if node.caps.DIGITAL:
            digital = Digital.of(self._ask(number, Verb.GET_DIGITAL, 0))
            words = (
                *((digital.DIGEN, "Enabled"), (digital.V, "Validity")),
                *((digital.VCFG, "ValidityCfg"), (digital.PRE, "Preemphasis")),
                *((digital.COPY, "Non-Copyright"), (digital.AUDIO, "Non-Audio")),
                *((digital.PRO, "Pro"), (digital.L, "GenLevel"), (digital.KAE, "KAE")),
            )
            yield "  Digital:" + "".join(f" {word}" for on, word in words if on)
            yield f"  Digital category: {digital.CC:#x}"
            yield f"  IEC Coding Type: {digital.ICT:#x}"
        if node.caps.FORMAT_OVRD:
            yield "  PCM:"
            yield from self._pcm(number)

    def _sources(self, node: Node, sources: Sequence[int]) -> Iterator[str]:
        yield f"  Connection: {len(sources)}"
        if not sources:
            return
        chosen = -1
        unchosen = (WidgetKind.MIXER, WidgetKind.KNOB, WidgetKind.POWER)
        if len(sources) > 1 and node.kind not in unchosen:
            chosen = self._ask(node.number, Verb.GET_CONNECTION, 0)
        shown = (f" {it:#04x}{'*' * (i == chosen)}" for i, it in enumerate(sources))
        yield f"    {''.join(shown)}"


def _chosen(bits: int, words: Sequence[object]) -> str:
    return "".join(f" {word}" for bit, word in enumerate(words) if bits >> bit & 1)


def _listed(bits: int, words: dict[int, str]) -> str:
    return "".join(f" {word}" for bit, word in words.items() if bits >> bit & 1)


def _power_name(state: int) -> str:
    return _POWERS[state] if state < len(_POWERS) else "UNKNOWN"


def _widget(node: Node) -> str:
    return names.WIDGETS.get(node.kind, "UNKNOWN Widget")


def _abilities(node: Node) -> str:
    caps = node.caps
    if caps.STEREO:
        channels = (caps.CHAN_EXT << 1 | 1) + 1
        shown = " Stereo" if channels == 2 else f" {channels}-Channels"
    else:
        shown = " Mono"
    return shown + "".join(
        f" {word}"
        for on, word in (
            (caps.DIGITAL, "Digital"),
            (caps.IN_AMP, "Amp-In"),
            (caps.OUT_AMP, "Amp-Out"),
            (caps.STRIPE, "Stripe"),
            (caps.LR_SWAP, "R/L"),
            (caps.CP, "CP"),
        )
        if on
    )


def _pin_abilities(node: Node, vendor: int) -> str:
    caps = node.pin
    shown = "".join(
        f" {word}"
        for on, word in (
            (caps.INPUT, "IN"),
            (caps.OUTPUT, "OUT"),
            (caps.HEADPHONE, "HP"),
            (caps.EAPD, "EAPD"),
            (caps.PRESENCE, "Detect"),
            (caps.BALANCED, "Balanced"),
        )
        if on
    )
    if caps.HDMI:
        if vendor >> 16 == _REALTEK:  # who uses the bit for something else
            shown += " (Realtek) R/L"
        else:
            shown += " HBR" * caps.HBR + " HDMI"
    return shown + " DP" * caps.DP + " Trigger" * caps.TRIGGER + " ImpSense" * caps.IMPEDANCE
