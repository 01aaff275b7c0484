"""vesad and virtio_gpud: updates of a screen of 1024 by 768 in a second.

    python benchmarks/displays.py [--seconds S] [--only host|guest]

On the host through the scheme: a client at the ring door that draws nothing and reports damage, one
call at a time, into QEMU's models by qtest.  In the guest the drivers alone, over VFIO, polled as
fast as they take pictures.  What a picture costs where the screen is shown is not in it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from redbear_host import client
from redbear_host.abi import display as abi
from redbear_host.abi import flags as f
from redbear_host.abi.display import Verb
from redbear_host.classes.screen import Area, DisplayAdapter

WIDTH: Final = 1024
HEIGHT: Final = 768
AREAS: Final = {
    "whole": Area(0, 0, WIDTH, HEIGHT),
    "256 x 256": Area(100, 100, 256, 256),
    "64 x 64": Area(100, 100, 64, 64),
}
KINDS: Final = ("vga", "virtio-gpu")
INSIDE: Final = ("--device", "gpu", "--device", "bochs")


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each (%(default)s)")
    parser.add_argument("--only", choices=("host", "guest"))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        inside(args.seconds)
        return
    if args.only != "guest":
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as folder:
                host(kind, Path(folder), args.seconds)
    if args.only != "host":
        ours = [sys.executable, __file__, "--inside", f"--seconds={args.seconds}"]
        command = [sys.executable, "-m", "redbear_host", "lab", "vm", *INSIDE, "--", *ours]
        subprocess.run(command, check=True)


def rate(act: Callable[[], object], seconds: float) -> float:
    """Return how often in a second it can be done."""
    act()
    count, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        act()
        count += 1
    return count / took


def tell(where: str, name: str, area: str, found: float) -> None:
    """Print a line."""
    print(f"{where:6} {name:12} {area:10} {found:9.1f} updates/s", flush=True)


def host(kind: str, folder: Path, seconds: float) -> None:
    """Measure the scheme of a lab device."""
    config = folder / "redbear.toml"
    config.write_text('[daemon.orbital]\noutput = "none"\n')
    run_dir = folder / "run"
    cli = [sys.executable, "-m", "redbear_host"]
    where = ["--mount", str(folder / "scheme"), "--run-dir", str(run_dir)]
    lab = f"{kind}:xres={WIDTH},yres={HEIGHT}"
    up = [*cli, "up", "--detach", "--config", str(config), *where, "--lab", lab]
    subprocess.run(up, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.environ["REDBEAR_RINGS"] = str(run_dir / "ring")
    try:
        (scheme,) = (n for n in os.listdir(folder / "scheme") if n.startswith("display."))
        with client.open(f"/scheme/{scheme}/v2/1", f.O_RDWR) as terminal:
            made = bytearray(bytes(abi.CreateFramebuffer(width=WIDTH, height=HEIGHT)))
            client.call_rw(terminal, made, 0, [Verb.CREATE_DUMB_FRAMEBUFFER])
            number = abi.CreateFramebuffer.load(made).framebuffer
            for name, (x, y, width, height) in AREAS.items():
                plane = bytearray(
                    bytes(abi.UpdatePlane(framebuffer=number, x=x, y=y, width=width, height=height))
                )

                def update(plane: bytearray = plane) -> None:
                    client.call_rw(terminal, plane, 0, [Verb.UPDATE_PLANE])

                tell("scheme", kind, name, rate(update, seconds))
    finally:
        client.forget()
        subprocess.run([*cli, "down", "--run-dir", str(run_dir)], check=True, capture_output=True)


def inside(seconds: float) -> None:
    """Measure the drivers over VFIO, in the guest."""
    from daemons.vesad.driver import Card as VesaCard
    from daemons.vesad.driver import Wishes
    from daemons.virtio_gpud.driver import Card as GpuCard
    from kernel_shim import bind
    from redbear_host.hw.clock import SystemClock
    from redbear_host.hw.ports import InterruptKind
    from redbear_host.hw.vfio import Claim, open_function
    from redbear_host.lab.spares import spare

    for name in ("bochs", "gpu"):
        record = bind.plan(spare(name).address)
        bind.bind(record)
        claim = Claim(spare(name).address, 32 << 20)
        grant, fds = claim.grant()
        function = open_function(grant, [os.dup(fd) for fd in fds])
        try:
            if name == "bochs":
                vesa = VesaCard(function, Wishes())
                vesa.start()
                measure(vesa, name, lambda: None, seconds)
                vesa.stop()
            else:
                vectors = min(3, function.interrupts.msix)
                function.enable_interrupts(InterruptKind.MSIX, vectors)
                gpu = GpuCard(function, SystemClock(), InterruptKind.MSIX, vectors)
                gpu.start()
                measure(gpu, name, partial(gpu.on_interrupt, 1), seconds)
                gpu.stop()
        finally:
            function.close()
            claim.release()
            bind.restore(record)


def measure(card: DisplayAdapter, name: str, poll: Callable[[], object], seconds: float) -> None:
    """Measure one card, which is polled while it takes nothing."""
    card.set_mode(0, WIDTH, HEIGHT)
    pixels = memoryview(bytearray(os.urandom(4096)) * (WIDTH * HEIGHT // 1024))
    for area, where in AREAS.items():

        def update(where: Area = where) -> None:
            while not card.update(0, pixels, WIDTH * 4, [where]):
                poll()

        tell("vfio", name, area, rate(update, seconds))


if __name__ == "__main__":
    main()
