"""Verbs and parameters of codecs.

Ref: Intel High Definition Audio Specification, revision 1.0a, June 2010 ("HDA"); sections in
parentheses.
"""

from __future__ import annotations

from redbear_host.bits import Bits, SpecEnum, bits

# -- verbs (7.3.3) ---------------------------------------------------------------------------------


class Command(Bits):
    """What goes to a codec (7.3): a verb of 12 bits, or of 4 in the upper ones of VERB."""

    PAYLOAD: int = bits(7, 0)
    VERB: int = bits(19, 8)
    NID: int = bits(27, 20)
    CAD: int = bits(31, 28)


class Verb(SpecEnum):
    """Verbs, as they stand in Command.VERB (7.3.3, table 142).

    Those of 4 bits have a payload of 16, whose upper half is in the lower bits of VERB.
    """

    SET_FORMAT = 0x200            # 2h
    SET_AMP = 0x300               # 3h
    GET_FORMAT = 0xA00            # Ah
    GET_AMP = 0xB00               # Bh
    GET_COEFFICIENT = 0xC00       # Ch
    GET_COEFFICIENT_INDEX = 0xD00  # Dh
    SET_CONNECTION = 0x701
    SET_POWER = 0x705
    SET_STREAM = 0x706            # Converter Stream, Channel
    SET_PIN = 0x707               # Pin Widget Control
    SET_UNSOLICITED = 0x708
    EXECUTE_SENSE = 0x709
    SET_EAPD = 0x70C
    SET_DIGITAL = 0x70D           # Digital Converter, bits 7:0
    RESET = 0x7FF                 # Function Reset
    PARAMETER = 0xF00
    GET_CONNECTION = 0xF01        # Connection Select Control
    CONNECTIONS = 0xF02           # Connection List Entry
    GET_SDI = 0xF04
    GET_POWER = 0xF05
    GET_STREAM = 0xF06
    GET_PIN = 0xF07
    GET_UNSOLICITED = 0xF08
    GET_SENSE = 0xF09
    GET_EAPD = 0xF0C
    GET_DIGITAL = 0xF0D
    GET_KNOB = 0xF0F              # Volume Knob
    GET_GPIO_DATA = 0xF15
    GET_GPIO_ENABLE = 0xF16
    GET_GPIO_DIRECTION = 0xF17
    GET_GPIO_WAKE = 0xF18
    GET_GPIO_UNSOLICITED = 0xF19
    GET_GPIO_STICKY = 0xF1A
    GET_CONFIGURATION = 0xF1C     # Configuration Default
    GET_SUBSYSTEM = 0xF20         # Implementation Identification


class Parameter(SpecEnum):
    """Payload of Verb.PARAMETER (7.3.4)."""

    VENDOR = 0x00
    SUBSYSTEM = 0x01              # not in the specification; codecs answer 0 where they have none
    REVISION = 0x02
    NODES = 0x04                  # Subordinate Node Count
    FUNCTION = 0x05               # Function Group Type
    WIDGET = 0x09                 # Audio Widget Capabilities
    PCM = 0x0A                    # Supported PCM Size, Rates
    FORMATS = 0x0B                # Supported Stream Formats
    PIN = 0x0C                    # Pin Capabilities
    AMP_IN = 0x0D                 # Amplifier Capabilities
    CONNECTIONS = 0x0E            # Connection List Length
    POWER = 0x0F                  # Supported Power States
    PROCESSING = 0x10
    GPIO = 0x11
    AMP_OUT = 0x12
    KNOB = 0x13


class NodeCount(Bits):
    """Parameter.NODES (7.3.4.3)."""

    TOTAL: int = bits(7, 0)
    START: int = bits(23, 16)


class FunctionKind(SpecEnum):
    """FunctionType.KIND (7.3.4.4)."""

    AUDIO = 1
    MODEM = 2


class FunctionType(Bits):
    """Parameter.FUNCTION (7.3.4.4)."""

    KIND: FunctionKind = bits(7, 0)
    UNSOL: bool = bits(8)


class WidgetKind(SpecEnum):
    """WidgetCaps.TYPE (7.3.4.6)."""

    OUTPUT = 0x0
    INPUT = 0x1
    MIXER = 0x2
    SELECTOR = 0x3
    PIN = 0x4
    POWER = 0x5
    KNOB = 0x6
    BEEP = 0x7
    VENDOR = 0xF


class WidgetCaps(Bits):
    """Audio Widget Capabilities (7.3.4.6)."""

    STEREO: bool = bits(0)        # the lowest bit of the channel count less one
    IN_AMP: bool = bits(1)
    OUT_AMP: bool = bits(2)
    AMP_OVRD: bool = bits(3)      # Amp Param Override
    FORMAT_OVRD: bool = bits(4)   # Format Override
    STRIPE: bool = bits(5)
    PROC: bool = bits(6)          # Proc Widget
    UNSOL: bool = bits(7)         # Unsol Capable
    CONN_LIST: bool = bits(8)
    DIGITAL: bool = bits(9)
    POWER: bool = bits(10)        # Power Cntrl
    LR_SWAP: bool = bits(11)
    CP: bool = bits(12)           # CP Caps
    CHAN_EXT: int = bits(15, 13)  # Chan Count Ext
    DELAY: int = bits(19, 16)
    TYPE: WidgetKind = bits(23, 20)


class PcmCaps(Bits):
    """Supported PCM Size, Rates (7.3.4.7)."""

    R8000: bool = bits(0)
    R11025: bool = bits(1)
    R16000: bool = bits(2)
    R22050: bool = bits(3)
    R32000: bool = bits(4)
    R44100: bool = bits(5)
    R48000: bool = bits(6)
    R88200: bool = bits(7)
    R96000: bool = bits(8)
    R176400: bool = bits(9)
    R192000: bool = bits(10)
    R384000: bool = bits(11)
    B8: bool = bits(16)
    B16: bool = bits(17)
    B20: bool = bits(18)
    B24: bool = bits(19)
    B32: bool = bits(20)


class StreamFormats(Bits):
    """Supported Stream Formats (7.3.4.8)."""

    PCM: bool = bits(0)
    FLOAT32: bool = bits(1)
    AC3: bool = bits(2)


class PinCaps(Bits):
    """Pin Capabilities (7.3.4.9)."""

    IMPEDANCE: bool = bits(0)     # Impedance Sense Capable
    TRIGGER: bool = bits(1)       # Trigger Required
    PRESENCE: bool = bits(2)      # Presence Detect Capable
    HEADPHONE: bool = bits(3)     # Headphone Drive Capable
    OUTPUT: bool = bits(4)
    INPUT: bool = bits(5)
    BALANCED: bool = bits(6)      # Balanced I/O Pins
    HDMI: bool = bits(7)
    VREF: int = bits(15, 8)
    EAPD: bool = bits(16)
    DP: bool = bits(24)           # DisplayPort
    HBR: bool = bits(27)          # High Bit Rate


class AmpCaps(Bits):
    """Amplifier Capabilities (7.3.4.10)."""

    OFFSET: int = bits(6, 0)      # the step that is 0 dB
    STEPS: int = bits(14, 8)      # NumSteps, less one: the highest gain
    SIZE: int = bits(22, 16)      # StepSize, in 0.25 dB less one
    MUTE: bool = bits(31)         # Mute Capable


class ConnectionLength(Bits):
    """Connection List Length (7.3.4.11)."""

    LENGTH: int = bits(6, 0)
    LONG: bool = bits(7)          # Long Form: entries of 16 bits


class Processing(Bits):
    """Processing Capabilities (7.3.4.13)."""

    BENIGN: bool = bits(0)
    COEFFICIENTS: int = bits(15, 8)  # NumCoeff


class GpioCount(Bits):
    """GPI/O Count (7.3.4.14)."""

    GPIOS: int = bits(7, 0)
    GPOS: int = bits(15, 8)
    GPIS: int = bits(23, 16)
    UNSOL: bool = bits(30)
    WAKE: bool = bits(31)


class KnobCaps(Bits):
    """Volume Knob Capabilities (7.3.4.15)."""

    STEPS: int = bits(6, 0)
    DELTA: bool = bits(7)


class AmpSet(Bits, width=16):
    """Payload of Verb.SET_AMP (7.3.3.7)."""

    GAIN: int = bits(6, 0)
    MUTE: bool = bits(7)
    INDEX: int = bits(11, 8)
    RIGHT: bool = bits(12)
    LEFT: bool = bits(13)
    INPUT: bool = bits(14)
    OUTPUT: bool = bits(15)


class AmpGet(Bits, width=16):
    """Payload of Verb.GET_AMP (7.3.3.7)."""

    INDEX: int = bits(3, 0)
    LEFT: bool = bits(13)
    OUTPUT: bool = bits(15)


class ConverterStream(Bits, width=8):
    """Converter Stream, Channel (7.3.3.11)."""

    CHANNEL: int = bits(3, 0)
    STREAM: int = bits(7, 4)


class PinControl(Bits, width=8):
    """Pin Widget Control (7.3.3.13)."""

    VREF: int = bits(2, 0)        # VRefEn: 0 Hi-Z, 1 50 %, 2 ground, 4 80 %, 5 100 %
    IN: bool = bits(5)            # In Enable
    OUT: bool = bits(6)           # Out Enable
    HP: bool = bits(7)            # H-Phn Enable


class Unsolicited(Bits, width=8):
    """Unsolicited Response (7.3.3.14)."""

    TAG: int = bits(5, 0)
    ENABLE: bool = bits(7)


class Sense(Bits):
    """Pin Sense (7.3.3.15)."""

    PRESENCE: bool = bits(31)


class UnsolicitedResponse(Bits):
    """What a codec says unasked (7.3.3.14.1)."""

    TAG: int = bits(31, 26)


class Eapd(Bits, width=8):
    """EAPD/BTL Enable (7.3.3.16)."""

    BTL: bool = bits(0)
    EAPD: bool = bits(1)          # 1: the amplifier outside is on
    LR_SWAP: bool = bits(2)


class PowerState(Bits):
    """Power State (7.3.3.10)."""

    SET: int = bits(3, 0)
    ACT: int = bits(7, 4)
    ERROR: bool = bits(8)
    CLKSTOP: bool = bits(9)       # ClkStopOk
    RESET: bool = bits(10)        # SettingsReset


class Digital(Bits):
    """Digital Converter (7.3.3.9)."""

    DIGEN: bool = bits(0)         # Digital Enable
    V: bool = bits(1)             # Validity
    VCFG: bool = bits(2)          # Validity Configuration
    PRE: bool = bits(3)           # Preemphasis
    COPY: bool = bits(4)          # 1: no copyright
    AUDIO: bool = bits(5)         # 1: not PCM
    PRO: bool = bits(6)
    L: bool = bits(7)             # Generation Level
    CC: int = bits(14, 8)         # Category Code
    ICT: int = bits(19, 16)       # IEC Coding Type
    KAE: bool = bits(23)          # Keep Alive Enable


class Knob(Bits):
    """Volume Knob (7.3.3.29)."""

    VOLUME: int = bits(6, 0)
    DIRECT: bool = bits(7)


class Connectivity(SpecEnum):
    """Configuration.PORT (7.3.3.31)."""

    JACK = 0
    NONE = 1
    FIXED = 2
    BOTH = 3


class Device(SpecEnum):
    """Configuration.DEVICE (7.3.3.31, table 109)."""

    LINE_OUT = 0x0
    SPEAKER = 0x1
    HP_OUT = 0x2
    CD = 0x3
    SPDIF_OUT = 0x4
    DIGITAL_OUT = 0x5
    MODEM_LINE = 0x6
    MODEM_HANDSET = 0x7
    LINE_IN = 0x8
    AUX = 0x9
    MIC_IN = 0xA
    TELEPHONY = 0xB
    SPDIF_IN = 0xC
    DIGITAL_IN = 0xD
    OTHER = 0xF


class Configuration(Bits):
    """Configuration Default (7.3.3.31)."""

    SEQUENCE: int = bits(3, 0)
    ASSOCIATION: int = bits(7, 4)
    NO_PRESENCE: bool = bits(8)   # Misc: Jack Detect Override
    MISC: int = bits(11, 9)
    COLOR: int = bits(15, 12)
    CONNECTION: int = bits(19, 16)  # Connection Type
    DEVICE: Device = bits(23, 20)  # Default Device
    LOCATION: int = bits(29, 24)
    PORT: Connectivity = bits(31, 30)  # Port Connectivity
