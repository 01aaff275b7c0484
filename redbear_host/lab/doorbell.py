"""The doorbell: an ivshmem device whose register signals our eventfds.

Ref: QEMU, docs/specs/ivshmem-spec (7.2).  QEMU learns the eventfds from an ivshmem server; here
everything a server would say is put into the socket before QEMU starts, so no server runs.  In its
terms we are peer 0, so the value written to the register is the number of the vector alone.

It works the other way round too: an eventfd that we signal is a message interrupt of the device, so
a process that holds nothing but that eventfd can have an interrupt line unmasked (firmware.py).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from typing import Final

from redbear_host.bits import Mmio
from redbear_host.errors import TransportError
from redbear_host.hw.eventfds import eventfds
from redbear_host.hw.pci.capability import (
    MSIX_ENTRY_SIZE,
    Address32,
    CapabilityId,
    MessageData32,
    Msix,
    MsixEntry,
    VectorControl,
    find_capability,
)
from redbear_host.hw.pci.header import BASE_ADDRESS, Command, ConfigWindow, Header
from redbear_host.hw.ports import Config

REGISTER: Final = 0x0C  # Doorbell, in base address register 0
BASE: Final = 0xFE00_0000  # where the lab puts base address register 0; the firmware knows it too
BASE_SIZE: Final = 0x100
MESSAGES: Final = BASE + 0x1000  # and register 1, where its MSI-X table is
MESSAGES_SIZE: Final = 0x1000
DEVICE: Final = 3  # its place on bus 0

_MESSAGE: Final = struct.Struct("<q")
_PROTOCOL_VERSION: Final = 0
_OUR_PEER: Final = 0
_QEMU_PEER: Final = 1
_SHARED_MEMORY: Final = -1
_MEMORY_SIZE: Final = 4096  # the device insists on some; nobody uses it


class Doorbell:
    """The eventfds of one machine: QEMU signals `vectors`, and we `unmasks`."""

    def __init__(self, count: int, lines: int) -> None:
        """Make `count` and `lines` eventfds, non-blocking; at most 200, or they fill the socket."""
        self._ours, self.theirs = socket.socketpair()
        self.vectors: Final = eventfds(count)
        self.unmasks: Final = eventfds(lines)
        self._ours.sendall(_MESSAGE.pack(_PROTOCOL_VERSION) + _MESSAGE.pack(_QEMU_PEER))
        memory = os.memfd_create("redbear-ivshmem", os.MFD_CLOEXEC)
        try:
            os.ftruncate(memory, _MEMORY_SIZE)
            socket.send_fds(self._ours, [_MESSAGE.pack(_SHARED_MEMORY)], [memory])
        finally:
            os.close(memory)
        # QEMU takes them in order, so that whoever has heard the last vector knows of all.
        for unmask in self.unmasks:
            socket.send_fds(self._ours, [_MESSAGE.pack(_QEMU_PEER)], [unmask])
        for vector in self.vectors:
            socket.send_fds(self._ours, [_MESSAGE.pack(_OUR_PEER)], [vector])

    def connect(self, config: Config, table: Mmio, messages: Sequence[tuple[int, int]]) -> None:
        """Let `unmasks[n]` send `messages[n]`, an address and a value.

        `config` and `table` are the device's own, `table` at the address `MESSAGES`.
        """
        config.write32(BASE_ADDRESS + 4, MESSAGES)
        Header(ConfigWindow(config)).COMMAND.write(
            Command(MEMORY_SPACE=True, BUS_MASTER=True, INTERRUPT_DISABLE=True)
        )
        found = find_capability(config, CapabilityId.MSIX)
        if found is None:
            raise TransportError("QEMU's ivshmem-doorbell has no MSI-X")
        for number, (address, value) in enumerate(messages):
            entry = MsixEntry(table, MSIX_ENTRY_SIZE * number)
            entry.ADDRESS.write(Address32(ADDRESS=address))
            entry.UPPER_ADDRESS.write(Address32())
            entry.DATA.write(MessageData32(DATA=value))
            entry.CONTROL.write(VectorControl(MASK=False))
        with Msix(ConfigWindow(config), found).CONTROL.edit() as control:
            control.MSIX_ENABLE = True

    def arguments(self) -> list[str]:
        """Return what QEMU's command line says about it."""
        device = f"ivshmem-doorbell,chardev=doorbell,vectors={len(self.vectors)},addr={DEVICE:#x}"
        return ["-chardev", f"socket,id=doorbell,fd={self.theirs.fileno()}", "-device", device]

    def close(self) -> None:
        """Close what this process holds of it."""
        self._ours.close()
        self.theirs.close()
        for fd in (*self.vectors, *self.unmasks):
            os.close(fd)
