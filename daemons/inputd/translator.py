"""What one of Linux's input devices says, as events of Orbital.  Pure: knows no Linux.

Ref: Documentation/input/event-codes.rst, multi-touch-protocol.rst and gamepad.rst of the kernel;
linux/input-event-codes.h.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from daemons.inputd.consumer import Record
from daemons.inputd.linuxkeys import KEYS
from redbear_host.abi.orbital import POINTER_RANGE, PRESSED, EventCode

EV_SYN, EV_KEY, EV_REL, EV_ABS = range(4)
SYN_REPORT, SYN_DROPPED = 0, 3
REL_X, REL_Y, REL_HWHEEL, REL_WHEEL = 0, 1, 6, 8
REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES = 11, 12
ABS_X, ABS_Y = 0, 1
BTN_TOUCH, BTN_TOOL_FINGER = 0x14A, 0x145
BTN_GAMEPAD: Final = 0x130

_BUTTONS: Final = {  # of a mouse or a pen, and Orbital's bits
    0x110: 1, 0x111: 4, 0x112: 2,  # BTN_LEFT, _RIGHT, _MIDDLE
    0x14B: 4, 0x14C: 2,  # BTN_STYLUS, BTN_STYLUS2
}  # fmt: skip
_PADS: Final = (range(0x120, 0x140), range(0x220, 0x224), range(0x2C0, 0x2E8))
_AXES_END: Final = 0x18  # ABS_HAT3Y and those before it: what a game controller has
_DETENT: Final = 120  # of a hi-res wheel
_PAD_WIDTH: Final = 1500  # how far a finger moves the pointer across a touchpad
_CENTRE: Final = 1 << 15  # axes are told from -_CENTRE to _CENTRE - 1


@dataclass(frozen=True)
class Shape:
    """What a device has: codes by kind, ranges of axes, and whether one touches a screen."""

    number: int  # N of /dev/input/eventN: the id of a game controller
    keys: frozenset[int] = frozenset()
    axes: frozenset[int] = frozenset()
    ranges: dict[int, tuple[int, int]] = field(default_factory=dict)
    direct: bool = False

    @property
    def is_controller(self) -> bool:
        """Whether it is for games."""
        return any(code in pads for pads in _PADS[:1] for code in self.keys)

    @property
    def is_touchpad(self) -> bool:
        """Whether its axes are where a finger is, and not where the pointer is."""
        return BTN_TOOL_FINGER in self.keys and not self.direct

    @property
    def is_useful(self) -> bool:
        """Whether it is a keyboard, points, or is for games."""
        points = {REL_X, REL_WHEEL} & self.axes or {ABS_X, ABS_Y} <= self.ranges.keys()
        return bool(points or self.is_controller or any(code in KEYS for code in self.keys))


class Translator:
    """Gathers what a device says, and tells it at the end of each report."""

    def __init__(self, shape: Shape) -> None:
        self._shape: Final = shape
        self._keys: list[Record] = []
        self._held: Final[set[int]] = set()  # Linux's codes: two may be one key of Orbital's
        self._buttons = 0
        self._dx = self._dy = 0
        self._wheel: Final = [0, 0]  # x, y in parts of a detent
        self._fine: Final = (
            REL_HWHEEL_HI_RES in shape.axes,
            REL_WHEEL_HI_RES in shape.axes,
        )
        self._at: Final[dict[int, int]] = {}  # axes of a pointer, in its own units
        self._moved = False
        self._finger: dict[int, int] | None = None  # where it was at the last report
        self._rest: Final = [0, 0]  # of its motion, in parts of a step
        self._pads: Final[dict[int, int]] = {}
        self._lost = False
        self.overran = False  # events were lost: nobody knows what is still held

    @property
    def down(self) -> frozenset[int]:
        """Linux's codes of the keys that are down."""
        return frozenset(self._held)

    def start(self, held: Iterable[int]) -> None:
        """Hear which keys were down before it was looked at: they are nobody's, but down."""
        self._held.update(held)

    def take(self, kind: int, code: int, value: int) -> list[Record] | None:
        """Take one event; None within a report, at its end what it says."""
        if kind == EV_SYN:
            if code == SYN_DROPPED:
                self._lost = True
            elif code == SYN_REPORT:
                return self._end()
        elif self._lost:
            pass  # the kernel's queue ran over: the rest of this report is half a truth
        elif kind == EV_KEY:
            self._key(code, value)
        elif kind == EV_REL:
            self._relative(code, value)
        elif kind == EV_ABS and code in self._shape.ranges:
            self._absolute(code, value)
        return None

    def _key(self, code: int, value: int) -> None:
        if value:
            self._held.add(code)
        else:
            self._held.discard(code)
        key = KEYS.get(code)
        if key is not None:
            if value or not any(KEYS.get(other) == key for other in self._held):
                self._keys.append((EventCode.KEY, 0, key | (PRESSED if value else 0)))
        elif value == 2:
            pass  # buttons do not repeat
        elif any(code in pads for pads in _PADS):
            which = self._shape.number | code << 32
            self._keys.append((EventCode.CONTROLLER_BUTTON, which, int(bool(value))))
        else:
            self._button(code, bool(value))

    def _button(self, code: int, pressed: bool) -> None:
        bit = _BUTTONS.get(code, 0)
        if code == BTN_TOUCH:
            self._finger = None
            if not self._shape.is_touchpad:
                bit = 1  # a finger or a pen on the screen
        if bit:
            self._buttons = self._buttons | bit if pressed else self._buttons & ~bit
            self._keys.append((EventCode.BUTTON, self._buttons, 0))

    def _relative(self, code: int, value: int) -> None:
        match code:
            case 0:
                self._dx += value
            case 1:
                self._dy += value
            case 6 | 8:
                if not self._fine[code == REL_WHEEL]:
                    self._turn(code == REL_WHEEL, value * _DETENT)
            case 11 | 12:
                self._turn(code == REL_WHEEL_HI_RES, value)

    def _turn(self, which: int, parts: int) -> None:
        if parts * self._wheel[which] < 0:
            self._wheel[which] = 0  # turned back: the wheel has settled between two detents
        self._wheel[which] += parts

    def _absolute(self, code: int, value: int) -> None:
        low, high = self._shape.ranges[code]
        value = max(low, min(high, value))
        if self._shape.is_controller:
            if code < _AXES_END:
                self._pads[code] = (value - low) * (2 * _CENTRE - 1) // (high - low) - _CENTRE
        elif code in (ABS_X, ABS_Y):
            self._at[code] = value
            self._moved = True

    def _end(self) -> list[Record]:
        """Return the report as records: first motion, then wheels, keys and buttons."""
        if self._lost:
            self._lost, self.overran = False, True
            self._forget()
            return []
        out: list[Record] = []
        if self._moved:
            self._moved = False
            if self._shape.is_touchpad:
                self._slide()
            elif len(self._at) == 2:
                out.append((EventCode.MOUSE, self._place(ABS_X), self._place(ABS_Y)))
        if self._dx or self._dy:
            out.append((EventCode.MOUSE_RELATIVE, self._dx, self._dy))
            self._dx = self._dy = 0
        if any(self._wheel):
            x, y = (int(parts / _DETENT) for parts in self._wheel)
            if x or y:
                self._wheel[0] -= x * _DETENT
                self._wheel[1] -= y * _DETENT
                out.append((EventCode.SCROLL, x, y))
        if self._pads:
            number = self._shape.number
            pads = self._pads.items()
            out += [(EventCode.CONTROLLER_AXIS, number | code << 32, at) for code, at in pads]
            self._pads.clear()
        out += self._keys
        self._keys.clear()
        return out

    def _place(self, code: int) -> int:
        low, high = self._shape.ranges[code]
        return (self._at[code] - low) * POINTER_RANGE // (high - low)

    def _slide(self) -> None:
        """Move the pointer as far as the finger has moved."""
        before, self._finger = self._finger, dict(self._at)
        if before is None or BTN_TOUCH not in self._held:
            return
        for axis, code in enumerate((ABS_X, ABS_Y)):
            low, high = self._shape.ranges[code]
            parts = (self._at.get(code, 0) - before.get(code, self._at.get(code, 0))) * _PAD_WIDTH
            steps, self._rest[axis] = divmod(parts + self._rest[axis], high - low)
            if axis:
                self._dy += steps
            else:
                self._dx += steps

    def _forget(self) -> None:
        self._keys.clear()
        self._held.clear()
        self._buttons = self._dx = self._dy = 0
        self._wheel[:] = 0, 0
        self._pads.clear()
        self._at.clear()
        self._moved = False
        self._finger = None
