"""e1000d's driver alone: frames sent one by one and in batches, and received.

    python benchmarks/e1000_driver.py                   what Python costs per frame, nothing else
    python benchmarks/e1000_driver.py --lab e1000       on QEMU's model by qtest (or e1000e)
    python benchmarks/e1000_driver.py --device BDF      by VFIO on a spare card: IT SENDS FRAMES
    python benchmarks/e1000_driver.py … --receive N     count what arrives, until N frames have
    python benchmarks/e1000_driver.py … --loop          let the card's PHY return what is sent
    python benchmarks/e1000_driver.py --json            figures for programs

Without a card the ring's doorbell is a function that reports all descriptors done.  Everything is
polled, as pktgen and testpmd do.  Frames hold their bytes already where batches are sent, as
theirs do; `copied` fills each slot first.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from daemons.e1000d.driver import Card, Wishes
from daemons.e1000d.transmit import TransmitRing
from kernel_shim import bind
from redbear_host.hw import qtest, vfio
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.dma import Arena
from redbear_host.hw.ports import InterruptKind, PciFunction
from redbear_host.lab.machine import Machine

ARENA: Final = 32 << 20
BATCHES: Final = (1, 16, 64, 128)
WITHIN_S: Final = 120.0
TYPE: Final = bytes.fromhex("88b5")  # for experiments (IEEE 802)

Figures = dict[str, float]


def frame(mac: bytes, size: int) -> bytes:
    """Make a broadcast frame."""
    return (b"\xff" * 6 + mac + TYPE).ljust(size, b"\x55")


@contextmanager
def lab(model: str) -> Iterator[PciFunction]:
    """QEMU's model on a hub with nobody else."""
    told = ["-netdev", "hubport,id=n0,hubid=0", "-device", f"{model},netdev=n0,addr=4,romfile="]
    with Machine(told) as machine:
        function = qtest.open_function(*machine.functions[0].copy())
        try:
            yield function
        finally:
            function.close()


@contextmanager
def device(address: str) -> Iterator[PciFunction]:
    """Take a real function by VFIO for as long as it takes."""
    record = bind.plan(address)
    bind.bind(record)
    try:
        claim = vfio.Claim(address, ARENA)
        try:
            grant, fds = claim.grant()
            function = vfio.open_function(grant, [os.dup(fd) for fd in fds])
            try:
                yield function
            finally:
                function.close()
        finally:
            claim.release()
    finally:
        bind.restore(record)


def echo_ring() -> TransmitRing:
    """Make a ring whose doorbell reports everything sent."""
    arena = Arena(memoryview(bytearray(ARENA)), 0)

    def doorbell(_register: int, _tail: int) -> None:
        for mark in reversed(marks):
            if states[mark]:
                break
            states[mark] = 1

    ring = TransmitRing(arena, 512, 1518, 0, doorbell, 0)
    states, marks = ring._states, ring._marks
    return ring


def send(ring: Card | TransmitRing, count: int, batch: int, content: bytes, copy: bool) -> float:
    """Send `count` frames; return frames per second, the last one reported sent included."""
    size = len(content)
    fill(ring, content)
    slots, commit, flush, one = ring.slots, ring.commit, ring.flush_queue, ring.put
    lengths = [size] * batch
    left = count
    began = time.perf_counter()
    if batch == 1:
        while left:
            left -= one(content)
            flush()
    else:
        while left:
            free = slots(min(batch, left))
            if not free:
                continue
            if copy:
                for slot in free:
                    slot[:size] = content
            commit(lengths if len(free) == batch else lengths[: len(free)])
            flush()
            left -= len(free)
    drain(ring)
    return count / (time.perf_counter() - began)


def drain(ring: Card | TransmitRing) -> None:
    """Wait until everything was fetched by the card."""
    deadline = time.monotonic() + WITHIN_S
    while isinstance(ring, Card) and ring._watch.unsent and time.monotonic() < deadline:
        pass


def fill(ring: Card | TransmitRing, content: bytes) -> None:
    """Write the frame into every slot of the ring once."""
    inner = ring if isinstance(ring, TransmitRing) else ring._tx
    for slot in inner._slots[: inner.entries]:
        slot[: len(content)] = content


def receive(card: Card, count: int, batch: int) -> float:
    """Receive `count` frames; return frames per second from the first to the last."""
    received, release = card.received, card.release
    deadline = time.monotonic() + WITHIN_S
    while not received(1) and time.monotonic() < deadline:
        pass
    began = time.perf_counter()
    left = count
    looks = 0
    while left:
        frames = received(batch)
        if frames:
            release(len(frames))
            left -= min(left, len(frames))
        looks += 1
        if not looks & 0xFFFF and time.monotonic() > deadline:
            raise TimeoutError(f"{count - left} of {count} frames came")
    return count / (time.perf_counter() - began)


def loop(card: Card, count: int, batch: int, content: bytes) -> Figures:
    """Send through the PHY's loopback; return what sending costs, and receiving, per second."""
    card.phy.set_loopback(True)
    fill(card, content)
    until_looped(card, len(content))
    lengths = [len(content)] * batch
    sending = receiving = 0.0
    came = 0
    clock = time.perf_counter
    deadline = time.monotonic() + WITHIN_S
    for _ in range(count // batch):
        began = clock()
        while not (free := card.slots(batch)):
            pass
        card.commit(lengths[: len(free)])
        card.flush_queue()
        sent = clock()
        sending += sent - began
        wanted = len(free)
        while wanted > 0 and time.monotonic() < deadline:
            began = clock()
            frames = card.received(batch)
            if frames:
                card.release(len(frames))
                receiving += clock() - began
                came += len(frames)
                wanted -= len(frames)
    card.phy.set_loopback(False)
    return {
        f"looped, sent, batch {batch}": came / sending,
        f"looped, received, batch {batch}": came / receiving,
    }


def until_looped(card: Card, size: int) -> None:
    """Wait until a frame comes back: QEMU's 82540 receives nothing in its first second."""
    deadline = time.monotonic() + WITHIN_S
    while not (frames := card.received(1)):
        if time.monotonic() > deadline:
            raise TimeoutError("nothing comes back")
        if card.slots(1):
            card.commit([size])
            card.flush_queue()
        time.sleep(0.01)
    while frames:
        card.release(len(frames))
        frames = card.received(128)


def figures(card: Card, args: argparse.Namespace) -> Figures:
    """Measure on a started card."""
    if args.receive:
        return {f"received, batch {args.batch}": receive(card, args.receive, args.batch)}
    content = frame(card.mac, args.size)
    if args.loop:
        return loop(card, args.frames, args.batch, content)
    return sent(card, content, args.frames)


def sent(ring: Card | TransmitRing, content: bytes, count: int) -> Figures:
    """Measure sending, with all sizes of batches."""
    found: Figures = {}
    for batch in BATCHES:
        name = "frame by frame" if batch == 1 else f"batch {batch}"
        found[name] = send(ring, count, batch, content, copy=False)
        if batch == BATCHES[-1]:
            found[f"{name}, copied"] = send(ring, count, batch, content, copy=True)
    return found


def measure(args: argparse.Namespace) -> Figures:
    """Measure what the arguments ask for."""
    if not (args.lab or args.device):
        return sent(echo_ring(), frame(bytes(6), args.size), args.frames)
    opened: Callable[[str], object] = lab if args.lab else device
    with opened(args.lab or args.device) as function:  # type: ignore[attr-defined]
        kind = InterruptKind(args.kind)
        function.enable_interrupts(kind, 1)
        wishes = Wishes(receive=args.ring, transmit=args.ring)
        card = Card(function, SystemClock(), wishes, kind)
        card.start()
        card.set_promiscuous(bool(args.receive))
        try:
            return figures(card, args)
        finally:
            card.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--lab", choices=("e1000", "e1000e"), help="QEMU's model by qtest")
    where.add_argument("--device", metavar="BDF", help="a card by VFIO; it sends frames")
    parser.add_argument("--kind", choices=("intx", "msi"), default="intx", help="its interrupt")
    parser.add_argument("--size", type=int, default=60, help="bytes of a frame")
    parser.add_argument("--frames", type=int, default=100_000, help="per figure")
    parser.add_argument("--ring", type=int, default=512, help="descriptors of each ring")
    parser.add_argument("--batch", type=int, default=128, help="with --receive and --loop")
    parser.add_argument("--receive", type=int, metavar="N", help="count N frames that arrive")
    parser.add_argument("--loop", action="store_true", help="through the PHY's loopback")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    rows = measure(args)
    unit = "frames per second"
    if args.json:
        json.dump({"unit": unit, "size": args.size, "figures": rows}, sys.stdout, indent=1)
        print()
        return
    print(f"{unit}, {args.size} bytes:")
    for name, value in rows.items():
        print(f"  {name:34} {value:12,.0f}")


if __name__ == "__main__":
    main()
