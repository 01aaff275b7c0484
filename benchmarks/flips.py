"""Page flips a second on a card of Linux's: orbital.drm beside a C loop, in the guest.

    redbear-host lab vm --device gpu --device bochs -- .venv/bin/python benchmarks/flips.py

Same card, same frame buffers, same calls (PAGE_FLIP and its event), taking turns in one run.
Nothing is drawn: it is what a picture costs beside its pixels.  The cards of the lab say at once
that a flip is done, so that there is no rhythm of a screen that would hide the difference.
"""

from __future__ import annotations

import argparse
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kernel_shim.seat import open_card
from orbital.drm.card import Card


def by_python(card: Card, crtc: int, buffers: tuple[int, int], seconds: float) -> float:
    """Flip for some time; return flips a second."""
    waiting = select.poll()
    waiting.register(card.fd, select.POLLIN)
    flip, poll, now, read = card.flipper(crtc), waiting.poll, time.monotonic, card.read_flips
    begin = now()
    end = begin + seconds
    flips = 0
    while now() < end:
        flip(buffers[flips & 1])
        if not poll(2000) or not read():
            raise SystemExit("the card does not say that a flip is done")
        flips += 1
    return flips / (time.monotonic() - begin)


def by_c(program: Path, card: Card, crtc: int, buffers: tuple[int, int], seconds: float) -> float:
    """Let the C program do the same with the same descriptor."""
    words = [program, *map(str, (card.fd, crtc, *buffers, seconds))]
    done = subprocess.run(
        words, pass_fds=[card.fd], check=True, capture_output=True, text=True, timeout=60
    )
    flips, took = done.stdout.split()
    return int(flips) / float(took)


def main() -> int:
    """Print the rates of each card and their ratio; 1 if one is below `--least`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each turn (%(default)g)")
    parser.add_argument("--turns", type=int, default=15, help="of each (%(default)d)")
    parser.add_argument("--least", type=float, default=0.0, help="fail below this ratio")
    parser.add_argument("cards", nargs="*", help="as card0; all unless said")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    program = folder / "flips"
    source = Path(__file__).with_name("flips.c")
    command = ["cc", "-O2", "-I/usr/include/libdrm", "-o", program, source]
    subprocess.run(command, check=True, timeout=120)
    worst = float("inf")
    for name in args.cards or sorted(path.name for path in Path("/dev/dri").glob("card*")):
        worst = min(worst, measure(Card(open_card(name), name), program, args))
    return 1 if worst < args.least else 0


def measure(card: Card, program: Path, args: argparse.Namespace) -> float:
    """Measure one card; return the ratio of the medians."""
    found = card.resources()
    connector = next(c for c in map(card.connector, found.connectors) if c.connected)
    mode = next((m for m in connector.modes if m[:2] == (1024, 768)), connector.modes[0])
    crtc = next(id for index, id in enumerate(found.crtcs) if connector.crtcs >> index & 1)
    pair = [card.buffer(mode.width, mode.height) for _ in range(2)]
    buffers = pair[0].frame_buffer(), pair[1].frame_buffer()
    card.set_crtc(crtc, buffers[1], [connector.id], mode)
    ours, theirs = [], []
    for _ in range(args.turns):
        theirs.append(by_c(program, card, crtc, buffers, args.seconds))
        ours.append(by_python(card, crtc, buffers, args.seconds))
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    print(
        f"{card.driver}, {mode.width}x{mode.height}: C {statistics.median(theirs):.0f}/s, "
        f"ours {statistics.median(ours):.0f}/s, ratio {ratio:.2f} "
        f"(of each pair of turns: {' '.join(f'{one:.2f}' for one in ratios)})"
    )
    for buffer in pair:
        buffer.close()
    os.close(card.fd)
    return ratio


if __name__ == "__main__":
    sys.exit(main())
