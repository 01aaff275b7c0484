from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from redbear_host.errors import Gone, TransportError
from redbear_host.hw.qtest import wire as wire_module
from redbear_host.hw.qtest.window import Window
from redbear_host.hw.qtest.wire import POSTED_LIMIT, POSTED_RELAXED, Wire


class Line:
    """A wire whose far end the test holds: it puts the answers in before they are asked for."""

    def __init__(self) -> None:
        ours, self.qemu = socket.socketpair()
        self.left = 0
        with ours:
            self.wire = Wire(ours.fileno(), self._leave)

    def _leave(self) -> None:
        self.left += 1

    def answers(self, *lines: bytes) -> None:
        self.qemu.sendall(b"".join(line + b"\n" for line in lines))

    def sent(self) -> list[bytes]:
        self.qemu.setblocking(False)
        return self.qemu.recv(1 << 20).splitlines()


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr(wire_module, "PATIENCE_S", 0.05)
    line = Line()
    yield line
    line.wire.close()
    line.qemu.close()


def test_a_read_returns_the_number_in_its_answer(line: Line) -> None:
    line.answers(b"OK 0x00000000000000ff")
    assert line.wire.ask(b"readl 0x10\n") == 0xFF
    assert line.sent() == [b"readl 0x10"]


def test_a_read_waits_for_the_writes_before_it(line: Line) -> None:
    for value in range(3):
        line.wire.post(b"writel 0x10 %d\n" % value)
    line.answers(b"OK", b"OK", b"OK", b"OK 0x2")
    assert line.wire.ask(b"readl 0x10\n") == 2


def test_an_answer_may_come_in_pieces(line: Line) -> None:
    line.wire.post(b"writel 0x10 0x1\n")
    line.answers(b"OK")
    line.qemu.sendall(b"OK 0x1")
    line.qemu.sendall(b"234\n")
    assert line.wire.ask(b"readl 0x10\n") == 0x1234
    line.answers(b"OK 0x5")
    assert line.wire.ask(b"readl 0x10\n") == 5


def test_interrupt_lines_are_no_answers(line: Line) -> None:
    line.answers(b"IRQ raise 5", b"OK 0x7", b"IRQ lower 5")
    assert line.wire.ask(b"readl 0x10\n") == 7
    line.answers(b"OK", b"IRQ raise 5", b"OK 0x8")
    line.wire.post(b"writel 0x10 0x0\n")
    assert line.wire.ask(b"readl 0x10\n") == 8


def test_writes_are_posted_until_there_are_many(line: Line) -> None:
    for _ in range(POSTED_LIMIT - 1):
        line.wire.post(b"writel 0x10 0x0\n")
    line.answers(*[b"OK"] * (POSTED_LIMIT - POSTED_RELAXED))
    line.wire.post(b"writel 0x10 0x0\n")
    assert len(line.sent()) == POSTED_LIMIT
    line.answers(*[b"OK"] * POSTED_RELAXED)
    line.wire.flush()
    assert line.left == 0


@pytest.mark.parametrize("answer", [b"FAIL Unknown command 'x'", b"ERR 0x1"])
def test_a_refused_access_shows_qemus_words(line: Line, answer: bytes) -> None:
    line.answers(answer)
    with pytest.raises(TransportError, match=re.escape(repr(answer.decode()))):
        line.wire.ask(b"x\n")


def test_the_end_of_qemu_is_gone_from_then_on(line: Line) -> None:
    line.qemu.close()
    for _ in range(2):
        with pytest.raises(Gone):
            line.wire.ask(b"readl 0x10\n")
        with pytest.raises(Gone):
            line.wire.post(b"writel 0x10 0x0\n")
    line.wire.flush()
    assert line.wire.severed
    assert line.left == 1


def test_a_silent_qemu_is_gone(line: Line) -> None:
    with pytest.raises(Gone, match="does not answer"):
        line.wire.ask(b"readl 0x10\n")
    assert line.left == 1


def test_a_qemu_that_does_not_read_is_gone(line: Line) -> None:
    line.answers(*[b"OK"] * 20_000)
    refused = 0
    for _ in range(20_000):
        try:
            line.wire.post(b"writel 0x10 0x0\n")
        except Gone:
            refused += 1
    assert refused > 0
    assert line.left == 1


def test_a_closed_wire_cannot_be_used(line: Line) -> None:
    line.wire.close()
    with pytest.raises(ValueError, match="after it was closed"):
        line.wire.ask(b"readl 0x10\n")
    with pytest.raises(ValueError, match="after it was closed"):
        line.wire.post(b"writel 0x10 0x0\n")


def test_answers_to_a_predecessor_are_skipped(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module.secrets, "randbits", lambda bits: 0xABCD)
    memory = memoryview(bytearray(64))
    # The tail of one it had half read, what it never read, what looks like ours but is not.
    line.qemu.sendall(b"0012\n")
    line.answers(b"OK", b"OK 0x0000000000001234", b"IRQ raise 5", b"OK 0xabcd")
    line.answers(b"OK 0x000000000000abcd", b"OK 0x9")
    line.wire.resynchronise(memory, 16)
    assert line.sent() == [b"readq 0x10"]
    assert int.from_bytes(memory[16:24], "little") == 0xABCD
    assert line.wire.ask(b"readl 0x10\n") == 9


def test_a_conversation_that_never_ends_is_an_error(line: Line) -> None:
    line.answers(*[b"OK"] * wire_module.STRAY_LIMIT)
    with pytest.raises(TransportError, match="none is the answer to ours"):
        line.wire.resynchronise(memoryview(bytearray(8)), 0)


@pytest.mark.parametrize(
    ("ports", "verbs"),
    [
        (False, [b"readb", b"readw", b"readl", b"readq"]),
        (True, [b"inb", b"inw", b"inl"]),
    ],
)
def test_a_window_asks_for_exactly_the_width(line: Line, ports: bool, verbs: list[bytes]) -> None:
    window = Window(line.wire, 0x1000, 0x100, ports=ports)
    line.answers(*[b"OK 0x1"] * len(verbs))
    for read in (window.read8, window.read16, window.read32, window.read64)[: len(verbs)]:
        assert read(0x40) == 1
    assert line.sent() == [verb + b" 0x1040" for verb in verbs]


def test_a_window_writes_exactly_the_width(line: Line) -> None:
    window = Window(line.wire, 0x1000, 0x100)
    window.write8(1, 0xFF)
    window.write16(2, 0xFFFF)
    window.write32(4, 0xFFFF_FFFF)
    window.write64(8, 0xFFFF_FFFF_FFFF_FFFF)
    Window(line.wire, 0x60, 8, ports=True).write16(4, 0x12)
    assert line.sent() == [
        b"writeb 0x1001 0xff",
        b"writew 0x1002 0xffff",
        b"writel 0x1004 0xffffffff",
        b"writeq 0x1008 0xffffffffffffffff",
        b"outw 0x64 0x12",
    ]


def test_ports_have_no_64_bit_access(line: Line) -> None:
    window = Window(line.wire, 0x60, 8, ports=True)
    with pytest.raises(ValueError, match="no access of 8 bytes"):
        window.read64(0)
    with pytest.raises(ValueError, match="no access of 8 bytes"):
        window.write64(0, 0)


@pytest.mark.parametrize("value", [-1, 1 << 16])
def test_a_value_that_does_not_fit_is_not_written(line: Line, value: int) -> None:
    with pytest.raises(ValueError, match="does not fit in 2 bytes"):
        Window(line.wire, 0, 16).write16(0, value)
    line.wire.flush()
    with pytest.raises(BlockingIOError):
        line.sent()


def test_a_window_of_a_device_that_left_reads_as_all_ones(line: Line) -> None:
    window = Window(line.wire, 0, 16)
    line.wire.sever()
    window.write32(0, 0)
    assert (window.read8(0), window.read16(0)) == (0xFF, 0xFFFF)
    assert (window.read32(0), window.read64(0)) == ((1 << 32) - 1, (1 << 64) - 1)
    assert line.left == 1
