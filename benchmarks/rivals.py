"""Inside the guest: our driver over VFIO beside the kernel's own, in one boot.

Both drive the same device of the same QEMU, one after the other and by turns.  Started by
`benchmarks/run.py` on the host; prints one JSON document.

An emulator flatters a driver that makes no system calls: interrupts and system calls are dear here.
The ratios say how the two compare under emulation, not on iron.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any, Final

from load import Driver, series

from kernel_shim import bind
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.vfio import Claim, open_function

ADDRESS: Final = "0000:00:04.0"
DISK: Final = Path("/dev/nvme0n1")
ARENA: Final = 32 << 20
ROUNDS: Final = 3
SECONDS: Final = 2.0

KERNEL: Final = {
    "psync": ["--ioengine=psync"],
    "io_uring": ["--ioengine=io_uring"],
    "io_uring polled": ["--ioengine=io_uring", "--hipri", "--fixedbufs", "--registerfiles"],
}


def main() -> None:
    """Measure by turns, print medians as JSON."""
    subprocess.run(["modprobe", "nvme", "poll_queues=1"], check=True, timeout=60)
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, value in kernel():
            found.setdefault(name, []).append(value)
        for name, value in ours():
            found.setdefault(name, []).append(value)
    for name, value in fuse():
        found.setdefault(name, []).append(value)
    json.dump({name: median(values) for name, values in found.items()}, sys.stdout)


def kernel() -> list[tuple[str, float]]:
    """Measure the kernel's driver with fio."""
    wait_for_disk()
    figures = []
    for engine, options in KERNEL.items():
        for verb in ("read", "write"):
            for depth in (1, 32):
                if engine == "psync" and depth > 1:
                    continue  # it cannot
                value = fio(DISK, verb, "4k", depth, options)
                figures.append((f"kernel {engine} {verb} 4k depth {depth}", value))
    for verb in ("read", "write"):
        value = fio(DISK, verb, "1M", 4, KERNEL["io_uring"])
        figures.append((f"kernel io_uring {verb} 1024k depth 4", value))
    return figures


def fio(path: Path, verb: str, size: str, depth: int, options: list[str]) -> float:
    """Run fio; return operations per second."""
    done = subprocess.run(
        ["fio", "--name=b", f"--filename={path}", f"--rw=rand{verb}", f"--bs={size}",
         f"--iodepth={depth}", "--direct=1", "--time_based", f"--runtime={SECONDS:g}",
         "--size=64M", "--norandommap", "--randrepeat=1", "--output-format=json", *options],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    job: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    return float(job[verb]["iops"])


def ours() -> list[tuple[str, float]]:
    """Measure nvmed's driver over VFIO, by interrupt and polled."""
    record = bind.plan(ADDRESS)
    bind.bind(record)
    figures = []
    try:
        for polled in (False, True):
            claim = Claim(ADDRESS, ARENA)
            grant, fds = claim.grant()
            function = open_function(grant, [os.dup(fd) for fd in fds])
            driver = Driver(function, SystemClock(), polled)
            prefix = "nvmed polled" if polled else "nvmed interrupt"
            try:
                figures += [(f.name, f.per_second) for f in series(driver, SECONDS, prefix)]
            finally:
                driver.close()
                function.close()
                claim.release()
    finally:
        bind.restore(record)
    return figures


def fuse() -> list[tuple[str, float]]:
    """Measure what a plain program sees through /scheme."""
    command = [sys.executable, "-m", "redbear_host"]
    subprocess.run(
        [*command, "up", "--detach", "--device", ADDRESS],
        check=True, timeout=120, stdout=sys.stderr,
    )  # fmt: skip
    try:
        disk = Path(f"/scheme/disk.pci-{ADDRESS.replace(':', '-')}-nvme/1")
        return [
            (
                f"scheme file {engine} {verb} {size} depth {depth}",
                fio(disk, verb, size, depth, opts),
            )
            for verb in ("read", "write")
            for engine, size, depth, opts in (
                ("psync", "4k", 1, ["--ioengine=psync"]),
                ("libaio", "4k", 32, ["--ioengine=libaio"]),
                ("psync", "1M", 1, ["--ioengine=psync"]),
            )
        ]
    finally:
        subprocess.run([*command, "down"], check=True, timeout=60, stdout=sys.stderr)


def wait_for_disk() -> None:
    """Let udev's or devtmpfs's node appear."""
    subprocess.run(["udevadm", "settle"], check=False, timeout=30)
    for _ in range(1000):
        if DISK.is_block_device():
            return
        subprocess.run(["sleep", "0.01"], check=True)
    raise FileNotFoundError(DISK)


if __name__ == "__main__":
    main()
