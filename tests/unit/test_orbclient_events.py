"""orbclient's events: records become kinds, and whatever comes is some event."""

from __future__ import annotations

import random
import struct

import pytest

from orbital import orbclient as orb
from orbital.orbclient.events import decode
from redbear_host.abi.orbital import EventCode, OrbitalEvent


@pytest.mark.parametrize(
    ("code", "a", "b", "event"),
    [
        (EventCode.KEY, ord("q"), 0x110, orb.Key("q", 0x10, True)),
        (EventCode.KEY, 0, 0x4B, orb.Key("", 0x4B, False)),
        (EventCode.TEXT_INPUT, 0x1F600, 0, orb.TextInput("\U0001f600")),
        (EventCode.TEXT_INPUT, 0xD800, 0, orb.TextInput("")),
        (EventCode.MOUSE, 3, -1, orb.Mouse(3, -1)),
        (EventCode.MOUSE_RELATIVE, -5, 7, orb.MouseRelative(-5, 7)),
        (EventCode.BUTTON, 0b101, 0, orb.Button(True, False, True)),
        (EventCode.SCROLL, 0, -1, orb.Scroll(0, -1)),
        (EventCode.QUIT, 0, 0, orb.Quit()),
        (EventCode.FOCUS, 1, 0, orb.Focus(True)),
        (EventCode.MOVE, -32, 48, orb.Move(-32, 48)),
        (EventCode.RESIZE, 640, 480, orb.Resize(640, 480)),
        (EventCode.SCREEN, 1920, 1080, orb.Screen(1920, 1080)),
        (EventCode.SCALE, 240, 160, orb.Scale(1.5)),
        (EventCode.SCALE, 320, 0, orb.Scale(2.0)),
        (EventCode.CLIPBOARD, 3, 12, orb.Clipboard(3, 12)),
        (EventCode.CLIPBOARD_UPDATE, 0, 0, orb.ClipboardUpdate()),
        (EventCode.HOVER, 0, 0, orb.Hover(False)),
        (EventCode.CONTROLLER_AXIS, 1, 2, orb.Unknown(20, 1, 2)),
        (99, 1, 2, orb.Unknown(99, 1, 2)),
    ],
)
def test_a_record_is_one_event(code: int, a: int, b: int, event: orb.Event) -> None:
    record = bytes(OrbitalEvent(code=code, a=a, b=b))
    assert list(decode(record)) == [event]
    assert list(decode(record + record + record[:23])) == [event, event]


def test_every_record_is_some_event() -> None:
    dice = random.Random(5)
    for _ in range(20_000):
        code = dice.choice((dice.randrange(-2, 30), dice.getrandbits(63)))
        a, b = (dice.randrange(-(1 << dice.randrange(1, 64)), 1 << 63) for _ in range(2))
        (event,) = decode(struct.pack("<qqq", code, a, b))
        assert isinstance(event, tuple)
