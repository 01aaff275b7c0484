"""What mixing costs: audiod's share of a processor, by how many programs play.

    sudo .venv/bin/python -m benchmarks.audio

Programs are `dd`, the card one that takes a block each 11.6 ms and does nothing with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "lab"))

from audiod_rig import Sound, noise

SECONDS = 4.0
PROGRAMS = (0, 1, 4, 16)


def spent(pid: int) -> float:
    """Return the seconds of processor a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share(sound: Sound, path: Path, count: int) -> tuple[float, int]:
    """Return the share while `count` programs write to `path`, and how often one ran dry."""
    music = sound.folder / "music.raw"
    music.write_bytes(noise(48000 * 8).tobytes())
    command = ["dd", f"if={music}", f"of={path}", "bs=8k", "status=none"]
    before = sound.stats()["underruns"]
    programs = [subprocess.Popen(command) for _ in range(count)]
    time.sleep(0.7)
    had, began = spent(sound.daemon.pid), time.monotonic()
    time.sleep(SECONDS)
    used = (spent(sound.daemon.pid) - had) / (time.monotonic() - began)
    for program in programs:
        program.kill()
        program.wait()
    sound.quiet()
    return used, sound.stats()["underruns"] - before


def main() -> None:
    """Print a line for each number of programs."""
    with TemporaryDirectory() as folder, Sound(Path(folder), volume=80) as sound:
        for what, path in (("as the card", sound.audio), ("48000 Hz", sound.ctl / "in" / "48000")):
            for count in PROGRAMS:
                used, dry = share(sound, path, count)
                print(f"{count:2} programs, {what}: {used:.1%} of a processor, {dry} under-runs")


if __name__ == "__main__":
    main()
