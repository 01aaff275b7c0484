"""The privileged half of VFIO as every kernel has it: container, group, and the type 1 IOMMU.

Ref: Linux, Documentation/driver-api/vfio.rst.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from redbear_host.errors import ConfigError, TransportError
from redbear_host.hw.vfio import ioctls
from redbear_host.hw.vfio.device import capabilities
from redbear_host.hw.vfio.iova import USUAL

DEV: Final = Path("/dev/vfio")


class Container:
    """One IOMMU group in a container of its own, and one function of the group."""

    def __init__(self, address: str, group: int, dev: Path = DEV) -> None:
        self.address: Final = address
        with ExitStack() as held:
            self._fd: Final = _open(dev / "vfio", held, "modprobe vfio-pci")
            self._check_kernel()
            if not (dev / str(group)).exists() and (dev / f"noiommu-{group}").exists():
                raise ConfigError(
                    f"{address} has no IOMMU before it, only VFIO's no-IOMMU mode, "
                    "in which a device may write to any memory: refused",
                    "switch the IOMMU on: redbear-host doctor tells how",
                )
            group_fd = _open(dev / str(group), held, f"bind {address} to vfio-pci first")
            self._join(group_fd, group)
            name = ctypes.create_string_buffer(address.encode("ascii"))
            what = f"open {address} in VFIO group {group}"
            self.device_fd: Final = ioctls.call(group_fd, ioctls.GROUP_GET_DEVICE_FD, name, to=what)
            os.set_inheritable(self.device_fd, False)
            held.callback(os.close, self.device_fd)
            self._held: Final = held.pop_all()

    def _check_kernel(self) -> None:
        version = ioctls.call(self._fd, ioctls.GET_API_VERSION, to="ask VFIO for its version")
        if version != ioctls.API_VERSION:
            raise TransportError(f"VFIO speaks version {version}, not {ioctls.API_VERSION}")
        what = "ask VFIO for its IOMMU drivers"
        if not ioctls.call(self._fd, ioctls.CHECK_EXTENSION, ioctls.TYPE1v2_IOMMU, to=what):
            raise ConfigError(
                "VFIO has no driver for the IOMMU of this machine", "modprobe vfio_iommu_type1"
            )

    def _join(self, group_fd: int, group: int) -> None:
        status = ioctls.vfio_group_status(argsz=ctypes.sizeof(ioctls.vfio_group_status))
        what = f"ask for the state of VFIO group {group}"
        ioctls.call(group_fd, ioctls.GROUP_GET_STATUS, status, to=what)
        if not status.flags & ioctls.GROUP_FLAGS_VIABLE:
            raise TransportError(
                f"IOMMU group {group} of {self.address} is not viable: "
                "a function in it is bound to another driver",
                f"ls -l /sys/kernel/iommu_groups/{group}/devices/*/driver",
            )
        container = self._fd.to_bytes(4, "little")
        what = f"put VFIO group {group} into a container"
        ioctls.call(group_fd, ioctls.GROUP_SET_CONTAINER, bytearray(container), to=what)
        try:
            fcntl.ioctl(self._fd, ioctls.SET_IOMMU, ioctls.TYPE1v2_IOMMU)
        except OSError as error:
            raise TransportError(
                f"cannot put {self.address} behind the IOMMU: {error.strerror}", _advice(error)
            ) from error

    def iova_ranges(self) -> list[tuple[int, int]]:
        """Return the first and last address of each range the device may use for DMA."""
        what = f"ask for the DMA ranges of {self.address}"
        size = ctypes.sizeof(ioctls.vfio_iommu_type1_info)
        info = ioctls.vfio_iommu_type1_info(argsz=size)
        ioctls.call(self._fd, ioctls.IOMMU_GET_INFO, info, to=what)
        if info.flags & ioctls.IOMMU_INFO_CAPS and info.argsz > size:
            whole = bytearray(info.argsz)
            again = ioctls.vfio_iommu_type1_info.from_buffer(whole)
            again.argsz = info.argsz
            ioctls.call(self._fd, ioctls.IOMMU_GET_INFO, whole, to=what)
            for header, offset in capabilities(whole, again.cap_offset):
                if header.id == ioctls.IOMMU_TYPE1_INFO_CAP_IOVA_RANGE:
                    return _ranges(whole, offset)
        return list(USUAL)

    def map(self, address: int, iova: int, size: int) -> None:
        """Let the device read and write `size` bytes of our memory, which it sees at `iova`."""
        argument = ioctls.vfio_iommu_type1_dma_map(
            argsz=ctypes.sizeof(ioctls.vfio_iommu_type1_dma_map),
            flags=ioctls.DMA_MAP_FLAG_READ | ioctls.DMA_MAP_FLAG_WRITE,
            vaddr=address, iova=iova, size=size,
        )  # fmt: skip
        what = f"map {size:#x} bytes at IOVA {iova:#x} for {self.address}"
        ioctls.call(self._fd, ioctls.IOMMU_MAP_DMA, argument, to=what)

    def unmap(self, iova: int, size: int) -> None:
        """Take the memory away from the device again."""
        argument = ioctls.vfio_iommu_type1_dma_unmap(
            argsz=ctypes.sizeof(ioctls.vfio_iommu_type1_dma_unmap), iova=iova, size=size
        )
        what = f"unmap {size:#x} bytes at IOVA {iova:#x} for {self.address}"
        ioctls.call(self._fd, ioctls.IOMMU_UNMAP_DMA, argument, to=what)

    def close(self) -> None:
        """Let go of device, group and container, in that order."""
        self._held.close()


def _open(path: Path, held: ExitStack, hint: str) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise TransportError(
                f"{path} is held by another program", f"see who: fuser -v {path}"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            hint = "run it with sudo"
        raise ConfigError(f"cannot open {path}: {error.strerror}", hint) from error
    held.callback(os.close, fd)
    return fd


def _advice(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return (
            "the machine may lack interrupt remapping, without which a device can forge "
            "interrupts: switch it on in the firmware (dmesg | grep -i remapping)"
        )
    if error.errno == errno.EINVAL:
        return (
            "the firmware may claim memory of this device (RMRR), which forbids handing it out: "
            "dmesg | grep -i rmrr"
        )
    return "dmesg | grep -i -e vfio -e iommu"


def _ranges(info: bytearray, offset: int) -> list[tuple[int, int]]:
    head = ioctls.vfio_iommu_type1_info_cap_iova_range.from_buffer_copy(info, offset)
    first = offset + ctypes.sizeof(head)
    pairs = (ioctls.u64_range * head.nr_iovas).from_buffer_copy(info, first)
    return [(pair.start, pair.last) for pair in pairs]
