"""A PCI function that was handed to VFIO, behind the ports every driver sees."""

from __future__ import annotations

import mmap
import os
import select
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any, Final, NamedTuple

from redbear_host import linux
from redbear_host.errors import DeviceError, Gone, TransportError
from redbear_host.hw.dma import Arena
from redbear_host.hw.eventfds import drain
from redbear_host.hw.pci.bar import BAR_COUNT
from redbear_host.hw.pci.header import (
    BASE_ADDRESS,
    VENDOR_ID,
    ConfigWindow,
    Header,
    read_ids,
)
from redbear_host.hw.ports import InterruptKind, Interrupts, PciIds
from redbear_host.hw.vfio import ioctls
from redbear_host.hw.vfio.device import DeviceFile
from redbear_host.hw.vfio.window import MappedWindow, TrappedWindow

_INDEX: Final = {
    InterruptKind.INTX: ioctls.PCI_INTX_IRQ_INDEX,
    InterruptKind.MSI: ioctls.PCI_MSI_IRQ_INDEX,
    InterruptKind.MSIX: ioctls.PCI_MSIX_IRQ_INDEX,
}
# The kernel asks for the device back, or the bus saw an error that nothing can be built on.
_LAST_WORDS: Final = (ioctls.PCI_REQ_IRQ_INDEX, ioctls.PCI_ERR_IRQ_INDEX)


def open_function(grant: dict[str, Any], fds: Sequence[int]) -> VfioFunction:
    """Open the granted function, in whatever state a predecessor left it.

    Takes over the descriptors the grant names, also when it fails.  DMA and interrupts are off, the
    function answers at its windows.  `Gone` if it has left, `TransportError` for a grant that is
    not one.
    """
    with ExitStack() as held:
        try:
            device_fd, arena_fd = fds[grant["device_fd"]], fds[grant["arena_fd"]]
            line = Line(fds[grant["intx_fd"]], fds[grant["unmask_fd"]])
            vectors = [fds[index] for index in grant["vector_fds"]]
            address, iova, size = grant["address"], grant["iova"], grant["arena_size"]
        except (KeyError, IndexError, TypeError) as error:
            raise TransportError(f"not a grant of a function by VFIO: {error!r}") from error
        for fd in (*line, *vectors, arena_fd):
            held.callback(os.close, fd)
        with ExitStack() as unless_it_answers:
            unless_it_answers.callback(os.close, device_fd)
            device = DeviceFile(device_fd, address)
            unless_it_answers.pop_all()
        held.callback(device.close)
        try:
            memory = mmap.mmap(arena_fd, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        except (OSError, ValueError, TypeError) as error:
            raise TransportError(f"cannot map the DMA arena of {address}: {error}") from error
        arena = Arena(memoryview(memory), iova)
        return VfioFunction(device, address, arena, line, vectors, held)


class Line(NamedTuple):
    """The eventfds of an interrupt line: what it signals, and what unmasks it."""

    signalled: int
    unmask: int


class VfioFunction:
    """`PciFunction` onto a device file of VFIO."""

    def __init__(
        self,
        device: DeviceFile,
        address: str,
        arena: Arena,
        line: Line,
        vectors: Sequence[int],
        held: ExitStack,
    ) -> None:
        """Use `open_function`."""
        self.address: Final = address
        self.dma: Final = arena
        self._device: Final = device
        region = self._device.region(ioctls.PCI_CONFIG_REGION_INDEX)
        self.config: Final = TrappedWindow(device.fd, region.offset, region.size)
        self._header: Final = Header(ConfigWindow(self.config))
        self.ids: Final[PciIds] = read_ids(self.config)
        self._line: Final = line
        self._vectors: Final = list(vectors)
        most = {kind: len(self._vectors) for kind in _INDEX} | {InterruptKind.INTX: 1}
        self.interrupts: Final = Interrupts(
            **{kind: min(self._device.vectors(i), most[kind]) for kind, i in _INDEX.items()}
        )
        self._bars: Final[dict[int, MappedWindow | TrappedWindow]] = {}
        self._enabled: InterruptKind | None = None
        self._closed = False

        self._prepare()
        for index in _INDEX.values():
            self._switch_off(index)
        self.gone_fd: Final = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        held.callback(os.close, self.gone_fd)
        self._gone: Final = select.poll()
        self._gone.register(self.gone_fd, select.POLLIN)
        for index in _LAST_WORDS:
            if self._device.vectors(index):
                self._device.trigger(index, [self.gone_fd])
        self._held: Final = held.pop_all()

    def _prepare(self) -> None:
        """Let the function answer at its windows, and let it do nothing on its own."""
        with self._header.COMMAND.edit() as command:
            command.IO_SPACE = command.MEMORY_SPACE = True
            command.BUS_MASTER = False

    @property
    def gone(self) -> bool:
        """True once the device has left, or the kernel wants it back; costs a bus read."""
        if not self._gone.poll(0):
            if self.config.read16(VENDOR_ID) != 0xFFFF:
                return False
            os.eventfd_write(self.gone_fd, 1)
        return True

    def bar(self, index: int) -> MappedWindow | TrappedWindow:
        """Open base address register `index`; `DeviceError` if the function has none there."""
        window = self._bars.get(index)
        if window is None:
            window = self._bars[index] = self._open_bar(index)
        return window

    def memory(self, index: int) -> MappedWindow:
        """Open base address register `index` as memory; `DeviceError` where it is none."""
        window = self.bar(index)
        if not isinstance(window, MappedWindow):
            raise DeviceError(f"base address register {index} of {self.address} cannot be mapped")
        return window

    def _open_bar(self, index: int) -> MappedWindow | TrappedWindow:
        self._check_there()
        fd = self._device.fd
        if 0 <= index < BAR_COUNT:
            region = self._device.region(ioctls.PCI_BAR0_REGION_INDEX + index)
            if region.size and region.whole:
                memory = mmap.mmap(-1, region.size)
                linux.map_over(memory, fd, region.offset)
                return MappedWindow(memory, region.size)
            if region.size:
                ports = self.config.read32(BASE_ADDRESS + 4 * index) & 1
                return TrappedWindow(fd, region.offset, region.size, 4 if ports else 8)
        raise DeviceError(f"{self.address} has no base address register {index}")

    def leave(self) -> None:
        """Let go of a function that has left, for which Linux waits; it reads as all ones."""
        if self._device.fd < 0:
            return
        self._enabled = None
        for window in self._bars.values():
            window.leave()
        self.config.leave()
        self._device.close()

    def _check_there(self) -> None:
        if self._device.fd < 0:
            raise Gone(f"{self.address} has left")

    def enable_interrupts(self, kind: InterruptKind, count: int = 1) -> list[int]:
        """Switch to `count` vectors of `kind`; the eventfds stay the function's own."""
        self._check_there()
        offered = getattr(self.interrupts, kind)
        if count < 1:
            raise ValueError(f"{count} vectors cannot be enabled")
        if count > offered:
            raise DeviceError(f"{self.address} offers {offered} {kind} vectors, not {count}")
        self.disable_interrupts()
        line = kind is InterruptKind.INTX
        found = [self._line.signalled] if line else self._vectors[:count]
        for fd in found:
            drain(fd)
        self._enabled = kind
        if line:
            with self._header.COMMAND.edit() as command:
                command.INTERRUPT_DISABLE = False
        self._device.trigger(_INDEX[kind], found)
        if line:
            self._device.unmask_intx_by(self._line.unmask)
        return found

    def disable_interrupts(self) -> None:
        """Let the function interrupt in no way at all."""
        if self._enabled is not None:
            self._switch_off(_INDEX[self._enabled])
            self._enabled = None

    def _switch_off(self, index: int) -> None:
        # VFIO refuses to switch off what is not on; a predecessor's vectors may or may not be.
        with suppress(TransportError):
            self._device.trigger(index, [])

    def unmask_intx(self) -> None:
        """Let the INTx line fire again; it fires at once if the device still holds it."""
        if self._device.fd < 0:
            return  # its last interrupt, and nobody to hear of it
        if self._enabled is not InterruptKind.INTX:
            raise ValueError(f"INTx of {self.address} is not enabled")
        self._device.unmask_intx()

    def set_bus_master(self, on: bool) -> None:
        """Allow or forbid the function to start DMA and to send message interrupts."""
        with self._header.COMMAND.edit() as command:
            command.BUS_MASTER = on

    def reset(self) -> None:
        """Reset the function; interrupts and bus mastering are off, its windows are in place.

        `DeviceError` where neither the function nor its bus can be reset.
        """
        self._check_there()
        if not self._device.resets:
            raise DeviceError(f"{self.address} can be reset by none of the ways Linux knows")
        self.disable_interrupts()
        self.set_bus_master(False)  # or the kernel would restore it after the reset
        self._device.reset()
        self._prepare()

    def close(self) -> None:
        """Stop DMA and interrupts, then let go of the device; harmless the second time."""
        if self._closed:
            return
        self._closed = True
        self.set_bus_master(False)
        self.disable_interrupts()
        for window in self._bars.values():
            if isinstance(window, MappedWindow):
                window.close()
        self._held.close()
