"""A lab machine: one QEMU with a parked processor, and the PCI functions in it ready to be granted.

    with Machine(["-device", "nvme,serial=A,drive=d0,addr=4", "-blockdev", …]) as machine:
        grant, fds = machine.functions[0].grant()

How it works is told in redbear_host/hw/qtest/README.md.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any, Final, Self

from redbear_host.bdf import Bdf
from redbear_host.errors import Gone, TransportError
from redbear_host.hw.pci.header import Command, Header
from redbear_host.hw.ports import InterruptFds, InterruptKind, PciIds
from redbear_host.hw.qtest.window import Window
from redbear_host.hw.qtest.wire import Wire
from redbear_host.lab.doorbell import BASE as DOORBELL_BASE
from redbear_host.lab.doorbell import BASE_SIZE as DOORBELL_SIZE
from redbear_host.lab.doorbell import DEVICE as DOORBELL_DEVICE
from redbear_host.lab.doorbell import MESSAGES as DOORBELL_MESSAGES
from redbear_host.lab.doorbell import MESSAGES_SIZE as DOORBELL_MESSAGES_SIZE
from redbear_host.lab.doorbell import REGISTER as DOORBELL_REGISTER
from redbear_host.lab.doorbell import Doorbell
from redbear_host.lab.farends import Supplies
from redbear_host.lab.firmware import AWAKE, AWAKE_VALUE, LINES, SERIO, firmware, unmask_message
from redbear_host.lab.qemu import Qemu
from redbear_host.lab.qmp import Qmp
from redbear_host.lab.topology import ECAM, Found, Topology

MEMORY: Final = 128 << 20  # bytes of RAM; it is sparse, unused DMA memory costs nothing
MEMORY_MAX: Final = 2 << 30  # above it q35 splits its RAM in two, and IOVAs are offsets no longer
ARENA_START: Final = 1 << 20  # a PC's memory has holes below this
VECTORS: Final = 32  # for messages

_DOORBELL: Final = DOORBELL_BASE + DOORBELL_REGISTER
_COOKIE: Final = 0x1000  # in RAM below the arena; the firmware's stack is elsewhere
_START_WITHIN_S: Final = 20.0
_SEND_BUFFER: Final = 4 << 20  # asked of the kernel for QEMU's answers; it grants what it likes


class LabFunction:
    """One PCI function of a lab machine, as its owner holds it on behalf of a daemon."""

    def __init__(self, machine: Machine, found: Found, members: dict[str, Any], fds: Sequence[int]):
        """Made by `Machine`."""
        self.machine: Final = machine
        self.found: Final = found
        self.ids: Final[PciIds] = found.ids
        self.address: Final = str(Bdf(machine.segment, found.bus, found.device, found.function))
        self._members: Final = members | {"address": self.address}
        self._fds: Final = list(fds)

    def grant(self) -> tuple[dict[str, Any], list[int]]:
        """Return the grant and its descriptors; they stay the machine's, so send or copy them."""
        return dict(self._members), list(self._fds)

    def copy(self) -> tuple[dict[str, Any], list[int]]:
        """Return the grant with copies of its descriptors, to be opened in this very process."""
        return dict(self._members), [os.dup(fd) for fd in self._fds]

    def config_image(self) -> bytes:
        """Read configuration space whole, 4096 bytes; only while no daemon uses the machine."""
        return self.machine.config_image(self.found)

    def interrupts(self, kind: str, count: int) -> InterruptFds:
        """Return the eventfds of its first `count` vectors of a kind."""
        return self.machine.interrupts(self.found, kind, count)

    def quiesce(self) -> None:
        """Stop the function's DMA and interrupts; only while no daemon uses the machine."""
        self.machine.quiesce(self.found)

    def abandon(self) -> None:
        """Do nothing: it has left with its machine, and nobody waits for it."""

    def release(self) -> None:
        """End the machine: it is there for its functions."""
        self.machine.close()


class Machine:
    """One QEMU.  `functions` are its PCI functions but for the chipset's, in bus order.

    They share one conversation with QEMU, so only one of them can be in use at a time.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        memory: int = MEMORY,
        vectors: int = VECTORS,
        segment: int = 0,
        pass_fds: Sequence[int] = (),
        supplies: Supplies | None = None,
    ) -> None:
        """Start QEMU with `arguments` on top of an empty q35, and enumerate its buses.

        Device 3 of bus 0 is taken; give devices `addr=4` and up.  `vectors` message vectors are
        there for whichever function is in use.  `segment` is the PCI segment that the functions'
        addresses show, so that those of two machines differ.  QEMU inherits `pass_fds`, which the
        arguments name by their numbers; they stay the caller's.  `supplies` are the machine's from
        here on, also when it does not start.  `TransportError` carries QEMU's own words when it
        refuses to start.
        """
        self.segment: Final = segment
        if memory > MEMORY_MAX:
            raise ValueError(f"a lab machine has at most {MEMORY_MAX:#x} bytes, not {memory:#x}")
        with ExitStack() as stack:
            supplies = stack.enter_context(supplies or Supplies())
            self._arena: Final = _memfd("redbear-lab-ram", memory, stack)
            self._memory: Final = memoryview(stack.enter_context(mmap.mmap(self._arena, memory)))
            stack.callback(self._memory.release)
            self._doorbell: Final = Doorbell(vectors + LINES + len(SERIO), LINES)
            stack.callback(self._doorbell.close)
            self._socket, wire_end = _pair(stack)
            monitor, monitor_end = _pair(stack)
            wire_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            image = firmware(_DOORBELL, vectors)
            rom = _memfd("redbear-lab-rom", len(image), stack)
            os.pwrite(rom, image, 0)
            told = [
                *_base(memory, self._arena, rom, wire_end.fileno(), monitor_end.fileno()),
                *self._doorbell.arguments(),
                *arguments,
            ]
            kept = (self._arena, rom, wire_end.fileno(), monitor_end.fileno())
            self.qemu: Final = Qemu(
                told, (*kept, self._doorbell.theirs.fileno(), *pass_fds, *supplies.fds)
            )
            stack.callback(self.qemu.end)
            supplies.handed_over()
            for theirs in (wire_end, monitor_end, self._doorbell.theirs):
                theirs.close()  # or we would not notice when QEMU closes its own
            try:
                self.qmp: Final = Qmp(monitor, _START_WITHIN_S)
                self._wire: Final = Wire(self._socket.fileno(), lambda: None)
                stack.callback(self._wire.close)
                self.topology: Final = Topology(self._wire)
                self._doorbell.connect(
                    self.topology.config(0, DOORBELL_DEVICE, 0),
                    Window(self._wire, DOORBELL_MESSAGES, DOORBELL_MESSAGES_SIZE),
                    [unmask_message(line) for line in range(LINES)],
                )
                self._await_interrupts()
            except (Gone, TransportError) as error:
                raise self.qemu.failure("start") from error
            self.functions: Final = [
                self._function(found, vectors) for found in self.topology.functions
            ]
            self._undo: Final = stack.pop_all()

    def __enter__(self) -> Self:
        """Use it as a context: it is closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def interrupts(self, found: Found, kind: str, count: int) -> InterruptFds:
        """Return the eventfds of a function's vectors, and of its line the one that unmasks it."""
        bell = self._doorbell
        if kind != InterruptKind.INTX:
            messages = len(bell.vectors) - LINES - len(SERIO)
            return InterruptFds(bell.vectors[: min(count, messages)])
        if found.line is None:
            return InterruptFds([])
        return InterruptFds([self._line_fd(found.line)], bell.unmasks[found.line])

    def _line_fd(self, line: int) -> int:
        return self._doorbell.vectors[line - LINES - len(SERIO)]

    def serio_grant(self) -> tuple[dict[str, Any], list[int]]:
        """Return what the scheme `serio` needs for the machine's keyboard and mouse.

        It takes the conversation with QEMU, so that no function of the machine can be used then.
        """
        fds = [self._socket.fileno(), self._arena, *self._doorbell.vectors[-len(SERIO) :]]
        return {"serio": "i8042", "arena_size": len(self._memory), "cookie": _COOKIE}, fds

    def quiesce(self, found: Found) -> None:
        """Stop DMA and interrupts of one function; only while no daemon uses the machine.

        What its daemon left in the conversation is skipped; a machine that has ended is quiet.
        """
        with suppress(Gone):
            self._wire.resynchronise(self._memory, _COOKIE)
            config = Window(self._wire, ECAM + (found.bdf << 12), 4096)
            Header(config).COMMAND.write(Command(INTERRUPT_DISABLE=True))
            self._wire.flush()

    def config_image(self, found: Found) -> bytes:
        """Read a function's configuration space; only while no daemon uses the machine."""
        self._wire.resynchronise(self._memory, _COOKIE)
        config = Window(self._wire, ECAM + (found.bdf << 12), 4096)
        return b"".join(config.read32(at).to_bytes(4, "little") for at in range(0, 4096, 4))

    def kill(self) -> None:
        """Cut the power: QEMU ends at once, and every function with it."""
        self.qemu.kill()

    def close(self) -> None:
        """End QEMU and give everything back; harmless the second time."""
        self._undo.close()

    def _await_interrupts(self) -> None:
        # QEMU reads about the eventfds in its own time, in order: the last one's answer is enough.
        # The firmware says in memory that it is awake.
        last = len(self._doorbell.vectors) - 1
        bell = Window(self._wire, DOORBELL_BASE, DOORBELL_SIZE)
        deadline = time.monotonic() + _START_WITHIN_S
        answer = select.poll()  # select(2) knows numbers up to 1023 only
        answer.register(self._doorbell.vectors[last], select.POLLIN)
        while time.monotonic() < deadline:
            bell.write32(DOORBELL_REGISTER, last)
            self._wire.flush()
            rung = answer.poll(1)
            if rung and struct.unpack_from("<I", self._memory, AWAKE) == (AWAKE_VALUE,):
                os.eventfd_read(self._doorbell.vectors[last])
                return
        raise TransportError("QEMU's processor or its doorbell does not answer")

    def _function(self, found: Found, vectors: int) -> LabFunction:
        fds = [self._socket.fileno(), self._arena, self.qemu.pidfd]
        members: dict[str, Any] = {
            "machine": "qtest",
            "bdf": found.bdf,
            "ecam": ECAM,
            "bars": [[bar.number, bar.address, bar.size, bar.kind.value] for bar in found.bars],
            "doorbell": _DOORBELL,
            "iova": 0,
            "arena_start": ARENA_START,
            "arena_size": len(self._memory) - ARENA_START,
            "cookie": _COOKIE,
            "socket_fd": 0,
            "arena_fd": 1,
            "machine_fd": 2,
            "vector_fds": [],
            "intx_fd": None,
            "intx_unmask": [0, 0],
        }
        if found.line is not None:
            members["intx_fd"] = len(fds)
            members["intx_unmask"] = list(unmask_message(found.line))
            fds.append(self._line_fd(found.line))
        members["vector_fds"] = list(range(len(fds), len(fds) + vectors))
        fds += self._doorbell.vectors[:vectors]
        return LabFunction(self, found, members, fds)


def _base(memory: int, arena: int, rom: int, wire: int, monitor: int) -> list[str]:
    ram = f"memory-backend-file,id=ram,size={memory},mem-path=/proc/self/fd/{arena},share=on"
    return [
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", "q35,memory-backend=ram", "-smp", "1", "-m", f"{memory}B"),
        # The processor runs a few dozen instructions of ours, so one MiB of translations is ample.
        *("-accel", "tcg,tb-size=1"),
        *("-object", ram),
        *("-bios", f"/proc/self/fd/{rom}"),
        *("-chardev", f"socket,id=wire,fd={wire}"),
        *("-object", "qtest,id=qtest,chardev=wire,log=none"),
        *("-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control"),
    ]


def _pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    stack.enter_context(ours)
    stack.enter_context(theirs)
    return ours, theirs


def _memfd(name: str, size: int, stack: ExitStack) -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    os.ftruncate(fd, size)
    return fd
