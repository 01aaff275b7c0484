"""e1000d on a machine of the test's own, under a supervisor in a thread, with a peer in Python."""

from __future__ import annotations

import os
import select
import socket
import time

import qemu_rig
from hosted import Hosted

from redbear_host import client

NAME = "network.pci-0000-00-04.0_e1000"
MAC = bytes.fromhex("525400524204")
PEER = bytes.fromhex("525400000001")
IPV6 = b"\x86\xdd"
OPTIONS = {
    "receive": 256,
    "transmit": 64,
    "max_frame": 1518,
    "interrupts": 20000,
    "vlan": 0,
}


class Carded(Hosted):
    """One instance; `peer` is the other end of the card's wire: a datagram is a frame."""

    def __init__(self, folder, **options):
        self.peer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.peer.settimeout(10)
        for end in (self.peer, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        wire = f"dgram,id=n0,local.type=fd,local.str={theirs.fileno()}"
        device = f"e1000,netdev=n0,id=card,mac={MAC.hex(':')},addr=4"
        with theirs:
            machine = qemu_rig.machine(
                ["-netdev", wire, "-device", device], pass_fds=(theirs.fileno(),)
            )
        super().__init__(folder, machine, "e1000d", NAME, OPTIONS | options)
        self.card = self.mount / NAME

    def close(self):
        client.forget()
        super().close()
        self.peer.close()

    @property
    def where(self):
        return ("--mount", self.mount)

    @property
    def environment(self):
        """What libredox needs to find it."""
        return {"REDBEAR_RINGS": str(self.run_dir / "ring"), "REDBEAR_SCHEME": str(self.mount)}

    def stats(self):
        lines = (self.card / "stats").read_text().splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}

    def set_link(self, up):
        self.machine.qmp.execute("set_link", {"name": "card", "up": up})

    def drain(self):
        """Drop what the peer has got so far."""
        while select.select([self.peer], [], [], 0)[0]:
            self.peer.recv(65536)

    def came(self, count, within=30.0):
        """Return the next `count` frames that the peer gets, less Linux's chatter about IPv6."""
        found = []
        deadline = time.monotonic() + within
        while len(found) < count:
            left = deadline - time.monotonic()
            assert left > 0, f"{len(found)} of {count} frames: {self.stats()}"
            if select.select([self.peer], [], [], left)[0]:
                one = self.peer.recv(65536)
                if one[12:14] != IPV6:
                    found.append(one)
        return found

    def kill(self):
        """Kill the driver; wait until its successor is ready."""
        life = self.running.life
        os.kill(self.running.pid, 9)
        deadline = time.monotonic() + 20
        while not (self.running.life > life and self.running.state.value == "ready"):
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.002)


def frame(number, size=60, to=MAC, source=PEER):
    """A frame of a type for experiments that shows its number."""
    return to + source + b"\x88\xb5" + number.to_bytes(4, "big") + bytes(size - 18)
