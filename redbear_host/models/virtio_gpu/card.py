"""The card: registers of virtio's PCI transport, and its commands (VIRTIO 1.2, 4.1.4, 5.7)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from redbear_host.hw.ports import PciIds
from redbear_host.models.function import Host
from redbear_host.models.virtio_gpu.faults import Fault, Misdeed
from redbear_host.models.virtio_gpu.pictures import Pictures
from redbear_host.models.virtio_gpu.queues import Chain, DeviceQueue

COMMON, ISR, DEVICE, NOTIFY, SIZE = 0x0000, 0x1000, 0x2000, 0x3000, 0x4000
MULTIPLIER: Final = 4
BAR: Final = 4

EDID: Final = 1 << 1
VERSION_1: Final = 1 << 32
ACCESS_PLATFORM: Final = 1 << 33
FEATURES_OK, DRIVER_OK, NEEDS_RESET = 8, 4, 0x40

_ONES: Final = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFF_FFFF, 8: (1 << 64) - 1}


class VirtioGpu:
    """`Model` of a card; `pictures` is what its monitors show."""

    def __init__(self, vectors: int = 3, outputs: int = 1, features: int = EDID) -> None:
        self.ids: Final = PciIds(0x1AF4, 0x1050, 0x1AF4, 0x1100, 0x038000, 1)
        self.vectors: Final = vectors
        self.window_size: Final = SIZE
        self.violations: Final[list[str]] = []
        self.faults: Final[list[Fault]] = []
        self.features = features | VERSION_1 | ACCESS_PLATFORM
        self.outputs: Final = outputs
        self.pictures = Pictures(outputs, self.violations)
        self.resets = 0
        self.lost = False  # it has left the bus
        self.nags = False  # its event stays whatever is written, and ISR says so with every cause
        self.queues: Final = [DeviceQueue(64), DeviceQueue(16)]
        self._held: list[Callable[[], None]] = []
        self._host: Host | None = None
        self._power_on()

    @property
    def capabilities(self) -> list[bytes]:
        """Say where the structures are (4.1.4)."""

        def cap(kind: int, offset: int, length: int, more: bytes = b"") -> bytes:
            head = struct.pack("<BBBBBB2xII", 9, 0, 16 + len(more), kind, BAR, 0, offset, length)
            return head + more

        return [
            cap(1, COMMON, 0x40),
            cap(3, ISR, 0x4),
            cap(4, DEVICE, 0x10),
            cap(2, NOTIFY, 0x1000, struct.pack("<I", MULTIPLIER)),
        ]

    def plug(self, host: Host) -> None:
        """Sit in a machine."""
        self._host = host

    def reset(self) -> None:
        """Be reset as a function."""
        self._power_on()

    def _power_on(self) -> None:
        self._feature_select = self._driver_select = self._queue_select = 0
        self._driver_features = 0
        self._status = self._isr = self._generation = 0
        self._config_vector = 0xFFFF
        self.events = 0
        self._dead = False
        self._held.clear()
        self.pictures.forget()
        for queue in self.queues:
            queue.reset()
        if self._host is not None:
            self._host.line(False)

    def connect(self, output: int, width: int, height: int) -> None:
        """Plug a monitor in, or another one; 0 by 0 takes it away."""
        self.pictures.connected[output] = (width, height)
        self.events |= 1
        self._generation = self._generation + 1 & 0xFF
        self._interrupt(self._config_vector, 2)

    def release(self) -> None:
        """End what was held, in its order."""
        held, self._held = self._held, []
        for end in held:
            end()

    def _interrupt(self, vector: int, isr: int) -> None:
        if self._host is None or not self._status & DRIVER_OK:
            return
        if vector != 0xFFFF:
            self._host.message(vector)
        else:
            self._isr |= isr
            self._host.line(True)

    # -- registers ---------------------------------------------------------------------------------

    def read(self, offset: int, width: int) -> int:
        """Read a register."""
        if self.lost:
            return _ONES[width]
        if offset == ISR:
            found, self._isr = self._isr | self.nags << 1, 0
            if self._host is not None:
                self._host.line(False)
            return found
        if DEVICE <= offset < DEVICE + 0x10:
            return {0: self.events, 8: self.outputs}.get(offset - DEVICE, 0)
        queue = self._queue
        common = {
            0x00: self._feature_select,
            0x04: self.features >> 32 * self._feature_select & 0xFFFF_FFFF,
            0x10: self._config_vector,
            0x12: len(self.queues),
            0x14: self._status,
            0x15: self._generation,
            0x16: self._queue_select,
            0x18: queue.size if queue else 0,
            0x1A: queue.vector if queue else 0xFFFF,
            0x1C: int(queue.enabled) if queue else 0,
            0x1E: self._queue_select,
        }
        if offset not in common:
            self.violations.append(f"register {offset:#x} was read")
        return common.get(offset, 0)

    @property
    def _queue(self) -> DeviceQueue | None:
        number = self._queue_select
        return self.queues[number] if number < len(self.queues) else None

    def write(self, offset: int, value: int, width: int) -> None:
        """Write a register."""
        if self.lost:
            return
        if NOTIFY <= offset < SIZE:
            self._notify((offset - NOTIFY) // MULTIPLIER, value)
        elif offset == DEVICE + 4:
            self.events &= ~value | self.nags
        elif offset == 0x14:
            self._write_status(value)
        elif offset == 0x00:
            self._feature_select = value & 1
        elif offset == 0x08:
            self._driver_select = value & 1
        elif offset == 0x0C:
            shift = 32 * self._driver_select
            kept = self._driver_features & ~(0xFFFF_FFFF << shift)
            self._driver_features = kept | value << shift
        elif offset == 0x10:
            self._config_vector = value if value < self.vectors else 0xFFFF
        elif offset == 0x16:
            self._queue_select = value
        else:
            self._write_queue(offset, value)

    def _write_status(self, value: int) -> None:
        if not value:
            self.resets += 1
            self._power_on()
            return
        if value & FEATURES_OK and not self._status & FEATURES_OK:
            asked = self._driver_features
            if asked & ~self.features or not asked & VERSION_1:
                value &= ~FEATURES_OK
        self._status = value

    def _write_queue(self, offset: int, value: int) -> None:
        queue = self._queue
        if queue is None or queue.enabled:
            self.violations.append(f"register {offset:#x} of no queue, or one that works")
            return
        if offset == 0x18:
            queue.size = value
        elif offset == 0x1A:
            queue.vector = value if value < self.vectors else 0xFFFF
        elif offset == 0x1C:
            queue.enabled = bool(value)
        elif 0x20 <= offset < 0x38 and offset % 4 == 0:
            which, high = divmod(offset - 0x20, 8)
            shift = 32 * (high // 4)
            kept = queue.addresses[which] & ~(0xFFFF_FFFF << shift)
            queue.addresses[which] = kept | value << shift
        else:
            self.violations.append(f"register {offset:#x} was written")

    # -- commands ----------------------------------------------------------------------------------

    def _notify(self, number: int, value: int) -> None:
        if number != value or number >= len(self.queues):
            self.violations.append(f"notification {value} at the place of queue {number}")
            return
        if not self._status & DRIVER_OK or self._host is None:
            self.violations.append("a notification before DRIVER_OK")
            return
        queue = self.queues[number]
        while not self._dead and (chain := queue.take(self._host)) is not None:
            self._serve(queue, chain)

    def _fault(self, kind: int) -> Fault | None:
        for fault in self.faults:
            if fault.type in (0, kind):
                fault.times -= 1
                if not fault.times:
                    self.faults.remove(fault)
                return fault
        return None

    def _serve(self, queue: DeviceQueue, chain: Chain) -> None:
        kind = int.from_bytes(chain.request[:4], "little")
        fault = self._fault(kind)
        misdeed = None if fault is None else fault.misdeed
        if fault is None:
            self._do(queue, chain)
        elif misdeed is Misdeed.ANSWER:
            answer = struct.pack("<I", fault.value).ljust(24, b"\0")
            self._end(queue, chain, answer)
        elif misdeed is Misdeed.HOLD:
            self._held.append(lambda: self._do(queue, chain))
        elif misdeed is Misdeed.LOSE:
            pass
        elif misdeed in (Misdeed.HANG, Misdeed.NEEDS_RESET):
            self._dead = True
            self._status |= NEEDS_RESET * (misdeed is Misdeed.NEEDS_RESET)
        elif misdeed is Misdeed.VANISH:
            self.lost = self._dead = True
            if self._host is not None:
                self._host.line(False)
        else:
            self._do(queue, chain, fault)

    def _do(self, queue: DeviceQueue, chain: Chain, fault: Fault | None = None) -> None:
        if self._host is None:
            return
        answer = self.pictures.do(chain.request, self._host)
        if queue is self.queues[1]:
            answer = b""  # the cursor queue is not answered
        self._end(queue, chain, answer, fault)

    def _end(
        self, queue: DeviceQueue, chain: Chain, answer: bytes, fault: Fault | None = None
    ) -> None:
        if self._host is None:
            return
        if len(answer) > len(chain.response):
            self.violations.append(f"{len(answer)} bytes do not fit in {len(chain.response)}")
            answer = answer[: len(chain.response)]
        first, written, jump = chain.first, len(answer), 0
        match fault.misdeed if fault is not None else None:
            case Misdeed.LENGTH:
                written = fault.value if fault else 0
            case Misdeed.IDENTITY:
                first = fault.value if fault else 0
            case Misdeed.JUMP:
                jump = fault.value if fault else 0
            case Misdeed.GARBAGE:
                answer = answer[:24].ljust(len(answer), b"\xff")
        chain.response[: len(answer)] = answer
        queue.end(self._host, first, written, jump)
        if fault is None or fault.misdeed is not Misdeed.LOSE_INTERRUPT:
            self._interrupt(queue.vector, 1)
