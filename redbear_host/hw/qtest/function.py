"""A PCI function of a lab QEMU, behind the ports every driver sees."""

from __future__ import annotations

import mmap
import os
import select
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any, Final

from redbear_host.errors import DeviceError, Gone
from redbear_host.hw.dma import Arena
from redbear_host.hw.pci.header import VENDOR_ID, Header, read_ids
from redbear_host.hw.ports import InterruptKind, Interrupts, PciFunction, PciIds
from redbear_host.hw.qtest.config import DriverConfig
from redbear_host.hw.qtest.grant import Grant
from redbear_host.hw.qtest.interrupts import InterruptSwitch
from redbear_host.hw.qtest.reset import prepare_function, reset_function
from redbear_host.hw.qtest.window import Window
from redbear_host.hw.qtest.wire import Wire

_SYSTEM_END: Final = 1 << 32  # everything in a lab machine lies below


def open_function(grant: dict[str, Any], fds: Sequence[int]) -> PciFunction:
    """Open the granted function, in whatever state a predecessor left it.

    Takes over those of `fds` that the grant names, also when it fails.  `Gone` if QEMU has ended
    or the function was unplugged, `TransportError` for a grant that is not one.
    """
    known = Grant.of(grant, fds)
    with ExitStack() as held:
        for fd in known.fds:
            held.callback(os.close, fd)
        return QtestFunction(known, held)


class QtestFunction:
    """`PciFunction` onto QEMU's device models; see README.md beside this file."""

    def __init__(self, grant: Grant, held: ExitStack) -> None:
        """Use `open_function`."""
        left = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        held.callback(os.close, left)
        # Readable when either is: QEMU has ended, or we found that the function was unplugged.
        self._gone: Final = held.enter_context(select.epoll())
        self._gone.register(left, select.EPOLLIN)
        self._gone.register(grant.machine_fd, select.EPOLLIN)
        self._wire: Final = Wire(grant.socket_fd, lambda: os.eventfd_write(left, 1))
        held.callback(self._wire.close)
        end = grant.arena_start + grant.arena_size
        memory = memoryview(mmap.mmap(grant.arena_fd, end))
        self._wire.resynchronise(memory, grant.cookie)

        self._grant: Final = grant
        self._config: Final = Window(self._wire, grant.ecam + (grant.bdf << 12), 4096)
        self.address: Final = grant.address
        self.ids: Final[PciIds] = read_ids(self._config)
        prepare_function(self._config, grant.bars)
        self._bars: Final = {
            number: Window(self._wire, address, size, ports=kind == "io")
            for number, address, size, kind in grant.bars
        }
        system = Window(self._wire, 0, _SYSTEM_END)
        self._interrupts: Final = InterruptSwitch(grant, self._config, system, self._bars)
        self._interrupts.disable()
        self.config: Final = DriverConfig(self._config)
        self.dma: Final = Arena(memory[grant.arena_start :], grant.iova + grant.arena_start)
        self._held: Final = held.pop_all()

    @property
    def gone(self) -> bool:
        """True once QEMU has ended or the function was unplugged from it; costs a bus read."""
        # Only configuration space says so: a window of an unplugged function reads as zero.
        if self._config.read16(VENDOR_ID) == 0xFFFF:
            self._wire.sever()
        return self._wire.severed

    @property
    def gone_fd(self) -> int:
        """Becomes readable when QEMU ends, or when `gone` finds the function unplugged."""
        return self._gone.fileno()

    @property
    def interrupts(self) -> Interrupts:
        """How many vectors of each kind the function, and the lab, offer."""
        return self._interrupts.offered

    def bar(self, index: int) -> Window:
        """Open base address register `index`; `DeviceError` if the function has none there."""
        window = self._bars.get(index)
        if window is None:
            raise DeviceError(f"{self.address} has no base address register {index}")
        return window

    def memory(self, index: int) -> Window:
        """Open base address register `index` as memory; `DeviceError` where it is none."""
        if any(number == index and kind == "io" for number, _, _, kind in self._grant.bars):
            raise DeviceError(f"base address register {index} of {self.address} is ports")
        return self.bar(index)

    def enable_interrupts(self, kind: InterruptKind, count: int = 1) -> list[int]:
        """Switch to `count` vectors of `kind`; the eventfds stay the function's own."""
        return self._interrupts.enable(kind, count)

    def disable_interrupts(self) -> None:
        """Let the function interrupt in no way at all."""
        self._interrupts.disable()

    def unmask_intx(self) -> None:
        """Let the INTx line fire again; it fires at once if the device still holds it."""
        self._interrupts.unmask_intx()

    def set_bus_master(self, on: bool) -> None:
        """Allow or forbid the function to start DMA and to send message interrupts."""
        with Header(self._config).COMMAND.edit() as command:
            command.BUS_MASTER = on

    def reset(self) -> None:
        """Reset the function; interrupts and bus mastering are off, its windows are in place."""
        self._interrupts.disable()
        reset_function(self._config)
        prepare_function(self._config, self._grant.bars)

    def leave(self) -> None:
        """Do nothing: nobody waits for it, and what has ended reads as all ones."""

    def close(self) -> None:
        """Stop DMA and interrupts, then let go of the device; harmless the second time."""
        if not self._wire.closed:
            self._interrupts.disable()
            self.set_bus_master(False)
            with suppress(Gone):
                self._wire.flush()
            self._held.close()
