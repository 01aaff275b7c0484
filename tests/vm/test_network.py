"""A network card by VFIO: Linux's ping through our driver, also over its death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from guest_machine import wait_for

from kernel_shim.host import MACHINE
from redbear_host.lab.spares import spare

pytestmark = pytest.mark.timeout(240)

LAN = spare("lan").address
CARD = Path("/scheme") / f"network.pci-{LAN.replace(':', '-')}_e1000"
STATE = Path("/run/redbear-host/state.json")
GATEWAY = "10.0.2.2"  # of QEMU's user network
HERE = "rb-lan"
OUTAGE_S = 45.0  # of a processor that is emulated; the figure is printed


def redbear(*arguments, timeout=120):
    return subprocess.run(
        [sys.executable, "-m", "redbear_host", *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@contextmanager
def joined():
    """`net tap` in a namespace of its own."""
    subprocess.run(["ip", "netns", "add", HERE], check=True, timeout=20)
    tap = subprocess.Popen(
        [sys.executable, "-m", "redbear_host", "net", "tap", "--netns", HERE,
         "--address", "10.0.2.15/24"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield tap, tap.stdout.readline()
    finally:
        tap.terminate()
        tap.communicate(timeout=30)
        subprocess.run(["ip", "netns", "delete", HERE], check=True, timeout=20)


def answers(count, during=lambda: None):
    """Ping until so many answers have come; return when each came."""
    asked = subprocess.Popen(
        ["ip", "netns", "exec", HERE, "ping", "-D", "-i", "0.05", "-c", str(count), "-w", "90",
         GATEWAY],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    head = "".join(asked.stdout.readline() for _ in range(count // 4))
    during()
    said = head + asked.communicate(timeout=120)[0]
    assert asked.returncode == 0, said
    return [float(line[1 : line.index("]")]) for line in said.splitlines() if "icmp_seq" in line]


def driver():
    state = json.loads(STATE.read_text())
    return next(one for one in state["daemons"] if one["name"].startswith("e1000d"))


def test_a_real_card_carries_ping_over_the_death_of_its_driver(capsys):
    assert MACHINE.driver(LAN) == "e1000"
    done = redbear("up", "--device", LAN, "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        wait_for(lambda: (CARD / "link").read_text() == "1000\n")
        with joined() as (tap, said):
            assert CARD.name in said
            assert len(answers(12)) == 12
            before = driver()

            def kill():
                os.kill(before["pid"], signal.SIGKILL)

            times = answers(40, kill)
            outage = max(later - earlier for earlier, later in pairwise(times))
            assert driver()["restarts"] == before["restarts"] + 1
            assert "joined again" in tap.stdout.readline()
        with capsys.disabled():
            print(f"\n  kill -9 under ping, by VFIO: {outage * 1000:.0f} ms without an answer")
        assert outage < OUTAGE_S
        stats = dict(line.split() for line in (CARD / "stats").read_text().splitlines())
        assert int(stats["tap_bad"]) == 0
    finally:
        done = redbear("down")
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: MACHINE.driver(LAN) == "e1000")
