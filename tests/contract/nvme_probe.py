"""As little of an NVMe driver as it takes to see DMA and interrupts work.

Ref: NVM Express Base Specification, revision 2.0: 3.1.3 (properties), 3.3.3 (queue entries), 5.17
(Identify), 5.4 and 5.5 (creating queues).
"""

from __future__ import annotations

import os
import select
import struct
import time

from redbear_host.hw.clock import SystemClock
from redbear_host.hw.ports import DmaBuffer, InterruptKind, PciFunction

CAP, VS, CC, CSTS, AQA, ASQ, ACQ, DOORBELLS = 0x00, 0x08, 0x14, 0x1C, 0x24, 0x28, 0x30, 0x1000
ENABLED = 0x0046_0001  # CC: 64-byte commands, 16-byte completions, EN
DEPTH = 8
FLUSH, CREATE_SQ, CREATE_CQ, IDENTIFY = 0x00, 0x01, 0x05, 0x06
WITHIN = 5.0


class Queue:
    """A submission and a completion queue of the same number."""

    def __init__(self, function: PciFunction, number: int) -> None:
        self.sq, self.cq = function.dma.alloc(DEPTH * 64), function.dma.alloc(DEPTH * 16)
        self._bar, self._number = function.bar(0), number
        self._stride = 4 << (self._bar.read64(CAP) >> 32 & 0xF)
        self._tail = self._head = 0

    def submit(self, opcode: int, nsid: int, prp1: int, cdw10: int = 0, cdw11: int = 0) -> None:
        at = self._tail * 64
        struct.pack_into("<BBHI", self.sq.view, at, opcode, 0, self._tail, nsid)
        struct.pack_into("<Q", self.sq.view, at + 24, prp1)
        struct.pack_into("<II", self.sq.view, at + 40, cdw10, cdw11)
        self._tail = (self._tail + 1) % DEPTH
        self._bar.write32(DOORBELLS + 2 * self._number * self._stride, self._tail)

    def completed(self, within: float = WITHIN) -> bool:
        """Poll for the completion at the head, for the first round of the queue."""
        clock, deadline = SystemClock(), time.monotonic() + within
        while not struct.unpack_from("<H", self.cq.view, self._head * 16 + 14)[0] & 1:
            if time.monotonic() > deadline:
                return False
            clock.pause(0.001)
        return True

    def take(self) -> int:
        """Consume the completion at the head, tell the controller, return its status."""
        status: int = struct.unpack_from("<H", self.cq.view, self._head * 16 + 14)[0] >> 1
        self._head += 1
        self._bar.write32(DOORBELLS + (2 * self._number + 1) * self._stride, self._head)
        return status


class Controller:
    """A started controller with its admin queue."""

    def __init__(self, function: PciFunction) -> None:
        self._function = function
        bar = function.bar(0)
        bar.write32(CC, 0)
        self.await_ready(False)
        self.admin = Queue(function, 0)
        bar.write32(AQA, (DEPTH - 1) << 16 | DEPTH - 1)
        bar.write64(ASQ, self.admin.sq.iova)
        bar.write64(ACQ, self.admin.cq.iova)
        bar.write32(CC, ENABLED)
        self.await_ready(True)
        self.answer: DmaBuffer = function.dma.alloc(4096)

    def await_ready(self, wanted: bool) -> None:
        clock, deadline = SystemClock(), time.monotonic() + WITHIN
        while bool(self._function.bar(0).read32(CSTS) & 1) is not wanted:
            assert time.monotonic() < deadline, f"CSTS.RDY does not become {wanted}"
            clock.pause(0.001)

    def identify(self) -> None:
        """Ask for the controller's 4096 bytes, into `answer`."""
        self.admin.submit(IDENTIFY, 0, self.answer.iova, cdw10=1)

    def queue_pair(self, number: int, vector: int) -> Queue:
        """Create an I/O queue pair whose completions interrupt by `vector`."""
        queue = Queue(self._function, number)
        size = (DEPTH - 1) << 16 | number
        for opcode, memory, cdw11 in (
            (CREATE_CQ, queue.cq, vector << 16 | 3),  # interrupts on, contiguous
            (CREATE_SQ, queue.sq, number << 16 | 1),
        ):
            self.admin.submit(opcode, 0, memory.iova, size, cdw11)
            assert self.admin.completed()
            assert self.admin.take() == 0
        return queue


def start(function: PciFunction) -> Controller:
    """Start the controller with bus mastering on."""
    function.set_bus_master(True)
    return Controller(function)


def start_with(
    function: PciFunction, kind: InterruptKind, count: int = 1
) -> tuple[Controller, list[int]]:
    """Start the controller with interrupts.

    They come first: QEMU's model sends MSI-X only for queues that were created with MSI-X on.
    """
    fds = function.enable_interrupts(kind, count)
    return start(function), fds


def leave_running(function: PciFunction) -> None:
    """Leave the worst behind: interrupts on, commands under way, registers half written."""
    controller, _ = start_with(function, InterruptKind.MSIX, 2)
    for _ in range(DEPTH - 2):
        controller.identify()
    for _ in range(20):
        function.bar(0).write32(AQA, 0)


def rang(fd: int, within: float = WITHIN) -> bool:
    """Wait for an eventfd and empty it."""
    if not select.select([fd], [], [], within)[0]:
        return False
    return os.eventfd_read(fd) > 0
