"""The device's side of split virtqueues (VIRTIO 1.2, 2.7)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from redbear_host.models.function import Host

_DESCRIPTOR: Final = struct.Struct("<QIHH")
_HALF: Final = struct.Struct("<H")
_USED: Final = struct.Struct("<II")
_NEXT, _WRITE, _INDIRECT = 1, 2, 4


class Chain(NamedTuple):
    """A request: what was read, and where the response goes."""

    first: int
    request: bytes
    response: memoryview


class DeviceQueue:
    """One queue, as its registers say."""

    def __init__(self, most: int) -> None:
        self.most: Final = most
        self.reset()

    def reset(self) -> None:
        """Be as after power-on."""
        self.size = self.most
        self.vector = 0xFFFF
        self.enabled = False
        self.addresses = [0, 0, 0]  # descriptors, driver area, device area
        self._seen = 0
        self.used = 0

    def take(self, host: Host) -> Chain | None:
        """Take the next request that was published."""
        descriptors, driver, _ = self.addresses
        head = host.memory(driver + 2, 2, "the available index")
        if not self.enabled or head is None or _HALF.unpack(head)[0] == self._seen:
            return None
        entry = host.memory(driver + 4 + self._seen % self.size * 2, 2, "an available entry")
        if entry is None:
            return None
        self._seen = self._seen + 1 & 0xFFFF
        first = at = _HALF.unpack(entry)[0]
        request, response = b"", memoryview(b"")
        for _ in range(self.size):
            raw = host.memory(descriptors + at * 16, 16, "a descriptor")
            if raw is None:
                return None
            address, length, flags, at = _DESCRIPTOR.unpack(raw)
            found = host.memory(address, length, "a request's buffer")
            if found is None or flags & _INDIRECT:
                return None
            if flags & _WRITE:
                response = found
            else:
                request += bytes(found)
            if not flags & _NEXT:
                break
        return Chain(first, request, response)

    def end(self, host: Host, first: int, written: int, jump: int = 0) -> None:
        """Say that a request is done."""
        device = self.addresses[2]
        entry = host.memory(device + 4 + self.used % self.size * 8, 8, "a used entry")
        head = host.memory(device + 2, 2, "the used index")
        if entry is None or head is None:
            return
        entry[:] = _USED.pack(first, written)
        self.used = self.used + 1 + jump & 0xFFFF
        head[:] = _HALF.pack(self.used)
