"""audiod, locked in, on a card that writes down what it gets; and what to ask of sound."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import ExitStack

import numpy as np
from qemu_version import QEMU_BUFFER

from kernel_shim.answers import Answers
from kernel_shim.rundir import RunDir
from kernel_shim.service import Service, State
from kernel_shim.supervisor import Supervisor
from redbear_host import manifest

RATE = 44100


class Sound:
    """An instance with audiohw, audio and audio.ctl; `with Sound(tmp_path) as sound`."""

    def __init__(self, folder, rate=RATE, **options):
        self.folder = folder
        self.mount, self.run_dir = folder / "scheme", folder / "run"
        self.file = folder / "played"
        self.audio, self.ctl = self.mount / "audio", self.mount / "audio.ctl"
        self._rate, self._options = rate, options
        self._undo = ExitStack()
        self._stop = False
        self._errands = []

    def __enter__(self):
        try:
            self._begin()
        except BaseException:
            self._undo.close()
            raise
        return self

    def _begin(self):
        self.supervisor = Supervisor(RunDir(self.run_dir), self.mount)
        self._undo.callback(self.supervisor.close)
        self.supervisor.open()
        Answers(self.supervisor)
        (self.card,) = self.supervisor.start(self._card())
        (self.daemon,) = self.supervisor.start(self._audiod())
        self._thread = threading.Thread(target=self._supervise)
        self._thread.start()
        self._undo.callback(self._end)
        os.environ["REDBEAR_RINGS"] = str(self.run_dir / "ring")
        self._undo.callback(os.environ.pop, "REDBEAR_RINGS", None)
        self.wait(lambda: self.stats()["card"] == 1, 10)

    def __exit__(self, *_):
        self._undo.close()

    def _card(self):
        return Service(
            name="card",
            module="tests.lab.audiohw_daemon",
            schemes=("audiohw",),
            file_roots=("audiohw",),
            options={"file": str(self.file), "rate": self._rate},
        )

    def _audiod(self):
        said = manifest.named("audiod", manifest.installed())
        options = {name: option.default for name, option in said.options.items()} | self._options
        return Service(
            name=said.name,
            module=said.module,
            schemes=said.schemes,
            file_roots=said.file_roots,
            with_=said.with_,
            asks=frozenset(said.asks),
            policy=said.policy(options),
            options=options,
            facts={"scratch": str(self.run_dir / "scratch"), "run_dir": str(self.run_dir)},
        )

    def _supervise(self):
        loop = self.supervisor.loop
        while not self._stop:
            timer = loop.at(loop.now() + 0.02, lambda: None)
            loop.run_round()
            timer.cancel()

    def _end(self):
        self._stop = True
        self._thread.join(20)

    def wait(self, done, within=20.0):
        deadline = time.monotonic() + within
        while not (found := done()):
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.005)
        return found

    def log(self):
        return "".join(p.read_text() for p in (self.run_dir / "log").glob("*.log"))

    def kill(self, running):
        """Kill a daemon and wait for its successor."""
        life = running.life
        os.kill(running.pid, signal.SIGKILL)
        self.wait(lambda: running.life > life and running.state is State.READY)

    def stats(self):
        lines = (self.ctl / "stats").read_text().splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}

    def clients(self):
        columns, *rows = (line.split() for line in (self.ctl / "clients").read_text().splitlines())
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def quiet(self):
        """Wait until nothing is queued any more and the card has played it."""
        self.wait(lambda: all(row["QUEUED"] == "0" for row in self.clients()))
        with open(self.audio, "wb", buffering=0) as stream:
            stream.write(bytes(4))
            os.fsync(stream.fileno())

    def played(self):
        """Return what the card has played, as frames of two."""
        raw = self.file.read_bytes() if self.file.exists() else b""
        return np.frombuffer(raw, "<i2").reshape(-1, 2)


def sounding(frames):
    """Cut silence off at both ends."""
    loud = np.flatnonzero(frames.any(axis=1))
    return frames[loud[0] : loud[-1] + 1] if len(loud) else frames[:0]


def noise(count, seed=1, most=32767):
    """Return `count` frames that are all different, and none silent."""
    made = np.random.default_rng(seed).integers(1, most, (count, 2), np.int16)
    return made * np.array([1, -1], np.int16)


def tone(hertz, seconds, level=0.5, rate=RATE):
    """Return a sine, one channel, full scale 1.0."""
    return level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def stereo(left, right):
    """Return frames of 16 bits."""
    return np.rint(np.stack([left, right], axis=1) * 32767).astype("<i2")


def level(samples, hertz, rate=RATE):
    """Return the amplitude of one frequency in samples of full scale 1.0."""
    window = np.hanning(len(samples))
    turns = np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / rate)
    return float(2 * abs((samples * window * turns).sum()) / window.sum())


def peak(samples, rate=RATE):
    """Return the strongest frequency."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 19))
    return float(spectrum.argmax() * rate / (1 << 19))


def edits(found, wanted):
    """Tell how `found` differs from `wanted`: what, at which frame of it, how many frames.

    A "pause" is silence that was not wanted, "more" is there again, "lost" is missing.
    """
    made, i, j = [], 0, 0
    while i < len(found) and j < len(wanted):
        count = min(len(found) - i, len(wanted) - j)
        differs = (found[i : i + count] != wanted[j : j + count]).any(axis=1)
        same = int(differs.argmax()) if differs.any() else count
        i, j = i + same, j + same
        if same == count:
            break
        quiet = found[i:].any(axis=1).argmax()
        if quiet:
            made.append(("pause", j, int(quiet)))
            i += int(quiet)
            continue
        more, lost = _seek(found[i:], wanted[j : j + 16]), _seek(wanted[j:], found[i : i + 16])
        if more < 0 and lost < 0:
            made.append(("other", j, len(wanted) - j))
            return made
        if lost < 0 or 0 <= more < lost:
            made.append(("more", j, more))
            i += more
        else:
            made.append(("lost", j, lost))
            j += lost
    if j < len(wanted):
        made.append(("lost", j, len(wanted) - j))
    if i < len(found):
        made.append(("more", j, len(found) - i))
    return made


def without_replays(frames):
    """Leave out what is the same as one of QEMU's buffers before; silence stays."""
    again = np.zeros(len(frames), dtype=bool)
    again[QEMU_BUFFER:] = (frames[QEMU_BUFFER:] == frames[:-QEMU_BUFFER]).all(axis=1)
    return frames[~(again & frames.any(axis=1))]


def _seek(frames, part):
    """Return where `part` begins in `frames`; -1: nowhere."""
    for at in np.flatnonzero((frames == part[0]).all(axis=1)) if len(part) else ():
        if np.array_equal(frames[at : at + len(part)], part[: len(frames) - at]):
            return int(at)
    return -1
