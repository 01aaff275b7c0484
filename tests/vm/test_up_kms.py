"""`up --kms … --input all` as a user types it, with programs that have windows, in the guest.

`--device gpu --device keyboard --device tablet --device slot`.
"""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from guest_machine import WITHIN, wait_for
from kms_desk import card_of
from kms_user import ACTIVE, KDGETMODE, KDGKBMODE, asked, eventually, same_as_golden
from monitor import Monitor
from up_rig import Up

pytestmark = pytest.mark.timeout(300)

SIZE = (1280, 800)
ORANGE, TEAL = 0xFFE08020, 0xFF208080
PROGRAM = Path(__file__).with_name("typing_window.py")


class Desktop(Up):
    patience = 150  # the guest's processor is emulated, and may have to share the machine's


class Program:
    """Somebody's program with a window; it says on its output what happens, and ends with us."""

    def __init__(self, *command, **options):
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
        )

    def says(self, word, within=WITHIN):
        assert select.select([self.process.stdout], [], [], within)[0], f"it does not say {word}"
        assert self.process.stdout.readline().decode().split() == word.split()

    def close(self):
        out, _ = self.process.communicate(timeout=60)
        assert (self.process.returncode, out) == (0, b"")


def state_of(up, name):
    said = json.loads((up.run_dir / "state.json").read_text())
    return next(one["state"] for one in said["daemons"] if one["name"] == name)


@pytest.fixture
def monitor():
    monitor = Monitor()
    yield monitor
    monitor.close()


def point(monitor, x, y):
    width, height = SIZE
    monitor.point(-(-x * 32767 // (width - 1)), -(-y * 32767 // (height - 1)))


def test_a_user_starts_a_desktop_uses_it_goes_away_comes_back_and_ends_it(tmp_path, monitor):
    assert ACTIVE.read_text() == "tty1\n"
    with Desktop(tmp_path, "--kms", card_of("gpu"), "--input", "all") as up:
        wait_for(lambda: state_of(up, "inputd") == "ready")  # it starts when it is used
        assert state_of(up, "orbital") == "ready"
        terminal = ACTIVE.read_text().strip()
        assert terminal != "tty1"
        assert (asked(terminal, KDGETMODE), asked(terminal, KDGKBMODE)) == (1, 4)

        # A shell's window, and one of a Python program.
        picture = tmp_path / "picture.bgra"
        picture.write_bytes(struct.pack("<I", ORANGE) * (300 * 200))
        path = up.mount / "orbital" / "100/100/300/200/Shell"
        script = 'exec 3<>"$1" && cat "$2" >&3 && echo shown && read -r _; exec 3>&-'
        shell = Program("sh", "-c", script, "sh", path, picture)
        shell.says("shown")
        doors = {"REDBEAR_RINGS": str(up.run_dir / "ring"), "REDBEAR_SCHEME": str(up.mount)}
        python = Program(sys.executable, PROGRAM, f"{TEAL:#x}", env=os.environ | doors)
        python.says("shown")

        # One is dragged by its title, the other is typed into.
        point(monitor, 180, 88)
        monitor.button(True)
        for step in range(1, 6):
            point(monitor, 180 + step * 40, 88 + step * 60)
        monitor.button(False)
        point(monitor, 800, 300)
        monitor.button(True)
        monitor.button(False)
        for letter in "hi":
            monitor.tap(letter)
            python.says(f"typed {letter}")
        point(monitor, 1000, 700)
        same_as_golden(monitor, "gpu", "up-kms")

        # To Linux's console by the keys for it, which is text; and back by Linux's own.
        monitor.tap("ctrl", "alt", "f1")
        wait_for(lambda: ACTIVE.read_text() == "tty1\n")
        eventually(lambda: monitor.screen("gpu").pixel(800, 300) != TEAL & 0xFFFFFF)
        monitor.tap("alt", f"f{terminal.removeprefix('tty')}")
        wait_for(lambda: ACTIVE.read_text().strip() == terminal)
        same_as_golden(monitor, "gpu", "up-kms")
        monitor.tap("x")  # no key was left held, and none of those was heard
        python.says("typed x")

        python.close()
    assert ACTIVE.read_text() == "tty1\n"
    assert asked(terminal, KDGETMODE) == 0
    assert asked(terminal, KDGKBMODE) == asked("tty1", KDGKBMODE) == 3
    eventually(lambda: monitor.screen("gpu").pixel(450, 500) != ORANGE & 0xFFFFFF)
    shell.close()  # its window went without it
