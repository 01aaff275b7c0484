"""The privileged half of VFIO on a kernel without groups: iommufd and a device file (6.6 or later).

Ref: Linux, Documentation/driver-api/vfio.rst (VFIO Device cdev) and
Documentation/userspace-api/iommufd.rst.

Taken only where `/dev/vfio/vfio` is missing.  No kernel of Debian 12, 13 or forky is built with
iommufd, so this file has never spoken to one: only its numbers and structures are tested, against
the kernel's headers.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from redbear_host.errors import ConfigError
from redbear_host.hw.vfio import ioctls

RANGES_MAX: Final = 64  # far more than any IOMMU has


class Cdev:
    """One function bound to an iommufd of its own, with one address space."""

    def __init__(self, address: str, sys: Path = Path("/sys"), dev: Path = Path("/dev")) -> None:
        self.address: Final = address
        names = sorted((sys / "bus/pci/devices" / address / "vfio-dev").glob("vfio*"))
        if not names:
            raise ConfigError(
                f"{address} has no VFIO device file", f"bind {address} to vfio-pci first"
            )
        with ExitStack() as held:
            self._fd: Final = _open(dev / "iommu", held)
            self.device_fd: Final = _open(dev / "vfio/devices" / names[0].name, held)
            bind = ioctls.vfio_device_bind_iommufd(
                argsz=ctypes.sizeof(ioctls.vfio_device_bind_iommufd), iommufd=self._fd
            )
            what = f"bind {address} to iommufd"
            ioctls.call(self.device_fd, ioctls.DEVICE_BIND_IOMMUFD, bind, to=what)
            space = ioctls.iommu_ioas_alloc(size=ctypes.sizeof(ioctls.iommu_ioas_alloc))
            ioctls.call(self._fd, ioctls.IOMMU_IOAS_ALLOC, space, to="make a DMA address space")
            self._space: Final = space.out_ioas_id
            attach = ioctls.vfio_device_attach_iommufd_pt(
                argsz=ctypes.sizeof(ioctls.vfio_device_attach_iommufd_pt), pt_id=self._space
            )
            what = f"put {address} behind the IOMMU"
            ioctls.call(self.device_fd, ioctls.DEVICE_ATTACH_IOMMUFD_PT, attach, to=what)
            self._held: Final = held.pop_all()

    def iova_ranges(self) -> list[tuple[int, int]]:
        """Return the first and last address of each range the device may use for DMA."""
        ranges = (ioctls.u64_range * RANGES_MAX)()
        question = ioctls.iommu_ioas_iova_ranges(
            size=ctypes.sizeof(ioctls.iommu_ioas_iova_ranges),
            ioas_id=self._space, num_iovas=RANGES_MAX, allowed_iovas=ctypes.addressof(ranges),
        )  # fmt: skip
        what = f"ask for the DMA ranges of {self.address}"
        ioctls.call(self._fd, ioctls.IOMMU_IOAS_IOVA_RANGES, question, to=what)
        return [(pair.start, pair.last) for pair in ranges[: question.num_iovas]]

    def map(self, address: int, iova: int, size: int) -> None:
        """Let the device read and write `size` bytes of our memory, which it sees at `iova`."""
        argument = ioctls.iommu_ioas_map(
            size=ctypes.sizeof(ioctls.iommu_ioas_map),
            flags=ioctls.IOMMU_IOAS_MAP_FIXED_IOVA
            | ioctls.IOMMU_IOAS_MAP_READABLE
            | ioctls.IOMMU_IOAS_MAP_WRITEABLE,
            ioas_id=self._space, user_va=address, length=size, iova=iova,
        )  # fmt: skip
        what = f"map {size:#x} bytes at IOVA {iova:#x} for {self.address}"
        ioctls.call(self._fd, ioctls.IOMMU_IOAS_MAP, argument, to=what)

    def unmap(self, iova: int, size: int) -> None:
        """Nothing: closing the device file and the iommufd takes all memory away."""

    def close(self) -> None:
        """Let go of the device, then of its address space."""
        self._held.close()


def _open(path: Path, held: ExitStack) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except PermissionError as error:
        raise ConfigError(f"cannot open {path}: {error.strerror}", "run it with sudo") from error
    except OSError as error:
        raise ConfigError(f"cannot open {path}: {error.strerror}", "modprobe vfio-pci") from error
    held.callback(os.close, fd)
    return fd
