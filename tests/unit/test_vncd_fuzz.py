"""vncd reads damage: from viewers, from browsers, at every place of a conversation."""

from __future__ import annotations

import random
import struct

import pytest
from fuzzing import rounds

from daemons.vncd import messages as m
from daemons.vncd.conversation import Conversation
from daemons.vncd.cursor import Cursor
from daemons.vncd.http import Page, Refusal, check_host, parse, upgrade
from daemons.vncd.keys import Keys
from daemons.vncd.messages import Outcome, Reason, Say
from daemons.vncd.painter import Painter
from daemons.vncd.screen import PIXELS_MOST, Screen, fits
from daemons.vncd.websocket import WebSocket
from redbear_host.classes.screen import Area

KINDS = [int(kind) for kind in Say]
FORMATS = [
    (32, 24, 0, 1, 255, 255, 255, 16, 8, 0), (16, 16, 1, 1, 31, 63, 31, 11, 5, 0),
    (8, 8, 0, 0, 0, 0, 0, 0, 0, 0), (8, 6, 0, 1, 3, 3, 3, 4, 2, 0),
]  # fmt: skip
ENCODINGS = [0, 1, 5, 6, 7, 16, -223, -239, -258, -308, -312, -313, -314, 2**31 - 1]


class Host:
    """Takes everything, and gives the screen every small size it is asked for."""

    name = "fuzz"

    def __init__(self, screen):
        self.screen = screen
        self.keys = Keys()
        self.painter = None

    def challenge(self):
        return None

    def admit(self, challenge, response):
        return ""

    def key(self, symbol, scancode, pressed):
        for stroke in self.keys.strokes(symbol, scancode, pressed):
            assert 0 <= stroke.key <= 0xFF
            assert 0 <= stroke.character <= 0x10FFFF

    def pointer(self, x, y, buttons):
        assert 0 <= buttons <= 0xFF

    def resize(self, width, height):
        assert not fits(width, height) or width * height <= PIXELS_MOST
        if 0 < width <= 200 and 0 < height <= 200:
            self.screen.resize(width, height)
            self.painter.resized(Reason.THIS_CLIENT)
            return Outcome.DONE
        return Outcome.NO_RESOURCES


def message(dice):
    """Something like a message, mostly whole."""
    kind = dice.choice(KINDS)
    match kind:
        case Say.SET_PIXEL_FORMAT:
            body = bytes(3) + struct.pack(">BBBBHHHBBB3x", *dice.choice(FORMATS))
        case Say.SET_ENCODINGS:
            chosen = dice.choices(ENCODINGS, k=dice.randrange(8))
            body = struct.pack(f">xH{len(chosen)}i", len(chosen), *chosen)
        case Say.UPDATE_REQUEST | Say.CONTINUOUS_UPDATES:
            body = bytes([dice.randrange(2)]) + struct.pack(">4H", *numbers(dice, 4))
        case Say.CUT_TEXT:
            size = dice.randrange(40)
            body = struct.pack(">3xi", dice.choice((size, -size))) + bytes(size)
        case Say.FENCE:
            size = dice.randrange(70)
            body = struct.pack(">3xIB", dice.getrandbits(32), size) + bytes(size)
        case Say.SET_DESKTOP_SIZE:
            count = dice.randrange(3)
            body = struct.pack(">xHHBx", *numbers(dice, 2), count) + bytes(16 * count)
        case Say.QEMU:
            body = b"\0" + struct.pack(">HII", dice.randrange(2), symbol(dice), dice.getrandbits(8))
        case Say.KEY:
            body = struct.pack(">B2xI", dice.randrange(2), symbol(dice))
        case _:
            body = dice.randbytes(5)
    return bytes([kind]) + body


def numbers(dice, count):
    return [dice.choice((0, 1, 63, 64, 65, 150, 65535, dice.getrandbits(16))) for _ in range(count)]


def symbol(dice):
    bits = dice.choice((7, 8, 16, 25, 32))
    return dice.choice((0xFE50, 0xFF00, 0x01000000, 0)) | dice.getrandbits(bits) & 0xFFFFFFFF


def damaged(dice, data):
    data = bytearray(data)
    for _ in range(dice.choice((0, 0, 0, 1, 3))):
        if data:
            data[dice.randrange(len(data))] = dice.getrandbits(8)
    return bytes(data[: dice.choice((len(data), len(data), dice.randrange(len(data) + 1)))])


@pytest.mark.fuzz
def test_no_viewer_makes_more_of_it_than_an_end():
    dice = random.Random(20)
    talk = painter = host = None
    ends = sent = 0
    for number in range(rounds(8_000)):
        if talk is None or talk.ended or dice.random() < 0.01:
            ends += talk is not None and bool(talk.ended)
            screen = Screen(dice.randint(1, 150), dice.randint(1, 150))
            host = Host(screen)
            painter = host.painter = Painter(screen, Cursor(visible=bool(dice.randrange(2))))
            talk = Conversation(host, lambda found=painter: found)
            talk.receive(damaged(dice, b"RFB 003.008\n") if not number % 7 else b"RFB 003.008\n")
            talk.receive(b"\1\1")
        talk.receive(damaged(dice, message(dice)))
        assert len(talk._in) <= 4 * 1024 + 64
        talk.out.clear()
        painter.changed(dice.getrandbits(9) & host.screen.all)
        for _ in range(dice.randrange(3)):
            if painter.busy:
                piece = painter.piece()
                sent += len(piece)
                assert len(piece) < 300_000
    assert ends > 10
    assert sent > 10_000


@pytest.mark.fuzz
def test_no_update_grows_with_what_is_asked_for():
    dice = random.Random(21)
    screen = Screen(300, 200)
    painter = Painter(screen, Cursor())
    for _ in range(rounds(2_000)):
        painter.ask(Area(*numbers(dice, 4)), bool(dice.randrange(2)))
        pieces = 0
        while painter.busy:
            painter.piece()
            pieces += 1
            assert pieces <= 2 * screen.bands * screen.columns


@pytest.mark.fuzz
def test_no_browser_makes_more_of_it_than_a_refusal():
    dice = random.Random(22)
    good = (
        b"GET /rfb?token=t HTTP/1.1\r\nHost: localhost:1\r\nOrigin: http://localhost:1\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"
    )
    page = Page(b"<script>1</script>")
    outcomes = {True: 0, False: 0}
    statuses = set()
    for _ in range(rounds(10_000)):
        try:
            request = parse(damaged(dice, good))
            host = check_host(request, "localhost")
            if request.path == "/rfb":
                upgrade(request, host, lambda token: token == "t")
            else:
                page.answer(request)
            outcomes[True] += 1
        except Refusal as refusal:
            outcomes[False] += 1
            statuses.add(refusal.status)
    assert min(outcomes.values()) > 100
    assert statuses == {400, 403, 404, 405, 421, 426}


@pytest.mark.fuzz
def test_no_frame_makes_more_of_it_than_a_close():
    dice = random.Random(23)
    socket, closed, bytes_out = WebSocket(), 0, 0
    for _ in range(rounds(10_000)):
        if socket.ended:
            assert socket.out[-1][:2] == b"\x88\x02"
            closed += 1
            socket = WebSocket()
        size = dice.choice((0, 1, 5, 125, 126, 300))
        head = bytes((dice.choice((0x82, 0x82, 0x82, 0x02, 0x80, 0x89, 0x8A)), 0x80))
        head = head[:1] + (
            bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        )
        bytes_out += len(socket.receive(damaged(dice, head + dice.randbytes(4 + size))))
        assert socket.ended or len(socket._in) < 16
        assert len(socket._payload) <= 125
        if not socket.ended:
            socket.out.clear()
    assert closed > 10
    assert bytes_out > 1000


def test_the_messages_fuzzed_are_all_there_are():
    assert set(m.Say) == set(map(Say, KINDS))
