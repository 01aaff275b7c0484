"""`make bench`: the driver on the host's lab, then beside the kernel's driver in the guest.

Prints a table for people; `--json FILE` writes every figure.  QEMU's null-co stands behind the
device, so what is measured is software: drivers, the emulated controller, and nothing of a disk.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Final

from load import Driver, Figure, series

from redbear_host.hw.clock import SystemClock
from redbear_host.hw.qtest import open_function
from redbear_host.lab.guest import GuestOptions, run
from redbear_host.lab.machine import Machine

NULL: Final = json.dumps(
    {"driver": "null-co", "node-name": "null", "size": 1 << 30, "read-zeroes": False}
)
DEVICE: Final = "nvme,serial=BENCH,drive=null,mdts=8,max_ioqpairs=8,addr=4"

# Ours, theirs, and what the project wants the ratio to be at least.
PAIRS: Final = (
    ("nvmed polled read 4k depth 1", "kernel io_uring polled read 4k depth 1", 1.5),
    ("nvmed polled read 4k depth 32", "kernel io_uring polled read 4k depth 32", 4.0),
    ("nvmed interrupt read 4k depth 1", "kernel psync read 4k depth 1", 0.9),
    ("nvmed interrupt read 4k depth 32", "kernel io_uring read 4k depth 32", 2.5),
    ("nvmed polled write 4k depth 1", "kernel io_uring polled write 4k depth 1", 0.0),
    ("nvmed polled write 4k depth 32", "kernel io_uring polled write 4k depth 32", 0.0),
    ("nvmed interrupt write 4k depth 1", "kernel psync write 4k depth 1", 0.0),
    ("nvmed interrupt write 4k depth 32", "kernel io_uring write 4k depth 32", 0.0),
    ("nvmed interrupt read 1024k depth 4", "kernel io_uring read 1024k depth 4", 0.0),
    ("nvmed interrupt write 1024k depth 4", "kernel io_uring write 1024k depth 4", 0.0),
    ("scheme file psync read 4k depth 1", "kernel psync read 4k depth 1", 0.0),
    ("scheme file libaio read 4k depth 32", "kernel io_uring read 4k depth 32", 0.0),
    ("scheme file psync read 1M depth 1", "kernel io_uring read 1024k depth 4", 0.0),
)


def main() -> None:
    """Run both halves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--only", choices=("host", "guest"), help="run one half")
    args = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    if args.only != "guest":
        found["host"] = {figure.name: figure.per_second for figure in host()}
    if args.only != "host":
        found["guest"] = guest()
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


def host() -> list[Figure]:
    """Measure nvmed's driver on QEMU's model, reached by qtest."""
    print("nvmed's driver on the host, over QEMU by qtest (a socket call per register access):")
    figures = []
    with Machine(["-blockdev", NULL, "-device", DEVICE]) as machine:
        for polled in (False, True):
            function = open_function(*machine.functions[0].copy())
            driver = Driver(function, SystemClock(), polled)
            prefix = "nvmed polled" if polled else "nvmed interrupt"
            try:
                for figure in series(driver, 2.0, prefix):
                    print(f"  {figure.name:40} {figure.per_second:10,.0f}/s"
                          f" {figure.mib_per_second:9,.1f} MiB/s")  # fmt: skip
                    figures.append(figure)
            finally:
                driver.close()
                function.close()
    return figures


def guest() -> dict[str, float]:
    """Measure beside the kernel's driver, in one boot of the guest."""
    print("in the guest (TCG, intel-iommu, Debian's kernel), operations per second:", flush=True)
    out = io.BytesIO()
    script = Path(__file__).with_name("rivals.py")
    options = GuestOptions(
        devices=(),
        arguments=("-blockdev", NULL, "-device", DEVICE),
        environment={"PYTHONPATH": str(script.parent)},
        timeout=900,
    )
    status = run([sys.executable, str(script)], options, output=out)
    if status != 0:
        sys.exit(f"the guest's half failed ({status}): {out.getvalue().decode()[-2000:]}")
    found: dict[str, float] = json.loads(out.getvalue().decode().splitlines()[-1])
    for name, value in found.items():
        print(f"  {name:45} {value:10,.0f}")
    print("ratios, ours to the kernel's:")
    for ours, theirs, target in PAIRS:
        ratio = found[ours] / found[theirs]
        verdict = ""
        if target:
            verdict = f"   target {target:g}: {'reached' if ratio >= target else 'MISSED'}"
        print(f"  {ratio:6.2f}  {ours}  /  {theirs}{verdict}")
    return found


if __name__ == "__main__":
    main()
