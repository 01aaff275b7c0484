"""e1000d's driver in this process, on QEMU's models, with a peer at the other end of the wire."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import qemu_rig

from daemons.e1000d.driver import Card, State, Wishes
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.ports import InterruptKind, PciFunction
from redbear_host.lab.machine import Machine

WITHIN = 20.0
MAC = bytes.fromhex("525400123456")
PEER = bytes.fromhex("525400aabbcc")
BEST = {
    "e1000": InterruptKind.INTX,
    "e1000-82545em": InterruptKind.INTX,
    "e1000e": InterruptKind.MSIX,
}
_BUFFER = 4 << 20


class Peer:
    """The far end: one datagram is one frame."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        ours.setblocking(False)

    def send(self, frame: bytes) -> bool:
        """Send a frame; False when QEMU's queue is full."""
        try:
            self._socket.send(frame)
        except BlockingIOError:
            return False
        return True

    def receive(self) -> bytes | None:
        try:
            return self._socket.recv(65536)
        except BlockingIOError:
            return None

    @property
    def fd(self) -> int:
        return self._socket.fileno()


class Rig:
    """A started card, and a loop that drives it by interrupts and ticks, as a daemon's."""

    function: PciFunction

    def __init__(self, machine: Machine, peer: Peer, kind: InterruptKind) -> None:
        self.machine = machine
        self.peer = peer
        self.kind = kind
        self.frames: list[bytes] = []
        self.links: list[int] = []
        self.rooms = 0
        self._fds: Sequence[int] = ()

    def start(self, wishes: Wishes, inherited: bool = False) -> None:
        vectors = 2 if self.kind is InterruptKind.MSIX else 1
        self._fds = self.function.enable_interrupts(self.kind, vectors)
        self.card = Card(self.function, SystemClock(), wishes, self.kind, vectors)
        self.card.on_frames = self.take
        self.card.on_link = lambda: self.links.append(self.card.link)
        self.card.on_room = self._count_room
        self.card.start(inherited)

    def die(self) -> None:
        """Let go as a kill does: the card is told nothing, then the shim stops its DMA."""
        self.function._held.close()  # type: ignore[attr-defined]
        self.machine.functions[0].quiesce()

    def live(self, wishes: Wishes | None = None, inherited: bool = True) -> None:
        """Be the successor."""
        self.function = qemu_rig.opened(self.machine.functions[0])
        self.start(wishes or Wishes(), inherited)

    def _count_room(self) -> None:
        self.rooms += 1

    def take(self) -> None:
        """Keep what was received."""
        while frames := self.card.received(64):
            self.frames += map(bytes, frames)
            self.card.release(len(frames))

    def send(self, *frames: bytes) -> None:
        """Send frames in batches, waiting for room where there is none."""
        left = list(frames)
        while left:
            slots = self.card.slots(len(left))
            if not slots:
                before = self.rooms
                self.until(lambda before=before: self.rooms > before)
                continue
            for slot, frame in zip(slots, left, strict=False):
                slot[: len(frame)] = frame
            self.card.commit([len(frame) for frame in left[: len(slots)]])
            self.card.flush_queue()
            del left[: len(slots)]

    def turn(self, patience: float = 0.05) -> None:
        """One round of the loop: wait for an interrupt, or until `tick` is due."""
        wait = max(0.0, min(patience, self.card.deadline - time.monotonic()))
        gone = self.function.gone_fd
        ready = select.select([*self._fds, gone], [], [], wait)[0]
        for vector, fd in enumerate(self._fds):
            if fd in ready:
                with suppress(BlockingIOError):
                    os.eventfd_read(fd)
                self.card.on_interrupt(vector)
                if self.kind is InterruptKind.INTX:
                    self.function.unmask_intx()
        if gone in ready and self.card.state is not State.GONE:
            self.card.gone()
        if time.monotonic() >= self.card.deadline:
            self.card.tick(time.monotonic())

    def until(self, what: Callable[[], bool], within: float = WITHIN) -> None:
        end = time.monotonic() + within
        while not what():
            assert time.monotonic() < end, f"not within {within} s: {self.card.statistics()}"
            self.turn()

    def hear(self, count: int = 1) -> list[bytes]:
        """Wait until `count` frames have come out at the peer; return them."""
        heard: list[bytes] = []

        def all_there() -> bool:
            while (frame := self.peer.receive()) is not None:
                heard.append(frame)
            return len(heard) >= count

        self.until(all_there)
        return heard

    def wait(self, count: int = 1) -> list[bytes]:
        """Wait until `count` frames were received; return them."""
        self.until(lambda: len(self.frames) >= count)
        frames, self.frames = self.frames, []
        return frames


def frame(length: int, number: int = 0, to: bytes = MAC, by: bytes = PEER) -> bytes:
    """Make a frame whose every byte is told by its length and number."""
    head = to + by + b"\x88\xb5"  # IEEE 802's type for experiments
    pattern = (number * 2654435761 & 0xFFFFFFFF).to_bytes(4, "big") + length.to_bytes(2, "big")
    body = pattern * (length // len(pattern) + 1)
    return (head + body)[:length]


@contextmanager
def machine(model: str = "e1000", mac: bytes = MAC) -> Iterator[tuple[Machine, Peer]]:
    """Start a QEMU with one card, wired to a peer."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        arguments = [
            *("-netdev", f"dgram,id=n0,local.type=fd,local.str={theirs.fileno()}"),
            *("-device", f"{model},id=dut,netdev=n0,addr=4,mac={mac.hex(':')},romfile="),
        ]
        with qemu_rig.machine(arguments, pass_fds=[theirs.fileno()]) as machine:
            yield machine, Peer(ours)


@contextmanager
def started(
    model: str = "e1000",
    *,
    kind: InterruptKind | None = None,
    wishes: Wishes | None = None,
    mac: bytes = MAC,
) -> Iterator[Rig]:
    """Start QEMU and the driver on its card."""
    with machine(model, mac) as (found, peer):
        rig = Rig(found, peer, kind or BEST[model])
        rig.live(wishes, inherited=False)
        try:
            yield rig
            rig.card.stop()
        finally:
            rig.function.close()
