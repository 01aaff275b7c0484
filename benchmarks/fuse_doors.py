"""The FUSE door beside libfuse in C, pyfuse3 and mfusepy, all serving one file.

It lies in memory, or in another file of a tmpfs that is read for each read (a pass-through).

Run as root: `python benchmarks/fuse_doors.py [--json FILE] [--instructions]`.  A client in C does
each thing a fixed number of times, the four servers by turns; medians of the rounds count.  Client
and server share a core, then have one each.  With --instructions the same runs in the guest under
`-icount`, where a nanosecond is an instruction: no noise, one round.

`--gate` does only the last, only for ours, and compares with `instructions.json`: exit status 1 if
an operation needs 5 % more than is written there.  `--gate --write` writes it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from redbear_host import linux
from redbear_host.lab.guest import GuestOptions, run
from redbear_host.lab.kernel import find_kernel

HERE: Final = Path(__file__).resolve().parent / "fuse"
BUILD: Final = Path(__file__).resolve().parent.parent / "build/bench"
INSTRUCTIONS: Final = HERE.parent / "instructions.json"
ALLOWED: Final = 1.05
SIZE: Final = 16 << 20
OPERATIONS: Final = {"stat": 3000, "open": 2000, "read4k": 6000, "read1m": 400}
ROUNDS: Final = 5
SERVERS: Final = ("ours", "libfuse C", "pyfuse3", "mfusepy")
PLACES: Final = {"one core": (0, 0), "two cores": (0, 1)}  # client, server

# What the project wants: ours / rival, for reads of 4 KiB.
TARGETS: Final = {"pyfuse3": 4.0, "libfuse C": 0.8}


def prepare(rivals: bool) -> None:
    """Build the C programs, and a folder of its own for the Python rivals."""
    BUILD.mkdir(parents=True, exist_ok=True)
    programs: list[tuple[str, list[str]]] = [("load", [])]
    if rivals:
        asked = ["pkg-config", "--cflags", "--libs", "fuse3"]
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        programs.append(("rival", said.split()))
    for name, extra in programs:
        source, made = HERE / f"{name}.c", BUILD / name
        if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["gcc", "-O2", "-o", made, source, *extra], check=True)
    if rivals and not (BUILD / "rivals/bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", BUILD / "rivals"], check=True)
        pip = [BUILD / "rivals/bin/pip", "install", "-q", "pyfuse3>=3.4", "mfusepy>=3"]
        subprocess.run(pip, check=True)


def command(server: str, point: Path, source: Path | None) -> list[str]:
    """Return how a server is started."""
    arguments = [str(point), str(SIZE), *([] if source is None else [str(source)])]
    rivals = str(BUILD / "rivals/bin/python")
    return {
        "ours": [sys.executable, str(HERE / "ours.py"), *arguments],
        "libfuse C": [str(BUILD / "rival"), *arguments],
        "pyfuse3": [rivals, str(HERE / "rival_pyfuse3.py"), *arguments],
        "mfusepy": [rivals, str(HERE / "rival_mfusepy.py"), *arguments],
    }[server]


@contextmanager
def served(
    server: str, folder: Path, source: Path | None
) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """Mount a server's file system for as long as the block runs."""
    point = folder / server.replace(" ", "-")
    point.mkdir()
    environment = os.environ | {"FUSE_LIBRARY_PATH": _libfuse()}
    with open(folder / f"{point.name}.log", "wb") as log:
        argv = command(server, point, source)
        process = subprocess.Popen(argv, env=environment, stderr=log, stdout=log)
    try:
        deadline = time.monotonic() + 60
        while not _mounted(point):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{server}: " + (folder / f"{point.name}.log").read_text())
            time.sleep(0.02)
        yield point / "blob", process
    finally:
        if _mounted(point):
            linux.umount(point, linux.MNT_DETACH)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _mounted(point: Path) -> bool:
    return f" {point} " in Path("/proc/self/mountinfo").read_text()


def _libfuse() -> str:
    """Return libfuse 3's file; mfusepy would take version 2 if it is there."""
    found = sorted(Path("/usr/lib").glob("*/libfuse3.so.3"))
    return str(found[0]) if found else ""


def place(pid: int, core: int) -> None:
    """Keep a process and its threads on one core."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {core % (os.cpu_count() or 1)})


def measure(
    rounds: int, places: dict[str, tuple[int, int]], servers: Sequence[str] = SERVERS
) -> dict[str, float]:
    """Return nanoseconds an operation, by `PLACE, OPERATION, SERVER`: the medians."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="redbear-bench-", dir="/dev/shm") as name:
        folder = Path(name)
        source = folder / "source"
        source.write_bytes(bytes(SIZE))
        runs = [(n, s, b) for n in range(rounds) for s in servers for b in (None, source)]
        for number, server, behind in runs:
            inner = folder / f"{number}-{server.split()[0]}-{behind is None}"
            inner.mkdir()
            with served(server, inner, behind) as (file, process):
                for where, (client, other) in places.items():
                    place(process.pid, other)
                    for operation, count in OPERATIONS.items():
                        if behind is not None and not operation.startswith("read"):
                            continue  # the same as in memory
                        spent = _load(operation, file, count, client)
                        kind = "" if behind is None else " of a file"
                        found.setdefault(f"{where}, {operation}{kind}, {server}", []).append(
                            spent / count
                        )
    return {key: median(values) for key, values in found.items()}


def _load(operation: str, file: Path, count: int, core: int) -> int:
    core %= os.cpu_count() or 1
    argv = ["taskset", "-c", str(core), str(BUILD / "load"), operation, str(file), str(count)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=True)
    return int(done.stdout)


def in_guest(servers: Sequence[str] = SERVERS) -> dict[str, float]:
    """Measure once more under -icount; a nanosecond is an instruction there."""
    options = GuestOptions(devices=(), processors=1, count_instructions=True, timeout=1500)
    output = io.BytesIO()
    argv = [sys.executable, str(Path(__file__).resolve()), "--inside", ",".join(servers)]
    if run(argv, options, output=output):
        raise SystemExit("the guest failed")
    return dict(json.loads(output.getvalue().splitlines()[-1]))


def gate(write: bool) -> int:
    """Compare our instructions with those written down for this kernel and this Python."""
    key = f"{find_kernel().image.name}, Python {sys.version.split()[0]}"
    known = json.loads(INSTRUCTIONS.read_text()) if INSTRUCTIONS.exists() else {}
    found = {name: round(count) for name, count in in_guest(("ours",)).items()}
    if write:
        INSTRUCTIONS.write_text(json.dumps(known | {key: found}, indent=1) + "\n")
        return 0
    if key not in known:
        print(f"nothing is written down for {key}; there is {', '.join(known)}")
        return 0
    worse = 0
    for name, count in found.items():
        ratio = count / known[key][name]
        word = "too many" if ratio > ALLOWED else "ok"
        worse += ratio > ALLOWED
        print(f"{name:28} {count:12,} instructions, {ratio:.3f} of what is known: {word}")
    return 1 if worse else 0


def show(found: dict[str, float], unit: str) -> None:
    """Print a table: a line for each place and operation, a column for each server."""
    print(f"{unit:32}" + "".join(f"{server:>12}" for server in SERVERS))
    for head in dict.fromkeys(key.rsplit(", ", 1)[0] for key in found):
        values = [found[f"{head}, {server}"] for server in SERVERS]
        shown = [f"{v:12,.0f}" if unit == "instructions" else f"{1e9 / v:12,.0f}" for v in values]
        print(f"{head:32}" + "".join(shown))
    for head in dict.fromkeys(key.rsplit(", ", 1)[0] for key in found):
        if "read4k" not in head:
            continue
        for server, target in TARGETS.items():
            ratio = found[f"{head}, {server}"] / found[f"{head}, ours"]
            word = "reached" if ratio >= target else "missed"
            print(f"{head}: ours / {server} = {ratio:.2f} (target {target:g}: {word})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--instructions", action="store_true", help="count them in the guest, too")
    parser.add_argument("--gate", action="store_true", help="compare ours with what is known")
    parser.add_argument("--write", action="store_true", help="write down what is known")
    parser.add_argument("--inside", metavar="SERVERS", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        for operation in OPERATIONS:
            OPERATIONS[operation] //= 10
        print(json.dumps(measure(1, {"icount": (0, 0)}, args.inside.split(","))))
        return
    if shutil.which("pkg-config") is None or os.geteuid() != 0:
        raise SystemExit("this needs root, gcc, pkg-config and libfuse3-dev: make setup")
    prepare(rivals=not args.gate)
    if args.gate:
        raise SystemExit(gate(args.write))
    found = {"wall": measure(args.rounds, PLACES)}
    show(found["wall"], "operations per second")
    if args.instructions:
        found["instructions"] = in_guest()
        show(found["instructions"], "instructions")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
