"""A network card made up for tests, which checks how it is used, and TAPs that are sockets."""

from __future__ import annotations

import os
import socket

from asked import Posted

from redbear_host.classes.joined import Joined
from redbear_host.classes.network import NetworkScheme
from redbear_host.scheme.loop import Loop

MAC = bytes.fromhex("525400524204")


class Card:
    """A ring of `depth` slots to send from, and frames that came in."""

    def __init__(self, depth: int = 8, max_frame: int = 1514, link: int = 1000) -> None:
        self.mac, self.max_frame, self.link = MAC, max_frame, link
        self.on_frames = self.on_room = self.on_link = lambda: None
        self.depth = depth
        self.waiting: list[memoryview] = []
        self.lent = 0
        self.slot_memory = [bytearray(max_frame) for _ in range(depth)]
        self.busy = 0
        self.offered = 0
        self.starved = False
        self.committed: list[bytes] = []
        self.wire: list[bytes] = []
        self.doorbells = 0
        self.promiscuous = False

    # from the wire

    def come(self, *frames: bytes) -> None:
        """Frames arrive, and the card interrupts."""
        self.waiting += [memoryview(bytearray(frame)) for frame in frames]
        self.on_frames()

    def received(self, most):
        self.lent = min(most, len(self.waiting))
        return self.waiting[: self.lent]

    def release(self, count):
        assert 0 <= count <= self.lent, "released more than was lent"
        for view in self.waiting[:count]:
            view[:] = b"\xee" * len(view)  # the card uses its memory again
        del self.waiting[:count]
        self.lent = 0

    # to the wire

    def slots(self, most):
        self.offered = min(most, self.depth - self.busy)
        self.starved |= not self.offered
        return [memoryview(slot) for slot in self.slot_memory[: self.offered]]

    def commit(self, lengths):
        assert 0 < len(lengths) <= self.offered, "committed more than was lent"
        for slot, length in zip(self.slot_memory, lengths, strict=False):
            assert 14 <= length <= self.max_frame
            self.committed.append(bytes(slot[:length]))
            slot[:] = bytes(self.max_frame)
        self.busy += len(lengths)
        self.offered = 0

    def put(self, frame):
        if not self.slots(1):
            return False
        self.slot_memory[0][: len(frame)] = frame
        self.commit([len(frame)])
        return True

    def flush_queue(self):
        self.doorbells += 1
        self.wire += self.committed
        self.committed = []

    def drain(self, count: int | None = None) -> None:
        """The card has sent frames; there is room again."""
        self.busy -= self.busy if count is None else count
        if self.starved:
            self.starved = False
            self.on_room()

    # the rest

    def set_mac(self, mac):
        self.mac = mac

    def set_promiscuous(self, on):
        self.promiscuous = on

    def statistics(self):
        return {"GPRC": 7}

    def change_link(self, link: int) -> None:
        self.link = link
        self.on_link()


class FakeTap(Joined):
    """A TAP whose other end is a socket of the test's."""

    def __init__(self, name: str = "tap0", address: bytes = MAC, mac: bytes | None = None) -> None:
        self.linux, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.linux.setblocking(False)
        self.name, self.fd, self.by, self.mac = name, ours.detach(), "test", mac
        os.set_blocking(self.fd, False)
        self.gone, self.dropped = False, 0
        self.carriers: list[bool] = []
        self._address = address

    @property
    def address(self) -> bytes:
        return self._address

    def set_carrier(self, on: bool) -> None:
        if self.carriers[-1:] != [on]:
            self.carriers.append(on)

    def came(self) -> list[bytes]:
        """What Linux was given."""
        found = []
        while True:
            try:
                found.append(self.linux.recv(65536))
            except BlockingIOError:
                return found


class Rig:
    """A scheme on a card, on a loop that is turned by hand."""

    def __init__(self, **card) -> None:
        self.card = Card(**card)
        self.loop = Loop()
        self.scheme = NetworkScheme("network.test", self.card, self.loop)
        self.wire = self.scheme._wire
        self.posted = Posted(self.scheme)
        self.loop.at_round_end(self.scheme.end_batch)
        self.taps: list[FakeTap] = []

    def turn(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            self.loop.soon(lambda: None)
            self.loop.run_round()

    def join(self, *args, **options) -> FakeTap:
        tap = FakeTap(*args, **options)
        self.taps.append(tap)
        self.wire.join(tap)
        return tap

    def close(self) -> None:
        self.scheme.close()
        self.loop.close()
        for tap in self.taps:
            tap.linux.close()


def frame(number: int, size: int = 60) -> bytes:
    """A frame that shows its number."""
    return MAC + MAC[::-1] + b"\x88\xb5" + number.to_bytes(4, "big") + bytes(size - 18)
