"""Words for what codecs say in numbers, as people read them in Linux's /proc/asound.

Ref: HDA 7.3.3.31, tables 108 to 112 (configuration defaults), 7.3.4.6 (widgets).
"""

from __future__ import annotations

from typing import Final

from daemons.ihdad.codec.regs import Configuration, Connectivity, Device, WidgetKind

VENDORS: Final = {
    0x1002: "ATI",
    0x1013: "Cirrus Logic",
    0x1057: "Motorola",
    0x1095: "Silicon Image",
    0x10DE: "Nvidia",
    0x10EC: "Realtek",
    0x1102: "Creative",
    0x1106: "VIA",
    0x111D: "IDT",
    0x11C1: "LSI",
    0x11D4: "Analog Devices",
    0x13F6: "C-Media",
    0x14F1: "Conexant",
    0x17E8: "Chrontel",
    0x1854: "LG",
    0x19E5: "Huawei",
    0x1AEC: "Wolfson Microelectronics",
    0x1AF4: "QEMU",
    0x434D: "C-Media",
    0x8086: "Intel",
    0x8384: "SigmaTel",
}
WIDGETS: Final = {
    WidgetKind.OUTPUT: "Audio Output",
    WidgetKind.INPUT: "Audio Input",
    WidgetKind.MIXER: "Audio Mixer",
    WidgetKind.SELECTOR: "Audio Selector",
    WidgetKind.PIN: "Pin Complex",
    WidgetKind.POWER: "Power Widget",
    WidgetKind.KNOB: "Volume Knob Widget",
    WidgetKind.BEEP: "Beep Generator Widget",
    WidgetKind.VENDOR: "Vendor Defined Widget",
}
DEVICES: Final = {
    Device.LINE_OUT: "Line Out",
    Device.SPEAKER: "Speaker",
    Device.HP_OUT: "HP Out",
    Device.CD: "CD",
    Device.SPDIF_OUT: "SPDIF Out",
    Device.DIGITAL_OUT: "Digital Out",
    Device.MODEM_LINE: "Modem Line",
    Device.MODEM_HANDSET: "Modem Hand",
    Device.LINE_IN: "Line In",
    Device.AUX: "Aux",
    Device.MIC_IN: "Mic",
    Device.TELEPHONY: "Telephony",
    Device.SPDIF_IN: "SPDIF In",
    Device.DIGITAL_IN: "Digital In",
    Device.OTHER: "Other",
}
PORTS: Final = {
    Connectivity.JACK: "Jack",
    Connectivity.NONE: "N/A",
    Connectivity.FIXED: "Fixed",
    Connectivity.BOTH: "Both",
}
CONNECTIONS: Final = (
    *("Unknown", "1/8", "1/4", "ATAPI", "RCA", "Optical", "Digital", "Analog", "DIN", "XLR"),
    *("RJ11", "Comb"),
)
COLORS: Final = (
    *("Unknown", "Black", "Grey", "Blue", "Green", "Red", "Orange", "Yellow", "Purple", "Pink"),
    *("UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN", "White", "Other"),
)
_CHASSIS: Final = ("Ext", "Int", "Sep", "Oth")  # location bits 5:4
_SIDES: Final = ("N/A", "Rear", "Front", "Left", "Right", "Top", "Bottom")
_PLACES: Final = {
    0x07: "Rear Panel",
    0x08: "Drive Bar",
    0x17: "Riser",
    0x18: "HDMI",
    0x19: "ATAPI",
    0x37: "Mobile-In",
    0x38: "Mobile-Out",
}


def device(configuration: Configuration) -> str:
    """Name what a pin is for."""
    return DEVICES.get(configuration.DEVICE, "Reserved")


def connection(configuration: Configuration) -> str:
    """Name the kind of plug."""
    kind = configuration.CONNECTION
    if kind < len(CONNECTIONS):
        return CONNECTIONS[kind]
    return "Other" if kind == 0xF else "UNKNOWN"


def location(configuration: Configuration) -> str:
    """Say on which chassis and which side of it a pin is."""
    where = configuration.LOCATION
    side = where & 0xF
    place = _SIDES[side] if side < len(_SIDES) else _PLACES.get(where, "UNKNOWN")
    return f"{_CHASSIS[where >> 4 & 3]} {place}"
