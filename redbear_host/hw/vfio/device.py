"""What one VFIO device file answers: its regions, its interrupts, its reset."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from redbear_host.errors import TransportError
from redbear_host.hw.vfio import ioctls


class Region(NamedTuple):
    """A window of the device file; `size` is 0 where the function has none."""

    flags: int
    offset: int  # of its first byte in the device file
    size: int
    whole: bool  # all of it may be mapped


class DeviceFile:
    """The calls of linux/vfio.h on the descriptor of one PCI function."""

    def __init__(self, fd: int, address: str) -> None:
        self.fd = fd
        self._address: Final = address
        info = ioctls.vfio_device_info(argsz=ctypes.sizeof(ioctls.vfio_device_info))
        ioctls.call(fd, ioctls.DEVICE_GET_INFO, info, to=f"ask VFIO about {address}")
        if not info.flags & ioctls.DEVICE_FLAGS_PCI:
            raise TransportError(f"VFIO says that {address} is not a PCI function")
        self.resets: Final = bool(info.flags & ioctls.DEVICE_FLAGS_RESET)
        self._regions: Final = info.num_regions
        self._interrupts: Final = info.num_irqs

    def close(self) -> None:
        """Close the file; harmless the second time."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def region(self, index: int) -> Region:
        """Describe a window: 0 to 5 are the base address registers."""
        if index >= self._regions:
            return Region(0, 0, 0, False)
        size = ctypes.sizeof(ioctls.vfio_region_info)
        info = ioctls.vfio_region_info(argsz=size, index=index)
        what = f"ask VFIO about region {index} of {self._address}"
        ioctls.call(self.fd, ioctls.DEVICE_GET_REGION_INFO, info, to=what)
        sparse = False
        if info.flags & ioctls.REGION_INFO_FLAG_CAPS and info.argsz > size:
            whole = bytearray(info.argsz)
            again = ioctls.vfio_region_info.from_buffer(whole)
            again.argsz, again.index = info.argsz, index
            ioctls.call(self.fd, ioctls.DEVICE_GET_REGION_INFO, whole, to=what)
            found = [header.id for header, _ in capabilities(whole, again.cap_offset)]
            sparse = ioctls.REGION_INFO_CAP_SPARSE_MMAP in found
        mappable = bool(info.flags & ioctls.REGION_INFO_FLAG_MMAP) and not sparse
        return Region(info.flags, info.offset, info.size, mappable)

    def vectors(self, index: int) -> int:
        """How many interrupts the function has under that index."""
        if index >= self._interrupts:
            return 0
        info = ioctls.vfio_irq_info(argsz=ctypes.sizeof(ioctls.vfio_irq_info), index=index)
        what = f"ask VFIO about interrupts of {self._address}"
        try:
            ioctls.call(self.fd, ioctls.DEVICE_GET_IRQ_INFO, info, to=what)
        except TransportError as error:
            # Linux's way to say that a conventional PCI function reports no errors of its bus.
            unknown = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EINVAL
            if not (unknown and index == ioctls.PCI_ERR_IRQ_INDEX):
                raise
            return 0
        return info.count

    def trigger(self, index: int, eventfds: Sequence[int]) -> None:
        """Signal an eventfd for each interrupt of that index; an empty list switches it off.

        `TransportError` where the host has not as many vectors to give.
        """
        kind = ioctls.IRQ_SET_DATA_EVENTFD if eventfds else ioctls.IRQ_SET_DATA_NONE
        flags = kind | ioctls.IRQ_SET_ACTION_TRIGGER
        what = f"set interrupt index {index} of {self._address}"
        given = self._set_irqs(flags, index, len(eventfds), eventfds, what)
        if given > 0:
            raise TransportError(
                f"cannot {what}: the host has {given} vectors left, not {len(eventfds)}"
            )

    def unmask_intx(self) -> None:
        """Let the line through again, which VFIO masked when it fired."""
        flags = ioctls.IRQ_SET_DATA_NONE | ioctls.IRQ_SET_ACTION_UNMASK
        what = f"unmask INTx of {self._address}"
        self._set_irqs(flags, ioctls.PCI_INTX_IRQ_INDEX, 1, (), what)

    def unmask_intx_by(self, eventfd: int) -> None:
        """Let whoever signals `eventfd` unmask the line too, for as long as INTx is on."""
        flags = ioctls.IRQ_SET_DATA_EVENTFD | ioctls.IRQ_SET_ACTION_UNMASK
        what = f"let an eventfd unmask INTx of {self._address}"
        self._set_irqs(flags, ioctls.PCI_INTX_IRQ_INDEX, 1, (eventfd,), what)

    def _set_irqs(
        self, flags: int, index: int, count: int, eventfds: Sequence[int], what: str
    ) -> int:
        size = ctypes.sizeof(ioctls.vfio_irq_set)
        argument = bytearray(size + 4 * len(eventfds))
        ioctls.vfio_irq_set.from_buffer(argument).__init__(  # type: ignore[misc]
            len(argument), flags, index, 0, count
        )
        argument[size:] = b"".join(fd.to_bytes(4, "little", signed=True) for fd in eventfds)
        return ioctls.call(self.fd, ioctls.DEVICE_SET_IRQS, argument, to=what)

    def reset(self) -> None:
        """Reset the function, by whatever way the kernel knows for it."""
        ioctls.call(self.fd, ioctls.DEVICE_RESET, to=f"reset {self._address}")


def capabilities(info: bytearray, offset: int) -> list[tuple[ioctls.vfio_info_cap_header, int]]:
    """Walk the capabilities behind an answer; pairs of header and its offset."""
    found: list[tuple[ioctls.vfio_info_cap_header, int]] = []
    size = ctypes.sizeof(ioctls.vfio_info_cap_header)
    while 0 < offset <= len(info) - size and len(found) < len(info) // size:
        header = ioctls.vfio_info_cap_header.from_buffer_copy(info, offset)
        found.append((header, offset))
        offset = header.next
    return found
