"""`make bench`: the disk drivers on the host's lab, then beside the kernel's drivers in the guest.

Prints a table for people; `--json FILE` writes every figure.  QEMU's null-co stands behind the
device, so what is measured is software: drivers, the emulated controller, and nothing of a disk.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from load import Driver, Figure, series

from redbear_host.hw.clock import SystemClock
from redbear_host.hw.qtest import open_function
from redbear_host.lab.guest import GuestOptions, run
from redbear_host.lab.machine import Machine

ROOT: Final = Path(__file__).resolve().parent.parent
NULL: Final = json.dumps(
    {"driver": "null-co", "node-name": "null", "size": 1 << 30, "read-zeroes": False}
)
DEVICES: Final = {
    "nvme": ["-device", "nvme,serial=BENCH,drive=null,mdts=8,max_ioqpairs=8,addr=4"],
    "ahci": ["-device", "ich9-ahci,id=ahci,addr=4", "-device", "ide-hd,bus=ahci.0,drive=null"],
}

# Ours, theirs, and what the project wants the ratio to be at least; 0 where it wants nothing.
Pair = tuple[str, str, float]
NVME: Final[tuple[Pair, ...]] = (
    ("driver polled read 4k depth 1", "kernel io_uring polled read 4k depth 1", 1.5),
    ("driver polled read 4k depth 32", "kernel io_uring polled read 4k depth 32", 4.0),
    ("driver polled write 4k depth 1", "kernel io_uring polled write 4k depth 1", 0.0),
    ("driver polled write 4k depth 32", "kernel io_uring polled write 4k depth 32", 0.0),
    ("ring read 4k depth 1", "kernel io_uring polled read 4k depth 1", 1.0),
    ("ring read 4k depth 32", "kernel io_uring polled read 4k depth 32", 2.0),
    ("ring read 4k depth 1", "without quick, ring read 4k depth 1", 0.0),
    ("ring read 4k depth 32", "without quick, ring read 4k depth 32", 0.0),
    ("file psync read 4k depth 1", "without quick, file psync read 4k depth 1", 0.0),
    ("file libaio read 4k depth 16", "without quick, file libaio read 4k depth 16", 0.0),
)
AHCI: Final[tuple[Pair, ...]] = (
    ("driver polled read 4k depth 1", "kernel psync read 4k depth 1", 1.0),
    ("driver polled read 4k depth 32", "kernel io_uring read 4k depth 32", 1.5),
    ("ring read 4k depth 1", "kernel psync read 4k depth 1", 0.0),
    ("ring read 4k depth 32", "kernel io_uring read 4k depth 32", 0.0),
)
BOTH: Final[tuple[Pair, ...]] = (
    ("driver interrupt read 4k depth 1", "kernel psync read 4k depth 1", 0.0),
    ("driver interrupt read 4k depth 32", "kernel io_uring read 4k depth 32", 0.0),
    ("driver interrupt write 4k depth 1", "kernel psync write 4k depth 1", 0.0),
    ("driver interrupt write 4k depth 32", "kernel io_uring write 4k depth 32", 0.0),
    ("driver interrupt read 1024k depth 4", "kernel io_uring read 1024k depth 4", 0.0),
    ("driver interrupt write 1024k depth 4", "kernel io_uring write 1024k depth 4", 0.0),
    ("ring write 4k depth 1", "kernel psync write 4k depth 1", 0.0),
    ("ring write 4k depth 32", "kernel libaio write 4k depth 32", 0.0),
    ("file psync read 4k depth 1", "kernel psync read 4k depth 1", 0.4),
    ("file libaio read 4k depth 16", "kernel libaio read 4k depth 16", 0.8),
    ("file libaio read 4k depth 32", "kernel libaio read 4k depth 32", 0.0),
    ("file psync read 1M depth 1", "kernel io_uring read 1024k depth 4", 0.0),
)
PAIRS: Final = {"nvme": NVME + BOTH, "ahci": AHCI + BOTH}


def main() -> None:
    """Run both halves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--only", choices=("host", "guest"), help="run one half")
    parser.add_argument("--device", choices=tuple(DEVICES), help="one kind; else each, by itself")
    parser.add_argument("--rounds", type=int, default=3, help="by turns, in the guest")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    args = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for kind in [args.device] if args.device else DEVICES:
        if args.only != "guest":
            found[f"{kind}, host"] = {f.name: f.per_second for f in host(kind, args.seconds)}
        if args.only != "host":
            found[f"{kind}, guest"] = guest(kind, args.rounds, args.seconds)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


def host(kind: str, seconds: float) -> list[Figure]:
    """Measure a driver on QEMU's model, reached by qtest."""
    print(
        f"{kind}: our driver on the host, over QEMU by qtest (a socket call per register access):"
    )
    figures = []
    with Machine(["-blockdev", NULL, *DEVICES[kind]]) as machine:
        for polled in (False, True):
            function = open_function(*machine.functions[0].copy())
            driver = Driver(kind, function, SystemClock(), polled)
            prefix = "driver polled" if polled else "driver interrupt"
            try:
                for figure in series(driver, seconds, prefix):
                    print(f"  {figure.name:40} {figure.per_second:10,.0f}/s"
                          f" {figure.mib_per_second:9,.1f} MiB/s")  # fmt: skip
                    figures.append(figure)
            finally:
                driver.close()
                function.close()
    return figures


def guest(kind: str, rounds: int, seconds: float) -> dict[str, float]:
    """Measure beside the kernel's driver, in one boot of the guest."""
    print(f"{kind}, in the guest (TCG, intel-iommu, Debian's kernel), operations per second:")
    sys.stdout.flush()
    build_ring_load()
    out = io.BytesIO()
    script = Path(__file__).with_name("rivals.py")
    options = GuestOptions(
        devices=(),
        arguments=("-blockdev", NULL, *DEVICES[kind]),
        environment={"PYTHONPATH": str(script.parent)},
        timeout=1800,
    )
    argv = [sys.executable, str(script), kind, str(rounds), f"{seconds:g}"]
    status = run(argv, options, output=out)
    if status != 0:
        sys.exit(f"the guest's half failed ({status}): {out.getvalue().decode()[-2000:]}")
    found: dict[str, float] = json.loads(out.getvalue().decode().splitlines()[-1])
    for name, value in found.items():
        print(f"  {name:45} {value:10,.0f}")
    print("ratios, ours to the kernel's:")
    for ours, theirs, target in PAIRS[kind]:
        ratio = found[ours] / found[theirs]
        verdict = ""
        if target:
            verdict = f"   target {target:g}: {'reached' if ratio >= target else 'MISSED'}"
        print(f"  {ratio:6.2f}  {ours}  /  {theirs}{verdict}")
    return found


def build_ring_load() -> None:
    """Compile the client of the ring door."""
    made = ROOT / "build/bench/ring_load"
    made.parent.mkdir(parents=True, exist_ok=True)
    sources = [ROOT / "benchmarks/ring_door/load.c", ROOT / "libredox/dial.c"]
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{ROOT}/libredox"]
    subprocess.run(["gcc", *flags, "-o", made, *sources], check=True, timeout=120)


if __name__ == "__main__":
    main()
