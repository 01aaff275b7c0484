"""A disk's file in the host's lab as programs use it: `dd` and fio, one request at a time and many.

    python benchmarks/files.py [--json FILE] [--seconds S] [--device nvme|ahci]

QEMU serves an image in memory; what is measured is the way through FUSE, the daemon and QEMU's
model by qtest.  Everything is read `--rounds` times, by turns; medians count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

COMMAND: Final = [sys.executable, "-m", "redbear_host"]
SIZE: Final = 512 << 20
BULK_TARGET: Final = 2e9  # bytes per second that the project wants of reads of 1 MiB
DD: Final = (("4k", 4096), ("128k", 128 << 10), ("1M", 1 << 20))
FIO: Final = (
    ("read", "1M", "psync", 1),
    ("read", "1M", "libaio", 8),
    ("write", "1M", "psync", 1),
    ("read", "4k", "psync", 1),
    ("randread", "4k", "psync", 1),
    ("randread", "4k", "libaio", 16),
    ("randread", "4k", "libaio", 32),
    ("randread", "1M", "psync", 1),
)


@contextmanager
def served(kind: str) -> Iterator[Path]:
    """Serve a lab disk for as long as the block runs; give its file."""
    with (
        tempfile.TemporaryDirectory(prefix="redbear-bench-", dir="/dev/shm") as memory,
        tempfile.TemporaryDirectory(prefix="redbear-bench-") as folder,
    ):
        image, mount, run = Path(memory, "disk.img"), Path(folder, "scheme"), Path(folder, "run")
        with image.open("wb") as file:
            for _ in range(SIZE >> 20):
                file.write(os.urandom(1 << 20))
        up = ["up", "--detach", "--mount", str(mount), "--run-dir", str(run)]
        lab = f"{kind}:file={image},serial=BENCH" + ",mdts=8" * (kind == "nvme")
        subprocess.run([*COMMAND, *up, "--lab", lab], check=True, capture_output=True, timeout=120)
        try:
            name = next(one for one in os.listdir(mount) if one.startswith("disk."))
            number = next(one for one in sorted(os.listdir(mount / name)) if one.isdigit())
            yield mount / name / number
        finally:
            subprocess.run(
                [*COMMAND, "down", "--run-dir", str(run)],
                check=True, capture_output=True, timeout=120,
            )  # fmt: skip


def dd(file: Path, size: str, count: int) -> float:
    """Read from the start; return bytes per second."""
    done = subprocess.run(
        ["dd", f"if={file}", "of=/dev/null", f"bs={size}", f"count={count}"],
        check=True, capture_output=True, text=True, timeout=120, env={"LC_ALL": "C"},
    )  # fmt: skip
    words = done.stderr.splitlines()[-1].split(", ")
    return float(words[0].split()[0]) / float(words[-2].split()[0])


def fio(file: Path, verb: str, size: str, engine: str, depth: int, seconds: float) -> float:
    """Return bytes per second."""
    done = subprocess.run(
        ["fio", "--name=b", f"--filename={file}", f"--rw={verb}", f"--bs={size}",
         f"--ioengine={engine}", f"--iodepth={depth}", "--direct=1", "--time_based",
         f"--runtime={seconds:g}", f"--size={SIZE}", "--norandommap", "--allow_file_create=0",
         "--output-format=json"],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    job = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    return float(job["write" if verb.endswith("write") else "read"]["bw_bytes"])


def main() -> None:
    """Measure by turns and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--device", choices=("nvme", "ahci"), default="nvme")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure of fio")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    args = parser.parse_args()
    found: dict[str, list[float]] = {}
    with served(args.device) as file:
        for _ in range(args.rounds):
            for size, each in DD:
                rate = dd(file, size, min(SIZE // each, 32768))
                found.setdefault(f"dd bs={size}", []).append(rate)
            for verb, size, engine, depth in FIO:
                rate = fio(file, verb, size, engine, depth, args.seconds)
                found.setdefault(f"fio {engine} {verb} {size} depth {depth}", []).append(rate)
    rates = {name: median(values) for name, values in found.items()}
    for name, rate in rates.items():
        print(f"{name:36} {rate / 1e6:10,.0f} MB/s")
    best = max(rate for name, rate in rates.items() if "1M" in name and "write" not in name)
    verdict = "reached" if best >= BULK_TARGET else "MISSED"
    print(f"reads of 1 MiB: {best / 1e9:.2f} GB/s (target {BULK_TARGET / 1e9:g}: {verdict})")
    if args.json:
        args.json.write_text(json.dumps(rates, indent=1))


if __name__ == "__main__":
    main()
