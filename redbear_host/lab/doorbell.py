"""The doorbell: an ivshmem device whose register signals our eventfds.

Ref: QEMU, docs/specs/ivshmem-spec (7.2).  QEMU learns the eventfds from an ivshmem server; here
everything a server would say is put into the socket before QEMU starts, so no server runs.  In its
terms we are peer 0, so the value written to the register is the number of the vector alone.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

REGISTER: Final = 0x0C  # Doorbell, in base address register 0
BASE: Final = 0xFE00_0000  # where the lab puts base address register 0; the firmware knows it too
BASE_SIZE: Final = 0x100
DEVICE: Final = 3  # its place on bus 0

_MESSAGE: Final = struct.Struct("<q")
_PROTOCOL_VERSION: Final = 0
_OUR_PEER: Final = 0
_QEMU_PEER: Final = 1
_SHARED_MEMORY: Final = -1
_MEMORY_SIZE: Final = 4096  # the device insists on some; nobody uses it


class Doorbell:
    """The eventfds of one machine; vector n is `vectors[n]`."""

    def __init__(self, count: int) -> None:
        """Make `count` eventfds, non-blocking; at most 200, or they fill the socket."""
        self._ours, self.theirs = socket.socketpair()
        self.vectors: Final = [
            os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(count)
        ]
        self._ours.sendall(_MESSAGE.pack(_PROTOCOL_VERSION) + _MESSAGE.pack(_QEMU_PEER))
        memory = os.memfd_create("redbear-ivshmem", os.MFD_CLOEXEC)
        try:
            os.ftruncate(memory, _MEMORY_SIZE)
            socket.send_fds(self._ours, [_MESSAGE.pack(_SHARED_MEMORY)], [memory])
        finally:
            os.close(memory)
        for vector in self.vectors:
            socket.send_fds(self._ours, [_MESSAGE.pack(_OUR_PEER)], [vector])

    def arguments(self) -> list[str]:
        """Return what QEMU's command line says about it."""
        device = f"ivshmem-doorbell,chardev=doorbell,vectors={len(self.vectors)},addr={DEVICE:#x}"
        return ["-chardev", f"socket,id=doorbell,fd={self.theirs.fileno()}", "-device", device]

    def close(self) -> None:
        """Close what this process holds of it."""
        self._ours.close()
        self.theirs.close()
        for vector in self.vectors:
            os.close(vector)
