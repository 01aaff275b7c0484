"""ihdad's tables against the specification, typed in a second time; codec trees against Linux's."""

from __future__ import annotations

import pytest
from ihdad_bench import Bench

from daemons.ihdad.codec import regs as c
from daemons.ihdad.quirks import QUIRKS, of_controller
from daemons.ihdad.regs import BDLE, FMT, RIRBE, Base, HdaRegs, StreamRegs
from redbear_host.hw.ports import PciIds
from redbear_host.models.hda.codec import desktop, laptop

# HDA 1.0a, table 4: offset, bytes.
CONTROLLER = {
    "GCAP": (0x00, 2), "VMIN": (0x02, 1), "VMAJ": (0x03, 1), "GCTL": (0x08, 4),
    "WAKEEN": (0x0C, 2), "STATESTS": (0x0E, 2), "INTCTL": (0x20, 4), "INTSTS": (0x24, 4),
    "WALCLK": (0x30, 4), "CORBLBASE": (0x40, 4), "CORBUBASE": (0x44, 4), "CORBWP": (0x48, 2),
    "CORBRP": (0x4A, 2), "CORBCTL": (0x4C, 1), "CORBSTS": (0x4D, 1), "CORBSIZE": (0x4E, 1),
    "RIRBLBASE": (0x50, 4), "RIRBUBASE": (0x54, 4), "RIRBWP": (0x58, 2), "RINTCNT": (0x5A, 2),
    "RIRBCTL": (0x5C, 1), "RIRBSTS": (0x5D, 1), "RIRBSIZE": (0x5E, 1), "ICOI": (0x60, 4),
    "ICII": (0x64, 4), "ICIS": (0x68, 2), "DPLBASE": (0x70, 4), "DPUBASE": (0x74, 4),
}  # fmt: skip
STREAM = {
    "CTL": (0x00, 1), "TAG": (0x02, 1), "STS": (0x03, 1), "LPIB": (0x04, 4), "CBL": (0x08, 4),
    "LVI": (0x0C, 2), "FIFOS": (0x10, 2), "FMT": (0x12, 2), "BDPL": (0x18, 4), "BDPU": (0x1C, 4),
}  # fmt: skip


@pytest.mark.parametrize(("block", "typed"), [(HdaRegs, CONTROLLER), (StreamRegs, STREAM)])
def test_registers_lie_where_the_specification_has_them(
    block: type[HdaRegs | StreamRegs], typed: dict[str, tuple[int, int]]
) -> None:
    found = {
        name.partition(".")[2]: (offset, kind.width // 8)
        for offset, (name, kind) in block.registers().items()
    }
    assert found == typed


def test_words_are_made_as_the_specification_makes_them() -> None:
    assert FMT(BASE=Base.HZ_44100, BITS=1, CHAN=1).raw == 0x4011
    assert FMT(BASE=Base.HZ_48000, MULT=1, BITS=3, CHAN=5).raw == 0x0835
    assert c.Command(CAD=2, NID=0x14, VERB=c.Verb.SET_PIN, PAYLOAD=0x40).raw == 0x2147_0740
    every = c.AmpSet(OUTPUT=True, LEFT=True, RIGHT=True, GAIN=0x4A)
    assert every.raw == 0xB04A
    assert c.AmpSet(INPUT=True, INDEX=3, LEFT=True, MUTE=True).raw == 0x6380
    assert bytes(BDLE(ADDRESS=0x1_0000_0080, LENGTH=2048, FLAGS=1)) == bytes.fromhex(
        "80000000010000000008000001000000"
    )
    assert RIRBE.load(bytes.fromhex("2200f41a12000000")).RESPONSE == 0x1AF4_0022


def test_a_configuration_default_is_read_as_the_specification_reads_it() -> None:
    pin = c.Configuration.of(0x0321_1020)
    assert (pin.PORT, pin.DEVICE, pin.LOCATION) == (c.Connectivity.JACK, c.Device.HP_OUT, 3)
    assert (pin.CONNECTION, pin.COLOR, pin.NO_PRESENCE) == (1, 1, False)
    assert (pin.ASSOCIATION, pin.SEQUENCE) == (2, 0)
    assert c.Configuration.of(0x90A6_0130).DEVICE is c.Device.MIC_IN
    assert c.Configuration.of(0x4000_01F0).PORT is c.Connectivity.NONE


def test_what_is_known_of_a_controller_is_found_by_its_ids() -> None:
    def ids(vendor: int, device: int) -> PciIds:
        return PciIds(vendor, device, 0, 0, 0x040300, 0)

    assert of_controller(ids(0x10DE, 0x026C)).address_32
    assert not of_controller(ids(0x8086, 0x2668)).why
    assert of_controller(ids(0x1106, 0x3288)).no_position_buffer
    assert not of_controller(ids(0x1106, 0x3289)).no_position_buffer
    assert all(quirk.why for quirk in QUIRKS)


def tree(codec: object) -> str:
    bench = Bench({0: codec})  # type: ignore[dict-item]
    return bench.start().codec_text(0)


def test_a_laptops_tree_reads_as_in_proc_asound() -> None:
    text = tree(laptop())
    assert text.startswith(
        "Codec: Realtek Generic\n"
        "Address: 0\n"
        "AFG Function Id: 0x1 (unsol 1)\n"
        "Vendor Id: 0x10ec0256\n"
        "Subsystem Id: 0x10280000\n"
        "Revision Id: 0x100101\n"
        "No Modem Function Group found\n"
        "Default PCM:\n"
        "    rates [0x7f0]: 32000 44100 48000 88200 96000 176400 192000\n"
        "    bits [0x2]: 16\n"
        "    formats [0x1]: PCM\n"
        "Default Amp-In caps: ofs=0x17, nsteps=0x1f, stepsize=0x05, mute=1\n"
        "Default Amp-Out caps: ofs=0x57, nsteps=0x57, stepsize=0x02, mute=0\n"
        "State of AFG node 0x01:\n"
        "  Power states: \n"
        "  Power: setting=D0, actual=D0\n"
        "GPIO: io=0, o=0, i=0, unsolicited=0, wake=0\n"
        "Node 0x02 [Audio Output] wcaps 0x5: Stereo Amp-Out\n"
        "  Amp-Out caps: N/A\n"
        "  Amp-Out vals:  [0x57 0x57]\n"
    )
    assert (
        "Node 0x0c [Audio Mixer] wcaps 0x200103: Stereo Amp-In\n"
        "  Amp-In caps: N/A\n"
        "  Amp-In vals:  [0x17 0x17] [0x80 0x80]\n"
        "  Connection: 2\n"
        "     0x02 0x18\n"
    ) in text
    assert (
        "Node 0x14 [Pin Complex] wcaps 0x400105: Stereo Amp-Out\n"
        "  Amp-Out caps: N/A\n"
        "  Amp-Out vals:  [0x57 0x57]\n"
        "  Pincap 0x00010014: OUT EAPD Detect\n"
        "  EAPD 0x2: EAPD\n"
        "  Pin Default 0x90170110: [Fixed] Speaker at Int N/A\n"
        "    Conn = Analog, Color = Unknown\n"
        "    DefAssociation = 0x1, Sequence = 0x0\n"
        "    Misc = NO_PRESENCE\n"
        "  Pin-ctls: 0x40: OUT\n"
    ) in text
    assert (
        "  Pincap 0x00003724: IN Detect\n"
        "    Vref caps: HIZ 50 GRD 80 100\n"
        "  Pin Default 0x03a11040: [Jack] Mic at Ext Left\n"
        "    Conn = 1/8, Color = Black\n"
    ) in text
    assert "  Unsolicited: tag=01, enabled=1\n" in text
    assert "  Connection: 2\n     0x18 0x12*\n" in text


def test_a_desktops_tree_tells_each_format() -> None:
    text = tree(desktop())
    assert text.count("  PCM:\n") == 2
    assert "  Converter: stream=1, channel=0\n" in text
    assert "  SDI-Select: 0\n" in text
    assert "[Jack] Line In at Ext Rear\n" in text
