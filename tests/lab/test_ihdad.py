"""ihdad on QEMU's intel-hda: what is written to `audiohw` is what its WAV file holds."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import qemu_rig
import up_rig
from qemu_version import replays
from sound_rig import Player, breaks, numbered, numbers, read_wav, sounding, tones

from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.classes.soundcard import BUFFER, FRAMES
from redbear_host.hw.ports import InterruptKind

CARD = "intel-hda,id=hda,addr=4"
# QEMU hurries after it got no time, and drops what its own buffer cannot hold; the driver knows of
# an under-run mostly.  One of so many attempts has to be perfect, and nothing old is ever heard.
ATTEMPTS = 6
NICE = -11  # ours, QEMU's and the writer's, as the daemon has it


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    client.forget()
    gc.collect()


@contextmanager
def player(
    *arguments: str, kind: InterruptKind = InterruptKind.MSI, card: str = CARD
) -> Iterator[Player]:
    with qemu_rig.machine(["-device", card, *arguments]) as machine:
        os.setpriority(os.PRIO_PROCESS, machine.qemu.pid, NICE)
        made = Player(qemu_rig.opened(machine.functions[0]), kind)
        try:
            yield made
        finally:
            made.close()


def instance(folder: Path, *more: str) -> up_rig.Up:
    return up_rig.Up(folder, "--lab", f"hda:wav={folder}/out.wav,codec=duplex", *more)


def place(up: up_rig.Up, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDBEAR_RINGS", str(up.run_dir / "ring"))
    monkeypatch.setenv("REDBEAR_SCHEME", str(up.mount))


def hurry(up: up_rig.Up) -> None:
    """Let QEMU have its time before others."""
    state = json.loads((up.run_dir / "state.json").read_text())
    for process in state["processes"]:
        if process["name"].startswith("QEMU"):
            os.setpriority(os.PRIO_PROCESS, process["pid"], NICE)


def facts(card: client.Fd, name: str) -> dict[str, int]:
    with card.dup(name.encode()) as file:
        return {key: int(value) for key, value in map(str.split, text(file).splitlines())}


def text(file: client.Fd) -> str:
    return b"".join(iter(lambda: file.read(4096), b"")).decode()


def strongest(channel: np.ndarray, rate: int) -> float:
    """Return the frequency with the most power, between the lines of the transform."""
    power = np.abs(np.fft.rfft(channel * np.hanning(len(channel)))) ** 2
    peak = int(power.argmax())
    near = power[peak - 2 : peak + 3]
    return float((near * np.arange(peak - 2, peak + 3)).sum() / near.sum() * rate / len(channel))


def test_a_tone_for_each_ear_comes_out_at_its_frequency_and_on_its_side_without_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "tones.raw"
    raw.write_bytes(tones(440, 1000, 5))
    with instance(tmp_path) as up:
        place(up, monkeypatch)
        hurry(up)
        began = time.monotonic()
        play = f"nice -n {NICE} cat {raw} > {up.mount}/audiohw"
        subprocess.run(play, shell=True, check=True, timeout=40)
        took = time.monotonic() - began
        with client.open("/scheme/audiohw", f.O_WRONLY) as card:
            underruns = facts(card, "stats")["underruns"]
    assert 4.8 < took < 15, took
    rate, samples = read_wav(tmp_path / "out.wav")  # which `down` has made whole
    assert rate == 44100
    for side, frequency, peak in ((0, 440, 12000), (1, 1000, 8000)):
        heard = sounding(samples[side::2])
        ends = [0, *breaks(heard, frequency, rate), len(heard)]
        longest, start = max((after - before, before) for before, after in pairwise(ends))
        gaps = sum(after - before > FRAMES for before, after in pairwise(ends)) - 1
        found = strongest(np.array(heard[start : start + longest], dtype=float), rate)
        print(f"{found:.2f} Hz, {longest} frames at a stretch, {gaps} gaps, {underruns} under-runs")
        assert abs(found - frequency) < 0.5
        assert max(heard) == peak
        assert longest >= rate
        assert gaps <= 2 * underruns + 1  # and QEMU may have dropped some once
        if not gaps:
            assert len(heard) >= 5 * rate - FRAMES - rate // frequency


def test_a_card_killed_while_it_plays_goes_on_with_a_short_gap_and_nothing_old(
    tmp_path: Path,
) -> None:
    written = [0]
    ends: list[float] = []
    stop = threading.Event()

    def write(path: Path) -> None:
        fd = os.open(path, os.O_WRONLY)
        try:
            while not stop.is_set():
                data = numbered(written[0] * FRAMES, FRAMES)
                while data:  # a write that was cut short goes on
                    data = data[os.write(fd, data) :]
                written[0] += 1
                ends.append(time.monotonic())
        finally:
            os.close(fd)

    with instance(tmp_path) as up:
        writer = threading.Thread(target=write, args=(up.mount / "audiohw",))
        writer.start()
        try:
            for _ in range(2):
                reached = written[0] + 60
                deadline = time.monotonic() + 20
                while written[0] < reached:
                    assert time.monotonic() < deadline, up.log("ihdad")
                    time.sleep(0.01)
                back = up.kill("ihdad")
                print(f"the successor was ready after {back * 1000:.0f} ms")
            reached = written[0] + 60
            while written[0] < reached:
                assert time.monotonic() < deadline, up.log("ihdad")
                time.sleep(0.01)
        finally:
            stop.set()
            writer.join(20)
        time.sleep(0.2)  # the last of it
    gap = max(after - before for before, after in pairwise(ends))
    heard = numbers(read_wav(tmp_path / "out.wav")[1])
    if replays():
        heard = sorted(set(heard))
    steps = [after - before for before, after in pairwise(heard)]
    lost = [step - 1 for step in steps if step != 1]
    print(f"longest time between two writes {gap * 1000:.0f} ms, frames lost {lost}")
    # Never back: nothing old is heard.  Three sub-buffers die with a driver, and QEMU drops four.
    assert all(0 < it <= 8 * FRAMES for it in lost), lost
    assert len(lost) <= 6, lost
    assert gap < 10  # a tenth of a second where nobody else is at work
    assert len(heard) > 150 * FRAMES


def test_what_dup_tells_of_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with instance(tmp_path, "--lab", "hda:second=micro") as up:
        place(up, monkeypatch)
        second = next(name for name in os.listdir(up.mount) if name.startswith("audiohw."))
        assert second.startswith("audiohw.pci-1ab1-")
        with client.open("/scheme/audiohw", f.O_WRONLY) as card:
            assert facts(card, "format") == {
                "rate": 44100, "channels": 2, "bits": 16, "buffer": BUFFER, "ahead": 3,
                "capture": 44100,
            }  # fmt: skip
            assert card.write(bytes(4 * BUFFER)) == 3 * BUFFER
            card.fsync()
            assert facts(card, "position") == {"written": 3 * FRAMES, "played": 3 * FRAMES}
            stats = facts(card, "stats")
            assert (stats["written"], stats["underruns"]) == (3 * FRAMES, 0)
            with card.dup(b"jacks") as file:
                assert "0 0x03 Line Out unknown on\n" in text(file)
            with card.dup(b"capture") as capture, pytest.raises(OSError, match="Input/output"):
                capture.read(BUFFER)  # nothing comes from where QEMU makes a WAV file
            with pytest.raises(OSError, match="Bad file descriptor"):
                card.read(4)
            with pytest.raises(FileNotFoundError):
                card.dup(b"codec#1")
        with client.open(f"/scheme/{second}", f.O_RDWR) as card:
            with card.dup(b"capture") as capture:
                assert capture.read(BUFFER) == bytes(BUFFER)
            with card.dup(b"codecs") as file:
                assert text(file) == "codec#0\ncodec#1\n"
            with card.dup(b"codec#1") as file:
                assert text(file).startswith("Codec: QEMU Generic\nAddress: 1\n")
        fd = os.open(up.mount / second, os.O_RDONLY)
        try:
            assert os.read(fd, 1000) == bytes(1000)  # plain programs record by reading
        finally:
            os.close(fd)


@pytest.mark.parametrize("kind", [InterruptKind.MSI, InterruptKind.INTX])
def test_both_kinds_of_interrupt_and_both_ways_at_once(kind: InterruptKind, tmp_path: Path) -> None:
    wav = tmp_path / "out.wav"
    sound = [
        *("-audiodev", f"wav,id=a,path={wav}", "-device", "hda-output,audiodev=a,bus=hda.0,cad=0"),
        *("-audiodev", "none,id=b", "-device", "hda-duplex,audiodev=b,bus=hda.0,cad=1"),
    ]
    card = CARD if kind is InterruptKind.MSI else f"{CARD},msi=off"
    with player(*sound, kind=kind, card=card) as made:
        assert made.card.codecs() == [0, 1]
        assert made.card.jacks() == "0 0x03 Line Out unknown on\n1 0x05 Line In unknown recorded\n"
        made.card.record(True)
        firsts = [64 * FRAMES * it for it in range(ATTEMPTS + 1)]
        interrupts, recorded = [], []
        for first in firsts:
            made.interrupts, made.recorded = 0, b""
            made.play(numbered(first, 64 * FRAMES))
            interrupts.append(made.interrupts)  # fewer where nobody had time for each
            recorded.append(len(made.recorded))
            assert set(made.recorded) == {0}
        assert max(interrupts) >= 40
        assert max(recorded) >= 40 * BUFFER
        counts = made.card.statistics()
        assert counts["DRIVER_RESETS"] == counts["DRIVER_NONSENSE"] == 0, counts
        made.play(bytes(8 * BUFFER))  # so that QEMU has heard it all
    heard = numbers(read_wav(wav)[1])
    assert heard == sorted(set(heard))
    there = set(heard)
    perfect = [it for it in firsts if there.issuperset(range(it, it + 64 * FRAMES))]
    assert perfect, f"of {ATTEMPTS} pieces none was heard whole: {counts}"
