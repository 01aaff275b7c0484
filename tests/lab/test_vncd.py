"""vncd, seen by programs nobody here wrote: vncdotool, tshark, Chromium; and by hostile ones."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
from background import in_thread
from base_rig import NOBODY
from chromium_rig import Chromium
from fuzzing import rounds
from PIL import Image
from up_rig import Up, redbear
from vnc_rig import EVENT, HEIGHT, SETTINGS, WIDTH, Caller, desk, picture, words

from redbear_host.abi.orbital import PRESSED
from redbear_host.abi.scancodes import Key

pytestmark = pytest.mark.timeout(180)

KEY, MOUSE, BUTTON, SCROLL, TEXT_INPUT = 1, 2, 3, 4, 13


@pytest.fixture(scope="module")
def screen():
    with desk() as found:
        yield found


@pytest.fixture(autouse=True)
def _quiet(request):
    if "screen" in request.fixturenames:
        request.getfixturevalue("screen").silent()


def until(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came so"
        time.sleep(0.02)


def pixel_at(event):
    return event[1] * WIDTH // 65536, event[2] * HEIGHT // 65536


def typed(text, *keys):
    found = []
    for character, key in zip(text, keys, strict=True):
        found += [(KEY, ord(character), key | PRESSED), (KEY, ord(character), key)]
    return found


def test_vncdotool_sees_what_was_drawn_pixel_for_pixel(screen, tmp_path):
    image = picture()
    screen.draw(words(image))
    assert screen.captured(tmp_path).tobytes() == image.tobytes()


def test_the_picture_outlives_vncd(screen, tmp_path):
    image = picture(seed=2)
    screen.draw(words(image))
    before = screen.ways
    assert screen.up.kill("vncd") < 5
    assert {**screen.ways, "viewers": []} == {**before, "viewers": []}
    assert screen.captured(tmp_path).tobytes() == image.tobytes()


def test_what_is_typed_arrives(screen):
    screen.vncdo("type", "vi a!", "key", "enter", "key", "esc", "key", "f5", "key", "ctrl-c")
    found = screen.heard(20)
    assert set(found[18:]) == {(KEY, 0, int(Key.CTRL)), (KEY, ord("c"), int(Key.C))}
    assert found[:18] == [
        *typed("vi a!\n\x1b", Key.V, Key.I, Key.SPACE, Key.A, Key.N1, Key.ENTER, Key.ESC),
        (KEY, 0, Key.F5 | PRESSED), (KEY, 0, Key.F5),
        (KEY, 0, Key.CTRL | PRESSED), (KEY, ord("c"), Key.C | PRESSED),
    ]  # fmt: skip


def test_what_is_dragged_and_rolled_arrives(screen):
    screen.vncdo(
        "move", 100, 50, "mousedown", 1, "move", 639, 399, "mouseup", 1, "click", 3, "click", 4
    )
    found = []
    while (SCROLL, 0, 1) not in found:
        found += screen.heard(1)
    others = [event for event in found if event[0] != MOUSE]
    assert others == [
        (BUTTON, 1, 0), (BUTTON, 0, 0), (BUTTON, 4, 0), (BUTTON, 0, 0), (SCROLL, 0, 1)
    ]  # fmt: skip
    assert pixel_at(found[found.index((BUTTON, 1, 0)) - 1]) == (100, 50)
    assert pixel_at(found[found.index((BUTTON, 0, 0)) - 1]) == (639, 399)


def test_who_goes_with_a_key_held_lets_it_go(screen):
    with Caller(screen.ways["socket"]) as viewer:
        viewer.socket.sendall(struct.pack(">BB2xI", 4, 1, 0xFFE1))
        viewer.socket.sendall(struct.pack(">BBHH", 5, 4, 10, 10))
        found = screen.heard(3)
    found += screen.heard(2)
    assert (KEY, 0, Key.LEFT_SHIFT | PRESSED) in found[:3]
    assert (BUTTON, 4, 0) in found[:3]
    assert set(found[3:]) == {(KEY, 0, int(Key.LEFT_SHIFT)), (BUTTON, 0, 0)}


def test_who_holds_more_than_a_hand_can_still_lets_all_go(screen):
    with Caller(screen.ways["socket"]) as viewer:
        for number in range(70):
            viewer.socket.sendall(struct.pack(">BB2xI", 4, 1, 0x0100_0430 + number))
        viewer.socket.sendall(struct.pack(">BB2xI", 4, 1, ord("x")))
        found = []
        while (KEY, ord("x"), Key.X | PRESSED) not in found:
            found += screen.heard(1)
    while (KEY, ord("x"), int(Key.X)) not in found:
        found += screen.heard(1)
    pressed = [a for _, a, b in found if b & PRESSED]
    assert len(pressed) == 71
    assert sorted(a for _, a, b in found if not b & PRESSED) == sorted(pressed)


def test_typing_goes_on_after_inputd_was_killed(screen):
    with Caller(screen.ways["socket"]) as viewer:
        viewer.update()
        screen.up.kill("inputd")
        screen.leave()
        screen.sit_down()

        def arrives():
            viewer.socket.sendall(struct.pack(">BB2xI", 4, 1, ord("x")))
            viewer.socket.sendall(struct.pack(">BB2xI", 4, 0, ord("x")))
            try:
                return screen.heard(2)[:1] == [(KEY, ord("x"), Key.X | PRESSED)]
            except AssertionError:
                return False

        until(arrives, 30)


def test_tshark_finds_nothing_malformed(screen, tmp_path):
    screen.draw(words(picture(seed=3)))
    _, port = screen.address
    file = tmp_path / "rfb.pcap"
    with subprocess.Popen(
        ["tcpdump", "-i", "lo", "-B", "65536", "-U", "--immediate-mode", "-w", file,
         f"port {port}"],
        stderr=subprocess.PIPE, text=True,
    ) as capture:  # fmt: skip
        try:
            assert "listening on" in capture.stderr.readline()
            screen.vncdo("type", "a", "move", 5, 5, "capture", tmp_path / "x.png")
            until(lambda: not screen.ways["viewers"])
        finally:
            capture.send_signal(signal.SIGINT)
            capture.wait(10)
    read = ["tshark", "-n", "-r", file, "-d", f"tcp.port=={port},vnc"]
    done = subprocess.run(
        [*read, "-T", "fields", "-e", "_ws.malformed", "-e", "_ws.expert.message", "-e", "vnc"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "Malformed" not in done.stdout
    whole = subprocess.run(
        [*read, "-V", "-Y", "vnc"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert "Message Type: Unknown" not in whole
    for what in ("Server protocol version: 003.008", "Authentication challenge", "Desktop name",
                 "Framebuffer Update", "Pointer Event"):  # fmt: skip
        assert what in whole


# -- the page --------------------------------------------------------------------------------------


@pytest.fixture
def browser(tmp_path):
    with Chromium(tmp_path, WIDTH, HEIGHT) as found:
        yield found


def shows(browser, image):
    return browser.picture().tobytes() == image.tobytes()


def test_chromium_shows_what_was_drawn_and_comes_back_by_itself(screen, browser):
    image = picture(seed=4)
    screen.draw(words(image))
    browser.visit(screen.ways["url"])
    until(lambda: shows(browser, image))
    assert browser.evaluate("location.href").endswith("/")  # the token is out of sight
    screen.silent()
    browser.key("a", "KeyA", "a")
    browser.key("Enter", "Enter", "\r")
    assert screen.heard(4) == typed("a\n", Key.A, Key.ENTER)
    browser.mouse("mousePressed", 100, 50, "left", clickCount=1)
    browser.mouse("mouseReleased", 100, 50, "left", clickCount=1)
    browser.mouse("mouseWheel", 100, 50, deltaX=0, deltaY=-100)
    found = []
    while (SCROLL, 0, 1) not in found:
        found += screen.heard(1)
    assert [one for one in found if one[0] == BUTTON] == [(BUTTON, 1, 0), (BUTTON, 0, 0)]
    assert pixel_at(found[0]) == (100, 50)
    screen.up.kill("vncd")
    image = picture(seed=5)
    screen.draw(words(image))
    until(lambda: shows(browser, image))
    assert not browser.complaints or "ended" in browser.complaints[0]


def test_the_screen_takes_the_windows_size(screen, browser):
    browser.visit(screen.ways["url"])
    until(lambda: screen.ways["viewers"])
    browser.resize(500, 302)
    until(lambda: (screen.display / "size").read_text() == "0 500x302\n")
    image = picture(500, 302, seed=6)
    screen.draw(words(image))
    until(lambda: shows(browser, image))
    browser.resize(WIDTH, HEIGHT)
    until(lambda: (screen.display / "size").read_text() == f"0 {WIDTH}x{HEIGHT}\n")
    image = picture(seed=7)
    screen.draw(words(image))
    until(lambda: shows(browser, image))


def test_without_the_token_there_is_no_picture(screen, browser):
    url, _, token = screen.ways["url"].partition("#")
    browser.visit(f"{url}#{token[:-1]}x")
    until(lambda: "trying again" in browser.evaluate("document.body.textContent"))
    assert not any(viewer["by"] == "page" for viewer in screen.ways["viewers"])


def test_a_page_of_another_site_gets_nothing(screen):
    url, _, token = screen.ways["url"].partition("#")
    host, port = url.removeprefix("http://").strip("/").split(":")
    request = urllib.request.Request(url, headers={"Host": f"evil.example:{port}"})
    with pytest.raises(urllib.error.HTTPError, match="421"):
        urllib.request.urlopen(request, timeout=10)
    with socket.create_connection((host, int(port)), timeout=10) as caller:
        caller.sendall(
            f"GET /rfb?token={token} HTTP/1.1\r\nHost: {host}:{port}\r\n"
            "Origin: http://evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert caller.recv(100).startswith(b"HTTP/1.1 403 ")


def test_orbitals_desktop_is_seen_in_a_browser_and_typed_into(browser, tmp_path):
    with desk(sits=False) as found:
        red = Image.new("RGB", (200, 100), (255, 0, 0))
        path = found.up.mount / "orbital/red/200/100/Red"
        window = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        os.write(window, words(red))
        browser.visit(found.ways["url"])
        until(lambda: red_pixels(browser.picture()) == 200 * 100)
        assert red_pixels(found.captured(tmp_path, "move", 1, 1)) == 200 * 100
        heard = []

        def typed_into(character):
            try:
                heard.extend(EVENT.iter_unpack(os.read(window, 100 * EVENT.size)))
            except BlockingIOError:
                return False
            return (TEXT_INPUT, ord(character), 0) in heard

        browser.key("h", "KeyH", "h")
        until(lambda: typed_into("h"))
        found.vncdo("type", "i")
        until(lambda: typed_into("i"))
        os.close(window)
        until(lambda: red_pixels(browser.picture()) == 0)


def red_pixels(image):
    return sum(count for count, colour in image.getcolors(1 << 20) if colour == (255, 0, 0))


# -- who may come in -------------------------------------------------------------------------------


def test_only_root_is_told_the_secrets_and_no_log_knows_them(screen):
    ways = screen.ways
    done = subprocess.run(
        ["cat", screen.up.mount / "vnc", ways["socket"], screen.up.run_dir / "scratch/vncd/token"],
        capture_output=True, text=True, check=False, **NOBODY,
    )  # fmt: skip
    assert done.stdout == ""
    assert done.stderr.count("Permission denied") + done.stderr.count("No such device") >= 3
    token = ways["url"].partition("#")[2]
    logs = "".join(path.read_text() for path in (screen.up.run_dir / "log").iterdir())
    assert token not in logs
    assert ways["password"] not in logs
    assert token in screen.up.output  # shown once, by `up`
    assert ways["address"].startswith("127.0.0.1:")


def test_the_secrets_go_with_their_instance(tmp_path):
    (tmp_path / "up.toml").write_text(SETTINGS)
    found = []
    for _ in range(2):
        with Up(tmp_path, "--vnc", "--config", tmp_path / "up.toml") as up:
            ways = json.loads((up.mount / "vnc").read_text())
            found += [ways["url"].partition("#")[2], ways["password"]]
    assert len(set(found)) == 4


def test_the_verb_says_what_there_is(screen):
    with Caller(screen.ways["socket"], encodings=(16,)) as viewer:
        viewer.update()
        done = redbear("vnc", "--mount", screen.up.mount)
        assert re.search(r"^VNC viewer +vnc://127\.0\.0\.1:\d+, password \w{8}$", done.stdout, re.M)
        assert re.search(r"root +vnc +640x400 +ZRLE", done.stdout), done.stdout


def test_the_verb_has_a_hint_where_there_is_none(tmp_path):
    done = redbear("vnc", "--mount", tmp_path)
    assert done.returncode == 2
    assert "redbear-host up --vnc" in done.stderr


def test_wrong_passwords_are_heard_slower_and_slower():
    with desk() as found:
        address, answers = found.address, []
        for _ in range(8):
            with socket.create_connection(address, timeout=10) as caller:
                caller.recv(12)
                caller.sendall(b"RFB 003.008\n\2")
                data = b""
                while len(data) < 2 + 16:
                    data += caller.recv(100)
                caller.sendall(bytes(16))
                answer = b""
                while piece := caller.recv(100):
                    answer += piece
                answers.append(answer[8:])
        assert answers[:5] == [b"the password is wrong"] * 5
        assert b"too many tries; wait a while" in answers[5:]


def test_a_password_of_the_users_own_is_asked_for(tmp_path):
    (tmp_path / "password").write_text("swordfish\n")
    settings = SETTINGS + f'password_file = "{tmp_path / "password"}"\nweb_port = -1\n'
    with desk(settings.replace("web_port = 0\n", "")) as found:
        assert found.ways["password"] == "swordfish"
        assert found.ways["url"] is None
        image = picture(seed=8)
        found.draw(words(image))
        assert found.captured(tmp_path).tobytes() == image.tobytes()


def test_there_are_as_many_viewers_as_are_wanted_and_no_more():
    with desk(SETTINGS + "viewers = 2\n", sits=False) as found, ExitStack() as undo:
        callers = [undo.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(3)]
        for one in callers:  # all are there before the first is in
            one.settimeout(20)
            one.connect(found.ways["socket"])
            one.sendall(b"RFB 003.008\n\1")
            data = b""
            while len(data) < 12 + 2 + 4:
                data += one.recv(100)
        for one in callers:
            one.sendall(b"\1")
        assert sorted(len(one.recv(24)) for one in callers) == [0, 24, 24]


# -- hostile viewers -------------------------------------------------------------------------------

PATIENCE_S = 5  # for a picture on a busy machine; who stalls is sent off after 10 s


def draws_in(screen, image):
    """Seconds until a picture was taken over, which UPDATE_PLANE and fsync wait for."""
    began = time.monotonic()
    screen.draw(words(image))
    return time.monotonic() - began


def test_who_takes_nothing_delays_nobody(screen, tmp_path):
    path = screen.ways["socket"]
    stalled = [Caller(path) for _ in range(3)]  # each has asked for everything, and reads nothing
    try:
        with Caller(path) as viewer:
            viewer.update()
            for number in range(20):
                image = picture(seed=20 + number % 2)
                assert draws_in(screen, image) < PATIENCE_S
                for one in stalled:
                    one.ask()
                viewer.ask()
                assert viewer.update() > 0
        assert screen.captured(tmp_path).tobytes() == image.tobytes()
        pid = screen.up.daemon("vncd")["pid"]
        memory = Path(f"/proc/{pid}/status").read_text()
        assert int(re.search(r"VmRSS:\s+(\d+)", memory).group(1)) < 120_000
        until(lambda: len(screen.ways["viewers"]) == 0, 40)  # after 10 s they have to go
    finally:
        for one in stalled:
            one.socket.close()


def test_strangers_who_say_nothing_keep_nobody_out(screen, tmp_path):
    address = screen.address
    web = screen.ways["url"].partition("#")[0].removeprefix("http://").strip("/").split(":")
    idle = [socket.create_connection(address) for _ in range(40)]
    idle += [socket.create_connection((web[0], int(web[1]))) for _ in range(40)]
    for number, one in enumerate(idle):  # of some a bit comes
        try:
            one.sendall(b"RFB 003."[: number % 9] if number < 40 else b"GET / HT"[: number % 9])
        except OSError:
            continue  # he had to make room already
    image = picture(seed=9)
    screen.draw(words(image))
    assert screen.captured(tmp_path).tobytes() == image.tobytes()
    until(lambda: not [one for one in screen.ways["viewers"] if not one["in"]], 20)
    for one in idle:
        one.close()


@pytest.mark.fuzz
def test_noise_at_all_doors_never_crashes_it(screen, tmp_path):
    dice = random.Random(30)
    ways = screen.ways
    path, (host, port) = ways["socket"], screen.address
    web = ways["url"].partition("#")[0].removeprefix("http://").strip("/").split(":")
    token = ways["url"].partition("#")[2]
    hello = (
        f"GET /rfb?token={token} HTTP/1.1\r\nHost: {web[0]}:{web[1]}\r\n"
        f"Origin: http://{web[0]}:{web[1]}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    pid = screen.up.daemon("vncd")["pid"]
    end = time.monotonic() + (60 if rounds(1, 2) == 2 else 5)
    count = 0
    while time.monotonic() < end or count <= 50:
        count += 1
        noise = dice.randbytes(dice.choice((1, 20, 300, 5000)))
        kind = count % 4
        try:
            if kind == 0:
                with Caller(path, wants=bool(dice.randrange(2))) as caller:
                    caller.socket.sendall(bytes([dice.choice((0, 2, 3, 6, 150, 248, 251, 255))]))
                    caller.socket.sendall(noise)
            else:
                with socket.create_connection((host, port) if kind == 1 else tuple(web)) as caller:
                    caller.sendall((b"RFB 003.008\n", hello, b"GET ")[kind - 1] + noise)
        except OSError:
            continue  # it hangs up on nonsense, as it should
    assert screen.up.daemon("vncd")["pid"] == pid
    screen.up.kill("vncd")  # and with it what it knows of failed tries: some noise was one
    image = picture(seed=10)
    screen.draw(words(image))
    until(lambda: len(screen.ways["viewers"]) < 4)
    (screen.display / "size").write_text(f"{WIDTH}x{HEIGHT}\n")
    screen.draw(words(image))
    assert screen.captured(tmp_path).tobytes() == image.tobytes()


def test_a_clipboard_of_two_gigabytes_stalls_nobody(screen):
    with Caller(screen.ways["socket"]) as hostile, Caller(screen.ways["socket"]) as viewer:
        hostile.update()
        viewer.update()
        hostile.socket.sendall(b"\6\0\0\0\x7f\xff\xff\xff")

        def flood():
            end = time.monotonic() + 2
            while time.monotonic() < end:
                hostile.socket.sendall(bytes(1 << 16))
            return True

        done = in_thread(flood)
        for seed in range(5):
            assert draws_in(screen, picture(seed=40 + seed)) < PATIENCE_S
            viewer.ask()
            assert viewer.update() > 0
        assert done()


def test_gtk_vnc_sees_what_was_drawn(tmp_path):
    with desk(SETTINGS + 'security = "none"\n') as found:
        image = picture(seed=11)
        found.draw(words(image))
        host, port = found.address
        file = tmp_path / "seen.png"
        subprocess.run(
            ["gvnccapture", "-q", f"{host}:{port - 5900}", file],
            check=True, timeout=60, env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        assert Image.open(file).convert("RGB").tobytes() == image.tobytes()
        assert json.loads((found.up.mount / "vnc").read_text())["password"] == ""
