"""`redbear-host net tap` as a user has it: Linux's ping through our driver, over its deaths."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from network_namespaces import has_carrier, inside, interface, namespace, until
from up_rig import COMMAND, Up, redbear

from redbear_host import client
from redbear_host.client.frames import Frames

pytestmark = pytest.mark.timeout(120)

HERE, FAR = "192.0.2.2", "192.0.2.1"
OUTAGE_S = 5.0  # on a machine that does much else; the figure is printed


@pytest.fixture(scope="module")
def wired(tmp_path_factory):
    """An instance with one card, whose wire ends in a namespace of Linux's."""
    with namespace() as far:
        folder = tmp_path_factory.mktemp("tap")
        card = f"e1000:peer=netns:{far}/far,peer_address={FAR}/24 2001:db8::1/64"
        with Up(folder, "--lab", card) as up:
            yield up


@pytest.fixture
def here():
    with namespace() as name:
        yield name


class Tap:
    """`net tap` in the background; `lines` are what it has said."""

    def __init__(self, up, *arguments):
        self.process = subprocess.Popen(
            [*COMMAND, "net", "tap", *map(str, up.where), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines = [self.process.stdout.readline()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        out, self.err = self.process.communicate(timeout=20)
        self.lines += out.splitlines(keepends=True)


def joined(up, here):
    return Tap(up, "--netns", here, "--address", f"{HERE}/24", "--address", "2001:db8::2/64")


def ping(where, *arguments):
    done = inside(where, "ping", "-q", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def answers(where, *arguments):
    """Return the numbers of the answers, in their order."""
    done = inside(where, "ping", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return [int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", done.stdout)]


def received(said):
    sent, came = re.search(r"(\d+) packets transmitted, (\d+) received", said).groups()
    return int(sent), int(came)


def test_ping_of_every_kind_goes_through_the_card(wired, here):
    with joined(wired, here):
        until(lambda: has_carrier("rb0", here))
        ping(here, "-c", "1", "-w", "20", FAR)
        # Without -w ping gives the last answer twice the longest time so far, which is little on a
        # busy machine; with it, it asks on until so many have come.
        for size in (0, 1, 18, 46, 1000, 1472, 8000):  # the last one in fragments
            said = answers(here, "-c", "20", "-i", "0.002", "-w", "20", "-s", size, FAR)
            assert said == [*range(1, 21)]
        sent, came = received(ping(here, "-f", "-c", "2000", "-w", "20", FAR))
        assert (came, sent - came < 100) == (2000, True)
        ping(here, "-6", "-c", "3", "-i", "0.1", "-w", "20", "2001:db8::1")


def test_a_namespace_may_be_named_by_a_process_in_it(wired, here):
    sleeper = subprocess.Popen(["ip", "netns", "exec", here, "sleep", "60"])
    try:
        inode = os.stat(f"/run/netns/{here}").st_ino
        until(lambda: os.stat(f"/proc/{sleeper.pid}/ns/net").st_ino == inode)
        with Tap(wired, "--netns", sleeper.pid, "--name", "wire0") as tap:
            assert interface("wire0", here) is not None
        assert tap.process.returncode == 0
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_driver_that_is_killed_under_ping_is_back_before_anybody_minds(wired, here, capsys):
    with joined(wired, here) as tap:
        until(lambda: has_carrier("rb0", here))
        ping(here, "-c", "1", "-w", "20", FAR)
        flood = subprocess.Popen(
            ["ip", "netns", "exec", here, "ping", "-D", "-i", "0.005", "-c", "600", FAR],
            stdout=subprocess.PIPE,
            text=True,
        )
        head = "".join(flood.stdout.readline() for _ in range(100))
        restart = wired.kill("e1000d")
        said = head + flood.communicate(timeout=60)[0]
    sent, came = received(said)
    times = [float(stamp) for stamp in re.findall(r"\[(\d+\.\d+)\]", said)]
    outage = max(later - earlier for earlier, later in pairwise(times))
    with capsys.disabled():
        print(
            f"\n  kill -9 under ping: {sent - came} of {sent} lost, {outage * 1000:.0f} ms without"
            f" an answer, ready after {restart * 1000:.0f} ms"
        )
    assert outage < OUTAGE_S
    assert sent - came <= OUTAGE_S / 0.005
    assert re.fullmatch(r"rb0: the driver was restarted, joined again after \d+ ms\n", tap.lines[1])
    assert tap.process.returncode == 0


def test_two_taps_take_turns(wired, here):
    with namespace() as other, joined(wired, here):
        ping(here, "-c", "1", "-w", "20", FAR)
        with Tap(wired, "--netns", other, "--address", "192.0.2.3/24"):
            ping(other, "-c", "1", "-w", "20", FAR)
            until(lambda: not has_carrier("rb0", here))
        until(lambda: has_carrier("rb0", here))
        ping(here, "-c", "3", "-i", "0.2", "-w", "20", FAR)


def test_down_ends_a_tap_with_a_sentence(tmp_path, here):
    with namespace() as far:
        with Up(tmp_path, "--lab", f"e1000:peer=netns:{far}/far") as up:
            tap = Tap(up, "--netns", here)
            assert "rb0" in tap.lines[0]
        with tap:
            tap.process.wait(20)
    assert tap.process.returncode == 3
    assert "cannot be joined" in tap.err
    assert "Traceback" not in tap.err
    assert interface("rb0", here) is None


def test_an_interface_that_somebody_removes_ends_its_tap_with_a_sentence(wired, here):
    with joined(wired, here) as tap:
        inside(here, "ip", "link", "delete", "rb0")
        tap.process.wait(20)
    assert tap.process.returncode == 3
    assert "rb0 has been removed" in tap.err
    assert "Traceback" not in tap.err


def test_a_card_whose_driver_is_given_up_is_joined_by_nobody(tmp_path, here):
    with namespace() as far, Up(tmp_path, "--lab", f"e1000:peer=netns:{far}/far") as up:
        tap = Tap(up, "--netns", here)
        assert "rb0" in tap.lines[0]
        state = json.loads((up.run_dir / "state.json").read_text())
        (qemu,) = (one["pid"] for one in state["processes"] if "QEMU" in one["name"])
        os.kill(qemu, signal.SIGKILL)
        until(lambda: up.daemon("e1000d")["gone"])
        os.kill(up.daemon("e1000d")["pid"], signal.SIGKILL)
        with tap:
            tap.process.wait(20)
        late = redbear("net", "tap", *up.where, "--netns", here)
    assert (tap.process.returncode, late.returncode) == (3, 3)
    assert "cannot be joined" in tap.err
    assert "Traceback" not in tap.err + late.stderr
    assert interface("rb0", here) is None


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo])
def test_a_file_is_no_network_namespace(wired, tmp_path, make):
    make(tmp_path / "odd")
    done = redbear("net", "tap", *wired.where, "--netns", tmp_path / "odd", timeout=20)
    assert done.returncode == 2
    assert "is no network namespace" in done.stderr


def test_a_card_is_not_asked_about_its_own_file_while_it_looks_whether_that_is_a_tap(
    wired, monkeypatch
):
    monkeypatch.setenv("REDBEAR_RINGS", str(wired.run_dir / "ring"))
    (folder,) = wired.mount.glob("network.*")
    with (
        (folder / "stats").open("rb") as own,
        Frames(f"/scheme/{folder.name}") as card,
        client.deadline(10),
        pytest.raises(OSError, match="Invalid argument"),
    ):
        card.join(own.fileno())
    assert (folder / "link").read_text()
