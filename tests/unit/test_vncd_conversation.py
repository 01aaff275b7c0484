"""vncd's side of the conversation: versions, passwords, messages, keys."""

from __future__ import annotations

import struct

import pytest
from rfb_reader import Picture

from daemons.vncd import des
from daemons.vncd.access import Secrets, Tries
from daemons.vncd.conversation import Conversation
from daemons.vncd.cursor import Cursor
from daemons.vncd.keys import Keys
from daemons.vncd.messages import Outcome
from daemons.vncd.painter import Painter
from daemons.vncd.pixels import Malformed, PixelFormat, parse
from daemons.vncd.producer import Producer
from daemons.vncd.screen import Screen
from redbear_host.abi.orbital import OrbitalEvent
from redbear_host.abi.scancodes import Key

CHALLENGE = bytes(range(16))


class Host:
    name = "a desk"

    def __init__(self, password=None):
        self.access = Secrets(password, "token") if password else None
        self.heard = []

    def challenge(self):
        return CHALLENGE if self.access else None

    def admit(self, challenge, response):
        return "" if self.access.answers(challenge, response) else "the password is wrong"

    def key(self, symbol, scancode, pressed):
        self.heard.append(("key", symbol, scancode, pressed))

    def pointer(self, x, y, buttons):
        self.heard.append(("pointer", x, y, buttons))

    def resize(self, width, height):
        self.heard.append(("resize", width, height))
        return Outcome.PROHIBITED


def conversation(password=None):
    host = Host(password)
    screen = Screen(64, 48)
    talk = Conversation(host, lambda: Painter(screen, Cursor()))
    return talk, host


def said(talk):
    data = b"".join(talk.out)
    talk.out.clear()
    return data


def entered():
    talk, host = conversation()
    talk.receive(b"RFB 003.008\n\1\1")
    said(talk)
    return talk, host


def response(password):
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password[:8].ljust(8, b"\0"))
    return des.encrypt(key, CHALLENGE[:8]) + des.encrypt(key, CHALLENGE[8:])


@pytest.mark.parametrize(
    ("key", "plain", "cipher"),
    [  # FIPS 81, table B1; NIST SP 800-17, tables A.1, A.2 and A.4
        ("0123456789abcdef", b"Now is t".hex(), "3fa40e8a984d4815"),
        ("0123456789abcdef", b"he time for all ".hex(), "6a271787ab8883f9893d51ec4b563b53"),
        ("0101010101010101", "8000000000000000", "95f8a5e5dd31d900"),
        ("0101010101010101", "0000000000000001", "166b40b44aba4bd6"),
        ("8001010101010101", "0000000000000000", "95a8d72813daa94d"),
        ("7ca110454a1a6e57", "01a1d6d039776742", "690f5b0d9a26939b"),
        ("1c587f1c13924fef", "305532286d6f295a", "63fac0d034d9f793"),
    ],
)  # fmt: skip
def test_the_cipher_is_that_of_the_standard(key, plain, cipher):
    blocks = bytes.fromhex(plain)
    found = b"".join(
        des.encrypt(bytes.fromhex(key), blocks[at : at + 8]) for at in range(0, len(blocks), 8)
    )
    assert found.hex() == cipher


@pytest.mark.parametrize(
    ("version", "offered", "welcome"),
    [
        (b"RFB 003.003\n", b"\0\0\0\1", b""),
        (b"RFB 003.889\n", b"\0\0\0\1", b""),  # read as 3.3, RFC 6143 §7.1.1
        (b"RFB 003.007\n", b"\1\1", b""),
        (b"RFB 003.008\n", b"\1\1", b"\0\0\0\0"),
    ],
)
def test_a_viewer_without_password_comes_in(version, offered, welcome):
    talk, _ = conversation()
    assert said(talk) == b"RFB 003.008\n"
    talk.receive(version)
    assert said(talk) == offered
    if offered == b"\1\1":
        talk.receive(b"\1")
    assert said(talk) == welcome
    talk.receive(b"\0")
    data = said(talk)
    assert struct.unpack(">HH", data[:4]) == (64, 48)
    assert parse(data[4:20]) == PixelFormat(32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
    assert data[20:] == b"\0\0\0\6a desk"
    assert not talk.ended


@pytest.mark.parametrize("version", [b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n"])
@pytest.mark.parametrize("right", [True, False])
def test_the_password_decides(version, right):
    talk, _ = conversation(b"open sesame")  # of which eight characters count
    talk.receive(version)
    if version != b"RFB 003.003\n":
        talk.receive(b"\2")
    assert said(talk).endswith(CHALLENGE)
    assert talk.challenged  # whoever types a password has time
    talk.receive(response(b"open ses" if right else b"open sea"))
    answer = said(talk)
    assert answer[:4] == (b"\0\0\0\0" if right else b"\0\0\0\1")
    assert bool(talk.ended) is not right
    if version == b"RFB 003.008\n" and not right:
        assert answer[8:] == b"the password is wrong"
    talk.receive(b"\1")
    assert (talk.painter is not None) is right


def test_nobody_comes_in_by_a_security_that_was_not_offered():
    talk, _ = conversation(b"secret")
    talk.receive(b"RFB 003.008\n\1")
    assert talk.ended
    assert talk.painter is None


def test_messages_are_heard_in_pieces_of_any_size():
    messages = (
        b"\4\1\0\0\0\0\0a"
        b"\5\1\0\x0a\0\x14"
        b"\6\0\0\0\0\0\0\5hello"
        b"\6\0\0\0\xff\xff\xff\xfb" + bytes(5) +  # the extended clipboard's
        b"\xff\0\0\1\0\0\xff\x0d\0\0\0\x9c"
        b"\xfb\0\x01\0\x02\0\1\0" + bytes(16) + b"\4\0\0\0\0\0\0b"
    )  # fmt: skip
    wanted = [
        ("key", 0x61, 0, True),
        ("pointer", 10, 20, 1),
        ("key", 0xFF0D, 0x9C, True),
        ("resize", 256, 512),
        ("key", 0x62, 0, False),
    ]
    for size in (1, 2, 3, 7, len(messages)):
        talk, host = entered()
        for at in range(0, len(messages), size):
            talk.receive(messages[at : at + size])
        assert host.heard == wanted
        assert not talk.ended


def test_a_fence_is_answered_and_continuous_updates_are_announced():
    talk, _ = entered()
    talk.receive(b"\2\0\0\2" + struct.pack(">ii", -312, -313))
    assert said(talk) == b"\xf8\0\0\0\x80\0\0\0\0" + b"\x96"
    talk.receive(b"\xf8\0\0\0\x80\0\0\7\3abc")
    assert said(talk) == b"\xf8\0\0\0\0\0\0\7\3abc"
    talk.receive(b"\x96\1" + struct.pack(">HHHH", 0, 0, 64, 48))
    assert not said(talk)
    talk.receive(b"\x96\0" + bytes(8))
    assert said(talk) == b"\x96"


def test_a_colour_map_comes_before_pixels_that_need_it():
    talk, _ = entered()
    talk.receive(b"\0\0\0\0" + bytes((8, 8, 0, 0)) + bytes(12))
    answer = said(talk)
    assert answer[:6] == b"\1\0\0\0\1\0"
    assert len(answer) == 6 + 256 * 6
    talk.receive(b"\3\0" + struct.pack(">HHHH", 0, 0, 64, 48))
    picture = Picture(64, 48, (8, 8, 0, 1, 7, 7, 3, 5, 2, 0))
    assert picture.take(talk.painter.piece()) == b""


@pytest.mark.parametrize(
    "data",
    [
        b"\7", b"\xff\1" + bytes(10), b"\xf8\0\0\0\0\0\0\0\xff",
        b"\0\0\0\0" + bytes((24, 24, 0, 1)) + bytes(12),
        b"\0\0\0\0" + struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 254, 16, 8, 0),
        b"\0\0\0\0" + struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, 16, 8, 255),
        b"\0\0\0\0" + struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, 16, 8, 4),
        b"\0\0\0\0" + struct.pack(">BBBBHHHBBB3x", 16, 24, 0, 1, 255, 255, 255, 16, 8, 0),
        b"\0\0\0\0" + struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 0, 0, 0, 16, 8, 0),
        b"\0\0\0\0" + struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 0, 0, 0, 0, 16, 8, 0),
    ],
)  # fmt: skip
def test_nonsense_ends_the_conversation(data):
    talk, _ = entered()
    talk.receive(data)
    assert talk.ended.startswith("does not speak the protocol")


def test_four_gigabytes_of_clipboard_cost_nothing():
    talk, host = entered()
    talk.receive(b"\6\0\0\0\x7f\xff\xff\xff")
    for _ in range(100):
        talk.receive(bytes(8192))
    assert len(talk._in) < 1 << 14
    assert not host.heard


def test_a_format_that_nobody_can_have_is_refused():
    with pytest.raises(Malformed):
        parse(bytes(16))


# -- passwords -------------------------------------------------------------------------------------


def test_secrets_are_made_once_and_are_roots_alone(tmp_path):
    first = Secrets.load(tmp_path / "vnc", "")
    again = Secrets.load(tmp_path / "vnc", "")
    assert (first.password, first.token) == (again.password, again.token)
    assert len(first.password) == 8
    assert len(first.token) >= 32
    for name in ("password", "token"):
        assert (tmp_path / "vnc" / name).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "vnc").stat().st_mode & 0o777 == 0o700
    (tmp_path / "mine").write_text("my own\n")
    assert Secrets.load(tmp_path / "vnc", str(tmp_path / "mine")).password == "my own"
    (tmp_path / "mine").write_text("\n")
    with pytest.raises(ValueError, match="holds no password"):
        Secrets.load(tmp_path / "vnc", str(tmp_path / "mine"))


def test_a_secret_that_was_not_written_to_its_end_is_made_again(tmp_path):
    (tmp_path / "token").write_text("")
    (tmp_path / "password").write_text("x\n")
    secrets = Secrets.load(tmp_path, "")
    assert not secrets.opens("")
    assert len(secrets.token) >= 32
    assert len(secrets.password) == 8


def test_the_token_opens_and_nothing_else_does():
    secrets = Secrets(b"password", "a token")
    assert secrets.opens("a token")
    assert not any(map(secrets.opens, ("", "a toke", "a token ", "\udc80", "a tokeñ")))


def test_whoever_fails_often_waits_longer_and_longer():
    tries = Tries()
    now, waited = 1000.0, []
    for _ in range(12):
        assert tries.may("there", now)
        tries.failed("there", now)
        before = now
        while not tries.may("there", now):
            now += 0.5
        waited.append(now - before)
    assert waited == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 64]
    assert tries.may("elsewhere", now)
    tries.succeeded("there")
    assert tries.may("there", now)
    for number in range(1000):
        tries.failed(str(number), now)
    assert len(tries._failed) == 256


def test_who_has_many_addresses_fails_as_one():
    tries = Tries()
    for number in range(9):
        tries.failed(f"127.1.2.{number}", 0.0)
        tries.failed(f"2001:db8::{number}", 0.0)
        tries.failed(f"::ffff:192.0.2.{number}", 0.0)
    assert not any(map(tries.may, ("127.0.0.1", "::1", "2001:db8::ffff"), [1.0] * 3))
    assert all(map(tries.may, ("root", "2001:db8:0:1::1", "192.0.2.1"), [1.0] * 3))
    tries.succeeded("127.0.0.1")
    assert tries.may("127.9.9.9", 1.0)


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "key", "character"),
    [
        (ord("a"), Key.A, "a"), (ord("A"), Key.A, "A"), (ord("!"), Key.N1, "!"),
        (ord(" "), Key.SPACE, " "), (ord("\\"), Key.BACKSLASH, "\\"), (ord("?"), Key.SLASH, "?"),
        (ord("~"), Key.TICK, "~"), (ord('"'), Key.QUOTE, '"'), (ord("{"), Key.BRACE_OPEN, "{"),
        (ord("ß"), 0, "ß"), (ord("é"), 0, "é"), (0x20AC, 0, "€"), (0x0100_20AC, 0, "€"),
        (0x0101_F600, 0, "😀"), (0x0100_0061, Key.A, "a"),
        (0xFF0D, Key.ENTER, "\n"), (0xFF08, Key.BKSP, "\x7f"), (0xFF09, Key.TAB, "\t"),
        (0xFF1B, Key.ESC, "\x1b"), (0xFFB5, Key.NUM_5, "5"), (0xFF8D, Key.NUM_ENTER, "\n"),
        (0xFFAF, Key.NUM_SLASH, "/"), (0xFF95, Key.HOME, ""), (0xFF50, Key.HOME, ""),
        (0xFFBE, Key.F1, ""), (0xFFC9, Key.F12, ""), (0xFFE1, Key.LEFT_SHIFT, ""),
        (0xFFE4, Key.CTRL, ""), (0xFE03, Key.ALT_GR, ""), (0xFFEB, Key.LEFT_SUPER, ""),
        (0x1008FF11, Key.VOLUME_DOWN, ""),
    ],
)  # fmt: skip
def test_symbols_are_keys_and_characters(symbol, key, character):
    for pressed in (True, False):
        assert Keys().strokes(symbol, 0, pressed) == [(key, ord(character) if character else 0)]


@pytest.mark.parametrize("symbol", [0, 0x7F, 0x80, 0x0100_D800, 0x0111_0000, 0xFFFF_FFFF, 0xFF13])
def test_what_nobody_knows_is_no_key(symbol):
    assert Keys().strokes(symbol, 0, True) == []


@pytest.mark.parametrize(
    ("symbol", "scancode", "stroke"),
    [
        (ord("z"), 0x15, (Key.Y, ord("z"))),  # a German keyboard
        (ord("["), 0x09, (Key.N8, ord("["))),  # AltGr there
        (0, 0x1E, (Key.A, 0)), (0xFF0D, 0x9C, (Key.NUM_ENTER, 10)), (0, 0x47, (Key.NUM_7, 0)),
        (0xFF95, 0x47, (Key.HOME, 0)),  # the keypad without Num Lock
        (0, 0xC8, (Key.UP, 0)), (0xFFE4, 0x9D, (Key.CTRL, 0)), (0, 0xDB, (Key.LEFT_SUPER, 0)),
        (ord("<"), 0x56, (Key.LESS, ord("<"))), (ord("a"), 0x7E, (Key.A, ord("a"))),
    ],
)  # fmt: skip
def test_scancodes_say_which_key_it_is(symbol, scancode, stroke):
    assert Keys().strokes(symbol, scancode, True) == [stroke]


def test_accents_join_the_next_character():
    keys = Keys()

    def typed(*symbols):
        found = ""
        for symbol in symbols:
            for stroke in keys.strokes(symbol, 0, True):
                found += chr(stroke.character)
            keys.strokes(symbol, 0, False)
        return found

    assert typed(0xFE51, ord("e")) == "é"
    assert typed(0xFE57, ord("U")) == "Ü"
    assert typed(0xFE5A, ord("s"), ord("s")) == "šs"
    assert typed(0xFE52, ord("x")) == "x"


class Taker:
    is_expected = True

    def __init__(self, has_room):
        self.has_room = has_room
        self.records = []

    def write(self, data):
        self.records += [OrbitalEvent.load(data, at) for at in range(0, len(data), 24)]


def test_movements_that_nobody_has_taken_yet_are_one():
    taker = Taker(has_room=False)
    producer = Producer(taker)
    for x in range(100):
        producer.pointer(x, 0, 100, 100)
    producer.buttons(1)
    producer.pointer(99, 99, 100, 100)
    producer.flush()
    assert taker.records == []
    taker.has_room = True
    producer.flush()
    assert [record.code for record in taker.records] == [2, 3, 2]
    assert [record.a * 100 // 65536 for record in taker.records[::2]] == [99, 99]


def test_what_is_let_go_is_never_lost_and_nothing_else_finds_room():
    taker = Taker(has_room=False)
    producer = Producer(taker)
    producer.key(Key.LEFT_SHIFT, 0, True)
    producer.buttons(5)
    for _ in range(5000):
        producer.scroll(0, 1)
    for _ in range(10):
        producer.key(Key.LEFT_SHIFT, 0, False)
        producer.key(Key.A, 97, True)
        producer.key(Key.A, 97, False)
        producer.buttons(7)
        producer.buttons(1)
        producer.buttons(0)
    taker.has_room = True
    producer.flush()
    assert [(r.code, r.a, r.b) for r in taker.records[4096:]] == [
        (1, 0, Key.LEFT_SHIFT), (3, 1, 0), (3, 0, 0)
    ]  # fmt: skip


def test_nobody_is_surprised_later_by_what_was_typed_at_no_input():
    taker = Taker(has_room=False)
    producer = Producer(taker)
    producer.key(Key.A, 97, True)
    taker.is_expected = False
    producer.flush()
    producer.key(Key.B, 98, True)
    taker.is_expected = taker.has_room = True
    producer.flush()
    assert taker.records == []


def test_each_pixel_is_found_again():
    for size in (1, 2, 64, 1280, 1366, 8192):
        taker = Taker(has_room=True)
        producer = Producer(taker)
        for x in range(size):
            producer.pointer(x, 0, size, 1)
            producer.flush()
        assert [record.a * size // 65536 for record in taker.records] == list(range(size))
