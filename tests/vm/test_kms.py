"""Linux's cards in the guest: what we read of them, and pictures as QEMU sees them.

`--device gpu --device bochs --device qxl --device slot`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from kms_desk import Desk, card_of, fill, state
from kms_user import eventually
from monitor import Monitor

from kernel_shim.seat import open_card
from orbital.drm import edid
from orbital.drm.card import Card
from orbital.drm.resources import PlaneKind
from orbital.output import Layer
from orbital.outputs.pipe import LegacyPipe, Parts
from orbital.rect import Rect
from redbear_host.errors import ConfigError

pytestmark = pytest.mark.timeout(240)

KINDS = {"gpu": "virtio_gpu", "bochs": "bochs-drm", "qxl": "qxl"}
WITH_CURSOR = ("gpu", "qxl")
RED, GREEN, BLUE, GREY = 0xC02010, 0x20A040, 0x2040C0, 0x808080
SIZE = (1024, 768)


def colours(picture):
    """Return all colours of a picture."""
    return {
        red << 16 | green << 8 | blue
        for red, green, blue in set(zip(*[iter(picture.rgb)] * 3, strict=True))
    }


def shown(monitor, kind, x, y, colour):
    """Wait for a pixel, as QEMU may be a moment behind what Linux says; return the picture."""

    def look():
        seen = monitor.screen(kind)
        there = x < seen.width and y < seen.height and seen.pixel(x, y) == colour
        return seen if there else None

    return eventually(look)


@pytest.fixture(scope="module")
def monitor():
    monitor = Monitor()
    yield monitor
    monitor.close()


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def desk(kind):
    desk = Desk(kind)
    desk.outputs[0].set_mode(*SIZE)
    yield desk
    desk.close()


@pytest.fixture
def card(kind):
    fd = open_card(card_of(kind))
    yield Card(fd, card_of(kind))
    os.close(fd)


def test_a_card_is_read_as_modetest_reads_it(kind, card):
    # Linux asks a monitor for the card's master, which modetest is not: it is told what we found.
    found = card.resources()
    ours = [card.connector(number) for number in found.connectors]
    words = ["modetest", "-M", card.driver, "-c", "-p"]
    told = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
    connectors, crtcs, planes = re.split(r"^(?:CRTCs|Planes):$", told, flags=re.M)
    assert [int(n) for n in re.findall(r"^(\d+)\t[\d(]", crtcs, re.M)] == found.crtcs
    rows = re.findall(r"^(\d+)\t\d+\t(\w+)\t(\S+)\s*\t\S+\t\t(\d+)", connectors, re.M)
    assert [(int(row[0]), row[1] == "connected", row[2]) for row in rows] == [
        (one.id, one.connected, one.name) for one in ours
    ]
    sizes = {(int(w), int(h)) for w, h in re.findall(r"^  #\d+ (\d+)x(\d+) ", connectors, re.M)}
    assert {mode[:2] for one in ours for mode in one.modes} == sizes
    rows = re.findall(r"^(\d+)\t\d+\t\d+\t[\d,]+\t\t[\d,]+\t\s*\d+\s*\t(0x\w+)", planes, re.M)
    mine = card.planes()
    assert [(int(number), int(mask, 16)) for number, mask in rows] == [
        (plane.id, plane.crtcs) for plane in mine
    ]
    formats = re.findall(r"^  formats: (.*)$", planes, re.M)
    assert [set(line.split()) for line in formats] == [
        {word.to_bytes(4, "little").decode() for word in plane.formats} for plane in mine
    ]
    assert card.driver == KINDS[kind]
    cursors = [plane for plane in mine if plane.kind is PlaneKind.CURSOR]
    assert bool(cursors) == (kind in WITH_CURSOR)
    if kind != "qxl":  # which has no EDID
        assert edid.read(card.edid(found.connectors[0])).maker == "RHT"


def test_what_is_drawn_is_what_qemu_sees(kind, desk, monitor):
    (output,) = desk.outputs
    left, right = Rect(100, 100, 300, 200), Rect(600, 400, 50, 70)
    desk.paint(output, (Rect(0, 0, *SIZE), GREY), (left, RED))
    for step in range(5):  # both buffers, and what each lacks of the other
        desk.paint(output, (right.moved(step * 60, 0), BLUE + step))
    frame = desk.frame(output)
    assert len(frame.pixels) >= SIZE[0] * SIZE[1] * 4
    seen = shown(monitor, kind, right.x + 4 * 60, right.y, BLUE + 4)
    assert (seen.width, seen.height) == SIZE
    assert seen.pixel(left.x, left.y) == seen.pixel(left.right - 1, left.bottom - 1) == RED
    assert seen.pixel(left.right, left.bottom) == GREY
    for step in range(5):
        assert seen.pixel(right.x + step * 60, right.bottom - 1) == BLUE + step
        assert seen.pixel(right.x + step * 60 + 55, right.y) == GREY
    assert len(colours(seen)) == 2 + 5


def test_another_mode_is_another_size(kind, desk, monitor):
    (output,) = desk.outputs
    desk.paint(output, (Rect(0, 0, *SIZE), GREEN))
    changed = []
    output.on_changed = lambda: changed.append(output.size)
    output.set_mode(800, 600)
    desk.run(lambda: changed)
    desk.paint(output, (Rect(0, 0, 800, 600), RED))
    assert changed[-1] == (800, 600)
    seen = shown(monitor, kind, 799, 599, RED)
    assert (seen.width, seen.height) == (800, 600)
    with pytest.raises(ValueError, match="no mode"):
        output.set_mode(801, 600)


def test_pictures_come_no_faster_than_a_screen_shows_them(desk):
    (output,) = desk.outputs
    desk.paint(output, (Rect(0, 0, *SIZE), GREY))
    begin = desk.loop.now()
    for _ in range(20):
        desk.paint(output, (Rect(0, 0, 8, 8), RED))
    assert desk.loop.now() - begin >= 19 / 76  # bochs says 75 Hz


def test_the_cursor_is_on_its_plane(kind, desk):
    (output,) = desk.outputs
    desk.paint(output, (Rect(0, 0, *SIZE), GREY))
    assert output.cursor_limits == ((64, 64) if kind in WITH_CURSOR else (0, 0))
    if kind not in WITH_CURSOR:
        return
    card = Card(desk.fds[desk.names[0]], "card")
    cursor = next(plane for plane in card.planes() if plane.kind is PlaneKind.CURSOR)

    def told():
        return state(desk.names[0]).split(f"plane[{cursor.id}]")[1].split("plane[")[0]

    output.set_cursor(memoryview(b"\xff\x80\x00\xff" * 16 * 24), 16, 24)
    output.move_cursor(333, 222)
    assert "crtc-pos=64x64+333+222" in told()
    assert "format=AR24" in told()
    output.move_cursor(-10, 700)
    assert "crtc-pos=64x64-10+700" in told()
    output.set_cursor(None, 0, 0)
    assert "crtc=(null)" in told()


def test_a_window_that_covers_the_screen_is_scanned_out_from_its_own_memory(kind, desk, monitor):
    """By a process that was given the memory, and neither the card nor its descriptor."""
    (output,) = desk.outputs
    desk.paint(output, (Rect(0, 0, *SIZE), GREY))
    lent = output.lend(*SIZE)
    if kind != "gpu":
        assert lent is None  # bochs exports nothing, and nobody can map what qxl does
        return
    whole = Rect(0, 0, *SIZE)
    fill(lent.pixels, lent.stride, whole, GREEN)
    layer = Layer(lent, whole, True)
    assert output.assign([layer]) == {0}
    desk.paint(output)
    assert colours(shown(monitor, kind, 0, 0, GREEN)) == {GREEN}
    row = "b'\\x10\\x20\\xc0\\xff' * 1024"
    script = f"import mmap; mmap.mmap({lent.fd}, {len(lent.pixels)})[:4096] = {row}"
    subprocess.run([sys.executable, "-c", script], pass_fds=[lent.fd], check=True, timeout=60)
    assert output.assign([layer]) == {0}
    assert output.begin() is not None
    output.present([Rect(0, 0, 1024, 1)])
    seen = shown(monitor, kind, 1023, 0, RED)
    assert seen.pixel(0, 1) == GREEN
    assert output.assign([]) == frozenset()
    desk.run(lambda: output.begin() is not None)
    desk.paint(output, (Rect(10, 10, 20, 20), BLUE))
    seen = shown(monitor, kind, 10, 10, BLUE)
    assert seen.pixel(500, 500) == GREY
    output.take_back(lent)


def test_half_a_screen_and_a_scaled_one_are_not_offered_to_the_primary_plane(kind, desk):
    (output,) = desk.outputs
    desk.paint(output, (Rect(0, 0, *SIZE), GREY))
    lent = output.lend(512, 768)
    if lent is not None:  # qxl and virtio_gpu would say yes
        assert output.assign([Layer(lent, Rect(0, 0, 512, 768), True)]) == frozenset()
        assert output.assign([Layer(lent, Rect(0, 0, *SIZE), True)]) == frozenset()
        output.take_back(lent)


def test_a_driver_is_driven_without_atomic_commits(kind, monitor):
    fd = open_card(card_of(kind))
    card = Card(fd, card_of(kind), atomic=False)
    assert not card.atomic
    connector = card.connector(card.resources().connectors[0])
    mode = next(mode for mode in connector.modes if mode[:2] == SIZE)
    parts = Parts(card.resources().crtcs[0], connector.id, None)
    pipe = LegacyPipe(card, parts)
    one, two = card.buffer(*SIZE), card.buffer(*SIZE)
    fill(one.pixels, one.stride, Rect(0, 0, *SIZE), RED)
    fill(two.pixels, two.stride, Rect(0, 0, *SIZE), GREEN)
    pipe.light(one.frame_buffer(), mode)
    shown(monitor, kind, 5, 5, RED)
    pipe.flip(two.frame_buffer(), [])
    os.set_blocking(fd, True)
    assert card.read_flips() == [parts.crtc]
    shown(monitor, kind, 5, 5, GREEN)
    pipe.dark()
    one.close()
    two.close()
    os.close(fd)


def test_two_cards_are_two_screens(monitor):
    desk = Desk("gpu", "bochs")
    first, second = desk.outputs
    first.set_mode(*SIZE)
    second.set_mode(800, 600)
    desk.paint(first, (Rect(0, 0, *SIZE), RED))
    desk.paint(second, (Rect(0, 0, 800, 600), BLUE))
    seen = shown(monitor, "gpu", 400, 300, RED), shown(monitor, "bochs", 400, 300, BLUE)
    assert [(one.width, one.height, one.pixel(400, 300)) for one in seen] == [
        (*SIZE, RED), (800, 600, BLUE),
    ]  # fmt: skip
    assert first.name != second.name
    desk.close()


def test_a_card_that_is_somebody_elses_is_not_taken(kind):
    name = card_of(kind)
    opens = f"import os, sys; os.open('/dev/dri/{name}', os.O_RDWR); "
    script = opens + "print(1, flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout.readline()
    with pytest.raises(ConfigError, match=rf"in use: python\S* \(process {other.pid}\)"):
        open_card(name)
    other.communicate(timeout=60)
    os.close(open_card(name))


def test_a_card_that_there_is_not_is_named_with_those_there_are():
    with pytest.raises(ConfigError, match="card9 cannot be used") as failed:
        open_card("card9")
    assert card_of("gpu") in failed.value.hint
    with pytest.raises(ConfigError, match="no such card"):
        open_card("../tty1")


def test_the_screen_is_let_go_and_had_again_as_it_was(kind, desk, monitor):
    (output,) = desk.outputs
    desk.paint(output, (Rect(0, 0, *SIZE), GREEN))
    ready = []
    output.on_ready = lambda: ready.append(True)
    desk.source.on_told({"seat": "release"})
    assert desk.said == [{"seat": "released"}]
    assert output.begin() is None
    desk.source.on_told({"seat": "acquired"})
    desk.run(lambda: ready)
    shown(monitor, kind, 1023, 767, GREEN)


def test_the_console_comes_back_when_the_card_is_closed(kind, monitor):
    desk = Desk(kind)
    (output,) = desk.outputs
    output.set_mode(*SIZE)
    desk.paint(output, (Rect(0, 0, *SIZE), GREEN))
    assert colours(shown(monitor, kind, 0, 0, GREEN)) == {GREEN}
    desk.close()
    eventually(lambda: GREEN not in colours(monitor.screen(kind)))
