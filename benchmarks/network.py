"""e1000d beside the kernel's driver and DPDK's, in the guest: frames per second, instructions each.

    python benchmarks/network.py [--rounds N] [--json FILE] [--no-instructions]

One boot measures by turns, a second one counts instructions (`-icount`: the guest's clock advances
by a nanosecond with each).  Emulation flatters whoever makes no system calls and takes no
interrupts, as our driver alone and DPDK do; all three pay the same for a doorbell.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from redbear_host.lab.guest import GuestOptions, run

SENDER: Final = ("-netdev", "hubport,id=n0,hubid=0", "-device", "e1000,netdev=n0,addr=4,romfile=")
SIZE: Final = 60  # bytes of a frame, without FCS
RECEIVER: Final = ("-device", "e1000,netdev=n1,addr=5,romfile=")

# Ours, theirs, and what the project wants the ratio to be at least.
PAIRS: Final = (
    ("ours batch", "kernel pktgen, cloned", 10.0),
    ("ours batch", "DPDK txonly", 0.7),
    ("ours batch, copied", "kernel pktgen, cloned", 0.0),
    ("ours batch, copied", "DPDK txonly", 0.0),
    ("ours frame by frame", "kernel pktgen", 2.0),
    ("scheme file", "kernel pktgen", 0.5),
    ("ring batch", "kernel pktgen, cloned", 0.0),
    ("ours receive batch", "kernel receive", 10.0),
    ("ours receive batch", "DPDK rxonly", 0.7),
    ("ours receive frame by frame", "kernel receive", 2.0),
    ("scheme file receive", "kernel receive", 0.5),
    ("ring batch receive", "kernel receive", 0.0),
)


def main() -> None:
    """Run both boots and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="by turns (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--no-instructions", action="store_true", help="leave the second boot out")
    args = parser.parse_args()
    print(
        "60-byte frames in the guest (TCG, intel-iommu, Debian's kernel), per second:", flush=True
    )
    found = {"frames": guest([str(args.rounds)], counting=False)}
    for name, value in found["frames"].items():
        print(f"  {name:34} {value:12,.0f}")
    print("ratios, ours to theirs:")
    for ours, theirs, target in PAIRS:
        ratio = found["frames"][ours] / found["frames"][theirs]
        verdict = ""
        if target:
            verdict = f"   target {target:g}: {'reached' if ratio >= target else 'MISSED'}"
        print(f"  {ratio:6.2f}  {ours}  /  {theirs}{verdict}")
    if not args.no_instructions:
        print("instructions per frame, the model's own not counted:", flush=True)
        found["instructions"] = guest(["instructions"], counting=True)
        for name, value in found["instructions"].items():
            print(f"  {name:34} {value:12,.0f}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


def guest(words: list[str], *, counting: bool) -> dict[str, float]:
    """Boot a guest with two cards and measure in it, while a program here sends to the second."""
    with tempfile.TemporaryDirectory() as folder:
        wire, far = f"{folder}/wire", f"{folder}/far"
        netdev = f"dgram,id=n1,local.type=unix,local.path={wire},remote.type=unix,remote.path={far}"
        blast = Path(folder, "blast")
        subprocess.run(["gcc", "-O2", "-o", blast, Path(__file__).with_name("blast.c")], check=True)
        with subprocess.Popen([blast, far, wire, str(SIZE)]) as sender:
            try:
                return measured(words, counting, (*SENDER, "-netdev", netdev, *RECEIVER))
            finally:
                sender.kill()


def measured(words: list[str], counting: bool, cards: tuple[str, ...]) -> dict[str, float]:
    """Run `network_rivals.py` in a guest with these cards."""
    script = Path(__file__).with_name("network_rivals.py")
    options = GuestOptions(
        devices=(),
        arguments=cards,
        modules=("e1000",),
        environment={"PYTHONPATH": str(script.parent)},
        processors=1 if counting else 2,
        count_instructions=counting,
        timeout=900,
    )
    out = io.BytesIO()
    status = run([sys.executable, str(script), *words], options, output=out)
    if status != 0:
        sys.exit(f"the guest failed ({status}): {out.getvalue().decode()[-2000:]}")
    found: dict[str, float] = json.loads(out.getvalue().decode().splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
