"""What PS/2 devices are told and what they answer, and the codes of a keyboard.

Ref: IBM Personal System/2 Hardware Interface Technical Reference, "Keyboards (101- and 102-Key)"
and "Keyboard/Auxiliary Device Controller"; IBM PS/2 Mouse Technical Reference; Microsoft, Keyboard
Scan Code Specification, revision 1.3a, and the IntelliMouse's packets.
"""

from __future__ import annotations

from typing import Final

from redbear_host.abi.scancodes import Key

# -- commands --------------------------------------------------------------------------------------

RESET: Final = 0xFF                  # Reset: a self test, then SELF_TEST_PASSED
ENABLE: Final = 0xF4                 # Enable, of a mouse Enable Data Reporting
SET_RATE: Final = 0xF3               # Set Sampling Rate; a byte follows: reports a second
READ_TYPE: Final = 0xF2              # Read Device Type
CHOOSE_SET: Final = 0xF0             # Select Alternate Scan Codes; a byte follows

KNOCK: Final = (200, 100, 80)        # rates that let an IntelliMouse say that it has a wheel
USUAL_RATE: Final = 100              # reports a second

# -- answers ---------------------------------------------------------------------------------------

ACKNOWLEDGE: Final = 0xFA
RESEND: Final = 0xFE
SELF_TEST_PASSED: Final = 0xAA       # a device that was plugged in says so as well
MOUSE: Final = 0x00                  # the type of one without a wheel
WHEEL_MOUSE: Final = 0x03            # the type of an IntelliMouse
OVERRUN: Final = (0x00, 0xFF)        # of a keyboard: it had more keys than it can say

# -- a mouse's packet ------------------------------------------------------------------------------

LEFT, RIGHT, MIDDLE = 1, 2, 4        # byte 0
ALWAYS: Final = 8                    # byte 0: this bit is set
X_NEGATIVE, Y_NEGATIVE = 0x10, 0x20  # byte 0: bit 8 of the motion
OVERFLOWS: Final = 0xC0              # byte 0: the motion is more than it can say

# -- a keyboard's bytes ----------------------------------------------------------------------------

EXTENDED: Final = 0xE0               # another code follows
PAUSE: Final = 0xE1                  # two codes follow; this key is never released
SET_1_RELEASED: Final = 0x80         # a bit of the code
SET_2_RELEASED: Final = 0xF0         # the code follows

SET_1: Final[dict[int, int]] = {
    **{code: code for code in range(Key.ESC, Key.SCROLL + 1) if code != Key.PRTSC},
    0x37: Key.NUM_ASTERISK,
    0x47: Key.NUM_7, 0x48: Key.NUM_8, 0x49: Key.NUM_9, 0x4A: Key.NUM_MINUS,
    0x4B: Key.NUM_4, 0x4C: Key.NUM_5, 0x4D: Key.NUM_6, 0x4E: Key.NUM_PLUS,
    0x4F: Key.NUM_1, 0x50: Key.NUM_2, 0x51: Key.NUM_3, 0x52: Key.NUM_0, 0x53: Key.NUM_PERIOD,
    0x54: Key.PRTSC,                 # with Alt
    0x56: Key.LESS, 0x57: Key.F11, 0x58: Key.F12,
}
"""Codes of set 1."""

SET_1_EXTENDED: Final[dict[int, int]] = {
    0x1C: Key.NUM_ENTER, 0x1D: Key.CTRL, 0x35: Key.NUM_SLASH, 0x37: Key.PRTSC, 0x38: Key.ALT_GR,
    0x47: Key.HOME, 0x48: Key.UP, 0x49: Key.PGUP, 0x4B: Key.LEFT, 0x4D: Key.RIGHT,
    0x4F: Key.END, 0x50: Key.DOWN, 0x51: Key.PGDN, 0x52: Key.INS, 0x53: Key.DEL,
    0x5B: Key.LEFT_SUPER, 0x5C: Key.RIGHT_SUPER, 0x5D: Key.APP, 0x5E: Key.POWER, 0x5F: Key.SLEEP,
    0x10: Key.MEDIA_PREVIOUS, 0x19: Key.MEDIA_NEXT, 0x20: Key.MEDIA_MUTE,
    0x22: Key.MEDIA_PLAY_PAUSE, 0x24: Key.MEDIA_STOP, 0x2E: Key.VOLUME_DOWN, 0x30: Key.VOLUME_UP,
}
"""Codes of set 1 behind EXTENDED; the shifts that keyboards add of their own are not among them."""

TRANSLATION: Final = bytes.fromhex(
    "ff 43 41 3f 3d 3b 3c 58 64 44 42 40 3e 0f 29 59"
    "65 38 2a 70 1d 10 02 5a 66 71 2c 1f 1e 11 03 5b"
    "67 2e 2d 20 12 05 04 5c 68 39 2f 21 14 13 06 5d"
    "69 31 30 23 22 15 07 5e 6a 72 32 24 16 08 09 5f"
    "6b 33 25 17 18 0b 0a 60 6c 34 35 26 27 19 0c 61"
    "6d 73 28 74 1a 0d 62 6e 3a 36 1c 1b 75 2b 63 76"
    "55 56 77 78 79 7a 0e 7b 7c 4f 7d 4b 47 7e 7f 6f"
    "52 53 50 4c 4d 48 01 45 57 4e 51 4a 37 49 46 54"
    "80 81 82 41 54"
)
"""Codes of set 2 as codes of set 1: what a controller does that translates."""
