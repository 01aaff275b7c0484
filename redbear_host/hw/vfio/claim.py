"""A function that was taken by VFIO, as the privileged side holds it on behalf of daemons.

The claim outlives the daemons: it keeps the container, so the device's address space stays as it
is, and the one mapping of the arena that the IOMMU was given.  A daemon gets the device file and
the arena's memfd, and can point the device at nothing else.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import resource
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from redbear_host.errors import ConfigError, TransportError
from redbear_host.hw.eventfds import eventfds
from redbear_host.hw.pci.header import ConfigWindow, Header
from redbear_host.hw.ports import InterruptFds, InterruptKind
from redbear_host.hw.vfio import ioctls
from redbear_host.hw.vfio.cdev import Cdev
from redbear_host.hw.vfio.container import Container
from redbear_host.hw.vfio.device import DeviceFile
from redbear_host.hw.vfio.iova import choose_iova
from redbear_host.hw.vfio.window import TrappedWindow

VECTORS_MOST: Final = 32  # for messages: each costs a descriptor in every process that knows it

_THROTTLED_S: Final = 0.002
_MESSAGES: Final = (ioctls.PCI_MSI_IRQ_INDEX, ioctls.PCI_MSIX_IRQ_INDEX)


class Claim:
    """One function with its DMA arena; `release` gives both up."""

    def __init__(
        self,
        address: str,
        arena_size: int,
        sys: Path = Path("/sys"),
        dev: Path = Path("/dev"),
    ) -> None:
        """Take the function, which is bound to vfio-pci, and map an arena of `arena_size` bytes.

        Raises `ConfigError` for what the user can put right, `TransportError` for the rest.
        """
        self.address: Final = address
        with ExitStack() as held:
            self._landing: Final = _land(address, sys, dev)
            held.callback(self._landing.close)
            self._size: Final = -(-arena_size // mmap.PAGESIZE) * mmap.PAGESIZE
            self._iova: Final = choose_iova(self._landing.iova_ranges(), self._size)
            self._arena_fd: Final = _sealed_memory(f"redbear-{address}", self._size)
            held.callback(os.close, self._arena_fd)
            flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
            arena = mmap.mmap(self._arena_fd, self._size, flags=flags)
            held.callback(arena.close)
            anchor = ctypes.c_char.from_buffer(arena)
            where = ctypes.addressof(anchor)
            del anchor  # or the mapping could not be closed
            _map(self._landing, where, self._iova, self._size)
            held.callback(self._landing.unmap, self._iova, self._size)
            self._device: Final = DeviceFile(self._landing.device_fd, address)
            region = self._device.region(ioctls.PCI_CONFIG_REGION_INDEX)
            config = TrappedWindow(self._device.fd, region.offset, region.size)
            self._header: Final = Header(ConfigWindow(config))
            messages = max(self._device.vectors(index) for index in _MESSAGES)
            self._vectors: Final = eventfds(min(messages, VECTORS_MOST))
            self._line: Final = eventfds(2)  # what it signals, and what unmasks it
            for fd in (*self._vectors, *self._line):
                held.callback(os.close, fd)
            self._held: Final = held.pop_all()
        self._released = False

    def grant(self) -> tuple[dict[str, Any], list[int]]:
        """Return what `open_function` takes; the same for every successor.

        The descriptors stay the claim's own: pass them on by SCM_RIGHTS, or as duplicates.
        """
        grant = {
            "machine": "vfio",
            "address": self.address,
            "iova": self._iova,
            "arena_size": self._size,
            "device_fd": 0,
            "arena_fd": 1,
            "intx_fd": 2,
            "unmask_fd": 3,
            "vector_fds": list(range(4, 4 + len(self._vectors))),
        }
        return grant, [self._landing.device_fd, self._arena_fd, *self._line, *self._vectors]

    def interrupts(self, kind: str, count: int) -> InterruptFds:
        """Return the eventfds of its first `count` vectors of a kind, which outlive daemons."""
        if kind == InterruptKind.INTX:
            signalled, unmask = self._line
            return InterruptFds([signalled], unmask)
        return InterruptFds(self._vectors[:count])

    def quiesce(self) -> None:
        """Stop the device's DMA and interrupts: its daemon has died."""
        with self._header.COMMAND.edit() as command:
            command.BUS_MASTER = False
        # A device may hold an interrupt back to have fewer (82574 10.2.3.5: EITR); it has to be out
        # before its messages are taken away.  QEMU's 82574 ends the machine otherwise.
        time.sleep(_THROTTLED_S)
        for index in range(ioctls.PCI_REQ_IRQ_INDEX + 1):
            with suppress(TransportError):  # it was not on
                self._device.trigger(index, [])

    def release(self) -> None:
        """Stop the device and give up all of it; harmless the second time."""
        if not self._released:
            self._released = True
            self.quiesce()
            self._held.close()


def _land(address: str, sys: Path, dev: Path) -> Container | Cdev:
    if not (dev / "vfio/vfio").exists() and (dev / "iommu").exists():
        return Cdev(address, sys, dev)
    link = sys / "bus/pci/devices" / address / "iommu_group"
    try:
        group = int(os.readlink(link).rsplit("/", 1)[1])
    except OSError as error:
        raise ConfigError(
            f"{address} is in no IOMMU group", "redbear-host doctor tells how to get it one"
        ) from error
    return Container(address, group, dev / "vfio")


def _sealed_memory(name: str, size: int) -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        # A daemon that could shorten it would kill whoever else has it mapped.
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except OSError:
        os.close(fd)
        raise
    return fd


def _map(landing: Container | Cdev, where: int, iova: int, size: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft not in (hard, resource.RLIM_INFINITY):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))  # pinned memory counts as locked
    try:
        landing.map(where, iova, size)
    except TransportError as error:
        allowed = "any" if hard == resource.RLIM_INFINITY else f"{hard >> 10} KiB"
        raise TransportError(
            f"{error.message} (needs {size >> 10} KiB of locked memory; {allowed} is allowed)",
            f"run it with sudo, or raise the limit: ulimit -l {size >> 10}",
        ) from error
