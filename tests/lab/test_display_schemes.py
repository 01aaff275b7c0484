"""vesad and virtio-gpud: what a scheme drew is what QEMU shows, pixel for pixel."""

from __future__ import annotations

import errno
import struct
import subprocess
import time
from contextlib import ExitStack

import pytest
from PIL import Image
from screen_rig import Screen, pattern

from redbear_host import client
from redbear_host.abi import display as abi
from redbear_host.abi import flags as f
from redbear_host.abi.display import Verb

pytestmark = pytest.mark.timeout(120)

CARDS = {
    "vga": "vesad",
    "bochs-display": "vesad",
    "virtio-gpu": "virtio_gpud",
}
SIZES = [(640, 480), (1024, 768), (1280, 800)]


@pytest.fixture(params=["vga", "virtio-gpu"])
def screen(request, tmp_path):
    with Screen(tmp_path, request.param, "xres=1024,yres=768") as made:
        made.daemon_name = CARDS[request.param]
        yield made


def black(width, height):
    return Image.new("RGB", (width, height))


@pytest.mark.parametrize("kind", CARDS)
def test_what_is_drawn_through_v2_is_seen_in_several_modes(tmp_path, kind):
    with Screen(tmp_path, kind, "xres=1024,yres=768") as screen:
        terminal = screen.terminal()
        assert terminal.size() == (1024, 768)
        assert terminal.modes()[0].preferred
        offered = {(mode.width, mode.height) for mode in terminal.modes()}
        for seed, size in enumerate(SIZES):
            assert size in offered
            terminal.set_mode(*size)
            assert terminal.size() == size
            picture = pattern(*size, seed)
            buffer = terminal.buffer(*size)
            buffer.draw(picture)
            terminal.update(buffer)
            screen.until_shown(picture)
            # A part: what lies beside the damage is not touched.
            buffer.draw(pattern(200, 100, 9), 37, 41)
            terminal.update(buffer, (37, 41, 200, 100))
            screen.until_shown(buffer.image)
            buffer.draw(pattern(30, 20, 11), 0, 0)  # the other buffer, where there are two
            terminal.update(buffer, (0, 0, 30, 20))
            screen.until_shown(buffer.image)


def test_a_shell_draws_on_v1(screen):
    picture = pattern(1024, 768, 3)
    data = picture.tobytes("raw", "BGRX")
    (screen.folder / "image.bgra").write_bytes(data)
    target = screen.files / "1"
    subprocess.run(
        f"cat image.bgra > {target}", shell=True, cwd=screen.folder, check=True, timeout=60
    )
    screen.until_shown(picture)
    assert target.stat().st_size == len(data)
    assert target.read_bytes() == data
    # One row in the middle, by an offset.
    row = b"\x10\x20\x30\0" * 1024
    subprocess.run(
        f"dd of={target} bs=4096 seek=100 conv=notrunc status=none",
        shell=True, input=row, check=True, timeout=60,
    )  # fmt: skip
    picture.paste((0x30, 0x20, 0x10), (0, 100, 1024, 101))
    screen.until_shown(picture)


def test_plain_programs_read_sizes_and_modes_and_set_them(screen):
    assert (screen.files / "size").read_text() == "0 1024x768\n"
    modes = (screen.files / "modes").read_text().splitlines()
    assert modes[0].startswith("0 1024x768 ")
    assert modes[0].endswith(" preferred")
    assert (screen.files / "edid").read_bytes()[:8] == b"\0\xff\xff\xff\xff\xff\xff\0"
    (screen.files / "size").write_text("800x600\n")
    assert (screen.files / "size").read_text() == "0 800x600\n"
    screen.until_shown(black(800, 600))
    with pytest.raises(OSError, match="Invalid argument"):
        (screen.files / "size").write_text("801x600\n")


def test_a_terminal_that_is_not_active_is_shown_when_it_is_activated(screen):
    one, two = screen.terminal(1), screen.terminal(2)
    pictures = [pattern(1024, 768, seed) for seed in (5, 6)]
    buffers = [terminal.buffer(1024, 768) for terminal in (one, two)]
    for terminal, buffer, picture in zip((one, two), buffers, pictures, strict=True):
        buffer.draw(picture)
        terminal.update(buffer)
    screen.until_shown(pictures[1])  # the one that was opened last
    buffers[0].draw(pattern(64, 64, 7), 100, 100)
    one.update(buffers[0], (100, 100, 64, 64))
    screen.until_shown(pictures[1])
    (screen.files / "active").write_text("1\n")
    assert (screen.files / "active").read_text() == "1\n"
    screen.until_shown(buffers[0].image)


def test_the_picture_of_a_killed_daemon_comes_back_by_itself(screen, capsys):
    terminal = screen.terminal()
    buffer = terminal.buffer(1024, 768)
    buffer.draw(pattern(1024, 768, 8))
    terminal.update(buffer)
    began = time.monotonic()
    screen.kill(screen.daemon_name)
    screen.until_shown(buffer.image)
    took = time.monotonic() - began
    with capsys.disabled():
        print(f"\n{screen.daemon_name}: the picture is back after {took * 1000:.0f} ms")
    assert took < 5
    # The client goes on: what it has mapped is what the successor shows.
    again = screen.terminal()
    buffer.draw(pattern(300, 200, 9), 50, 60)
    again.update(buffer, (50, 60, 300, 200))
    screen.until_shown(buffer.image)


def test_a_shell_goes_on_drawing_when_the_daemon_is_killed(screen):
    with (screen.files / "1").open("r+b", buffering=0) as file:
        picture = pattern(1024, 768, 1)
        file.write(picture.tobytes("raw", "BGRX"))
        screen.until_shown(picture)
        screen.kill(screen.daemon_name)
        screen.until_shown(picture)
        file.seek(4096 * 10)
        file.write(b"\xff\xff\xff\0" * 1024)
        picture.paste((255, 255, 255), (0, 10, 1024, 11))
        screen.until_shown(picture)


def test_hostile_calls_are_refused_and_the_next_client_is_served(screen):
    terminal = screen.terminal()

    def refused(verb, record, more=b""):
        with pytest.raises(OSError) as caught:  # noqa: PT011
            terminal.call(verb, record, more)
        return caught.value.errno

    create = Verb.CREATE_DUMB_FRAMEBUFFER
    for width, height in ((0, 1), (1, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x10000, 0x10000), (16385, 1)):
        assert refused(create, abi.CreateFramebuffer(width=width, height=height)) == errno.EINVAL
    buffer = terminal.buffer(64, 64)
    plane = abi.UpdatePlane(framebuffer=buffer.number, x=0xFFFFFFFF, y=1, width=0xFFFFFFFF)
    terminal.call(Verb.UPDATE_PLANE, plane)  # nothing of it lies in the buffer
    for display, number, expected in (
        (1 << 63, buffer.number, errno.EINVAL),
        (0, 0, errno.ENOENT),
        (0, (1 << 64) - 1, errno.ENOENT),
    ):
        plane = abi.UpdatePlane(display=display, framebuffer=number, width=1, height=1)
        assert refused(Verb.UPDATE_PLANE, plane) == expected
    other = screen.terminal(9)
    with pytest.raises(FileNotFoundError):
        other.update(buffer)
    with pytest.raises(FileNotFoundError):
        client.fmap(other.fd, 4096, offset=buffer.offset)
    with pytest.raises(OSError, match="range"):
        client.fmap(terminal.fd, buffer.size + 4096, offset=buffer.offset)
    assert refused(Verb.MODES, abi.DisplayId(display=77)) == errno.EINVAL
    with pytest.raises(OSError, match="Invalid"):
        client.call_rw(terminal.fd, bytearray(3), 0, [Verb.UPDATE_PLANE])
    with pytest.raises(OSError, match="Invalid"):
        client.call_rw(terminal.fd, bytearray(64), 0, [0xFFFF])
    made, refusals = 0, set()
    for _ in range(10_000):
        try:
            terminal.call(create, abi.CreateFramebuffer(width=16, height=16))
            made += 1
        except OSError as error:
            refusals.add(error.errno)
    assert made < 100
    assert refusals == {errno.ENFILE}
    other.close()
    last = screen.terminal(10)
    picture = pattern(1024, 768, 2)
    shown = last.buffer(1024, 768)
    shown.draw(picture)
    last.update(shown)
    screen.until_shown(picture)
    assert screen.daemon(screen.daemon_name)["restarts"] == 0


def test_a_mode_outlives_the_daemon(screen):
    terminal = screen.terminal()
    terminal.set_mode(800, 600)
    buffer = terminal.buffer(800, 600)
    buffer.draw(pattern(800, 600, 4))
    terminal.update(buffer)
    screen.until_shown(buffer.image)
    screen.kill(screen.daemon_name)
    screen.until_shown(buffer.image)
    assert (screen.files / "size").read_text() == "0 800x600\n"


def test_inputd_says_which_terminal_is_seen(screen):
    drawn = {}
    with ExitStack() as held:
        for _ in range(2):
            consumer = held.enter_context(client.open("/scheme/input/consumer", f.O_RDONLY))
            vt = int(consumer.fpath().rpartition("/")[2])
            terminal = screen.terminal(vt)
            drawn[vt] = terminal.buffer(1024, 768)
            drawn[vt].draw(pattern(1024, 768, vt))
            terminal.update(drawn[vt])
        for vt in (*drawn, *drawn):
            with client.open("/scheme/input/control", f.O_WRONLY) as control:
                control.write(struct.pack("<QQ", 1, vt))
            screen.until_shown(drawn[vt].image)
