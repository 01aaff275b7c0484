"""Windows of programs in Python and in C, and what becomes of them when Orbital is killed."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest
from desk_rig import desk

from orbital import orbclient as orb
from redbear_host import client as redox
from redbear_host.abi.orbital import EventCode

ROOT = Path(__file__).resolve().parents[2]
RED, GREEN, BLUE = (0xFF, 0, 0), (0, 0xFF, 0), (0, 0, 0xFF)

C_PROGRAM = """
#include <orbital.h>
#include <stdio.h>

int main(void)
{
    void *window = orb_window_new_flags(40, 50, 64, 48, "of C", ORB_WINDOW_RESIZABLE);
    if (!window)
        return 1;
    for (unsigned at = 0; at < 64 * 48; at++)
        orb_window_data(window)[at] = 0xFF00FF00;
    orb_window_sync(window);
    printf("display %u %u\\n", orb_display_width(), orb_display_height());
    printf("window %d %d %u %u\\n", orb_window_x(window), orb_window_y(window),
           orb_window_width(window), orb_window_height(window));
    fflush(stdout);
    for (;;) {
        void *events = orb_window_events(window);
        OrbEventOption event;
        while ((event = orb_events_next(events)).tag != OrbEventOption_None) {
            if (event.tag == OrbEventOption_Key)
                printf("key %#x %d\\n", event.key.scancode, event.key.pressed);
            else if (event.tag == OrbEventOption_TextInput)
                printf("text %c\\n", event.text_input.character);
            else if (event.tag == OrbEventOption_Quit) {
                orb_window_set_size(window, 80, 60);
                printf("window %u %u %x\\n", orb_window_width(window), orb_window_height(window),
                       orb_window_data(window)[0]);
                orb_events_destroy(events);
                orb_window_destroy(window);
                return 0;
            }
        }
        orb_events_destroy(events);
        fflush(stdout);
    }
}
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with desk(tmp_path_factory.mktemp("desk")) as it:
        yield it


@pytest.fixture(autouse=True)
def _paths(here, monkeypatch):
    for name in ("REDBEAR_RINGS", "REDBEAR_SCHEME", "ORBITAL_DISPLAY"):
        monkeypatch.setenv(name, here.environment[name])
    yield
    redox.forget()  # else the next instance's daemons are taken for these


@pytest.fixture(scope="module")
def libraries():
    for name in ("libredox", "liborbital"):
        made = subprocess.run(
            ["make", "-s", "-C", ROOT / name, "BUILD=../build"], capture_output=True, text=True
        )
        assert made.returncode == 0, made.stderr
    return ROOT / "build"


class Ears:
    """What a window has heard so far."""

    def __init__(self, window) -> None:
        self._window = window
        self.events: list[orb.Event] = []

    def hear(self, wanted) -> None:
        """Listen until an event has come that `wanted` likes, alone or among others."""
        while not any(map(wanted, self.events)):
            more = self._window.events(10)
            assert more, self.events
            self.events += more


def test_what_is_drawn_is_seen_after_sync(here):
    with orb.Window(100, 80, "drawn", 20, 40) as window:
        assert window.place == orb.Rect(20, 40, 100, 80)
        window.picture.fill(orb.Rect(0, 0, 100, 80), 0xFFFF0000)
        window.sync()
        here.wait(lambda: here.shot().getpixel((21, 41)) == RED)
        window.picture.fill(orb.Rect(0, 0, 100, 80), 0xFF0000FF)
        window.sync([orb.Rect(0, 0, 50, 80)])
        here.wait(lambda: here.shot().getpixel((21, 41)) == BLUE)


def test_a_window_takes_the_size_it_is_given_and_keeps_what_was_in_it(here):
    with orb.Window(64, 64, "grows", 200, 100) as window:
        window.picture.fill(orb.Rect(0, 0, 64, 64), 0xFF00FF00)
        window.resize(100, 50)
        assert (window.width, window.height) == (100, 50)
        window.picture.fill(orb.Rect(64, 0, 36, 50), 0xFF0000FF)
        window.move(220, 120)
        window.sync()
        here.wait(lambda: here.shot().getpixel((319, 169)) == BLUE)
        assert here.shot().getpixel((221, 121)) == GREEN
        assert here.window("grows")[1:] == (220, 120, 100, 50)


def test_titles_flags_and_displays(here):
    assert orb.display_size() == (640, 480)
    for missing in (7, -7):
        with pytest.raises(OSError, match="Invalid argument"):
            orb.display_size(missing)
    with orb.Window(32, 32, "first/with, signs") as window:
        here.window("first/with, signs")
        window.title = "second"
        here.window("second")
        window.set_flags(orb.WindowFlag.HIDDEN, True)
        assert any("h" in line.split()[3] for line in here.lines() if line.endswith("second"))
        with pytest.raises(OSError, match="Invalid argument"):
            window.command("no command")


def test_what_is_typed_and_clicked_comes_to_the_window_that_has_the_focus(here):
    with orb.Window(100, 100, "listens", 300, 200) as window:
        ears = Ears(window)
        ears.hear(lambda it: it == orb.Focus(True))
        here.input((EventCode.MOUSE, 350 * 65536 // 640, 250 * 65536 // 480))
        ears.hear(lambda it: isinstance(it, orb.Mouse) and max(abs(it.x - 50), abs(it.y - 50)) <= 1)
        here.input((EventCode.BUTTON, 1, 0))
        ears.hear(lambda it: it == orb.Button(True, False, False))
        here.input((EventCode.BUTTON, 0, 0))
        ears.hear(lambda it: it == orb.Button(False, False, False))
        here.type("a?")
        ears.hear(lambda it: it == orb.Key("", 0x35, False))
        assert [it.character for it in ears.events if isinstance(it, orb.TextInput)] == ["a", "?"]


def test_a_clipboard_has_what_was_put_in(here):
    with orb.Window(32, 32, "copies") as window:
        window.events(5)
        window.clipboard = b"x" * 100_000
        assert window.clipboard == b"x" * 100_000


def test_waiting_for_events_ends_in_time(here):
    with orb.Window(32, 32, "waits") as window:
        while window.events(0.2):
            pass
        assert window.events(0) == []
        timer = threading.Timer(0.2, here.type, "b")
        timer.start()
        Ears(window).hear(lambda it: it == orb.TextInput("b"))
        timer.join()


def test_a_program_does_not_notice_that_orbital_was_killed(here, capsys):
    with orb.Window(90, 70, "survives", 60, 300) as window:
        window.picture.fill(orb.Rect(0, 0, 90, 70), 0xFF00FF00)
        window.sync()
        here.wait(lambda: here.shot().getpixel((100, 350)) == GREEN)
        gone = here.up.kill("orbital")
        with capsys.disabled():
            print(f"\n  orbital: there again {gone * 1000:.0f} ms after kill -9")
        window.picture.fill(orb.Rect(0, 0, 90, 70), 0xFFFF0000)
        window.sync()
        here.wait(lambda: here.shot().getpixel((100, 350)) == RED)
        window.title = "survived"
        assert here.window("survived")[1:] == (60, 300, 90, 70)
        while window.events(0.3):
            pass
        here.type("z")
        Ears(window).hear(lambda it: it == orb.TextInput("z"))


def test_who_waits_for_events_when_orbital_is_killed_goes_on_waiting(here):
    with orb.Window(50, 40, "sits there", 400, 300) as window:
        while window.events(0.3):
            pass
        found = []
        waiting = threading.Thread(target=lambda: found.extend(window.events(15)))
        waiting.start()
        here.up.kill("orbital")
        here.wait(lambda: any("sits there" in line for line in here.lines()))
        deadline = 100
        while waiting.is_alive() and deadline:
            here.type("k")
            waiting.join(0.1)
            deadline -= 1
        assert found


def test_a_program_in_c_draws_listens_and_ends(here, libraries, tmp_path):
    source = tmp_path / "window.c"
    source.write_text(C_PROGRAM)
    program = tmp_path / "window"
    built = subprocess.run(
        [
            *("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/liborbital"),
            *("-o", program, source, f"-L{libraries}", "-lorbital"),
            f"-Wl,-rpath,{libraries}",  # where liborbital is, it finds libredox
        ],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    with subprocess.Popen(
        [program], env=here.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            here.wait(lambda: here.shot().getpixel((41, 51)) == GREEN)
            assert running.stdout.readline() == "display 640 480\n"
            assert running.stdout.readline() == "window 40 50 64 48\n"
            here.wait(lambda: here.shot().getpixel((41, 51)) == GREEN)
            here.wait(lambda: any("focused of C" in line for line in here.lines()))
            here.type("q")
            said = {running.stdout.readline() for _ in range(3)}
            assert said == {"text q\n", "key 0x10 1\n", "key 0x10 0\n"}
            number = here.window("of C")[0]
            (here.up.mount / "orbital.ctl/control").write_text(f"close {number}\n")
            out, err = running.communicate(timeout=10)
            assert (out, err) == ("window 80 60 ff00ff00\n", "")
            assert running.returncode == 0
        finally:
            running.kill()


def test_where_there_is_no_orbital_a_window_is_an_error(monkeypatch):
    monkeypatch.setenv("ORBITAL_DISPLAY", "/scheme/nosuch")
    with pytest.raises(OSError, match="no scheme of this name"):
        orb.Window(10, 10)
