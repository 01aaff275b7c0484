"""Linux's VFIO and iommufd interfaces: numbers and structures, nothing else.

Ref: linux/vfio.h (6.1; the cdev calls 6.6), linux/iommufd.h (6.2).  Names are theirs, with the
prefix VFIO_ left out.  tests/unit/test_vfio_ioctls.py compares all of it with the headers.
"""

from __future__ import annotations

import ctypes
import fcntl
from ctypes import c_char, c_int32, c_uint16, c_uint32, c_uint64
from typing import Final

from redbear_host.errors import TransportError

API_VERSION: Final = 0
TYPE1v2_IOMMU: Final = 3


def _io(number: int) -> int:
    return ord(";") << 8 | number  # _IO(';', number): all of VFIO's calls carry no size


# On the container.
GET_API_VERSION: Final = _io(100)
CHECK_EXTENSION: Final = _io(101)
SET_IOMMU: Final = _io(102)
IOMMU_GET_INFO: Final = _io(112)
IOMMU_MAP_DMA: Final = _io(113)
IOMMU_UNMAP_DMA: Final = _io(114)

# On a group.
GROUP_GET_STATUS: Final = _io(103)
GROUP_SET_CONTAINER: Final = _io(104)
GROUP_GET_DEVICE_FD: Final = _io(106)

# On a device.
DEVICE_GET_INFO: Final = _io(107)
DEVICE_GET_REGION_INFO: Final = _io(108)
DEVICE_GET_IRQ_INFO: Final = _io(109)
DEVICE_SET_IRQS: Final = _io(110)
DEVICE_RESET: Final = _io(111)
DEVICE_BIND_IOMMUFD: Final = _io(118)
DEVICE_ATTACH_IOMMUFD_PT: Final = _io(119)

# On /dev/iommu.
IOMMU_IOAS_ALLOC: Final = _io(0x81)
IOMMU_IOAS_IOVA_RANGES: Final = _io(0x84)
IOMMU_IOAS_MAP: Final = _io(0x85)

GROUP_FLAGS_VIABLE: Final = 1 << 0

DEVICE_FLAGS_RESET: Final = 1 << 0
DEVICE_FLAGS_PCI: Final = 1 << 1

REGION_INFO_FLAG_READ: Final = 1 << 0
REGION_INFO_FLAG_WRITE: Final = 1 << 1
REGION_INFO_FLAG_MMAP: Final = 1 << 2
REGION_INFO_FLAG_CAPS: Final = 1 << 3
REGION_INFO_CAP_SPARSE_MMAP: Final = 1

IRQ_SET_DATA_NONE: Final = 1 << 0
IRQ_SET_DATA_EVENTFD: Final = 1 << 2
IRQ_SET_ACTION_UNMASK: Final = 1 << 4
IRQ_SET_ACTION_TRIGGER: Final = 1 << 5

PCI_BAR0_REGION_INDEX: Final = 0
PCI_CONFIG_REGION_INDEX: Final = 7

PCI_INTX_IRQ_INDEX: Final = 0
PCI_MSI_IRQ_INDEX: Final = 1
PCI_MSIX_IRQ_INDEX: Final = 2
PCI_ERR_IRQ_INDEX: Final = 3
PCI_REQ_IRQ_INDEX: Final = 4

IOMMU_INFO_CAPS: Final = 1 << 1
IOMMU_TYPE1_INFO_CAP_IOVA_RANGE: Final = 1

DMA_MAP_FLAG_READ: Final = 1 << 0
DMA_MAP_FLAG_WRITE: Final = 1 << 1

IOMMU_IOAS_MAP_FIXED_IOVA: Final = 1 << 0
IOMMU_IOAS_MAP_WRITEABLE: Final = 1 << 1
IOMMU_IOAS_MAP_READABLE: Final = 1 << 2


class vfio_info_cap_header(ctypes.Structure):
    """Heads each link of a chain of capabilities; `next` counts from the start of the info."""

    _fields_ = [("id", c_uint16), ("version", c_uint16), ("next", c_uint32)]
    id: int
    version: int
    next: int


class vfio_group_status(ctypes.Structure):
    """Answer to GROUP_GET_STATUS."""

    _fields_ = [("argsz", c_uint32), ("flags", c_uint32)]
    flags: int


class vfio_device_info(ctypes.Structure):
    """Answer to DEVICE_GET_INFO."""

    _fields_ = [
        ("argsz", c_uint32), ("flags", c_uint32), ("num_regions", c_uint32),
        ("num_irqs", c_uint32), ("cap_offset", c_uint32),
    ]  # fmt: skip
    flags: int
    num_regions: int
    num_irqs: int


class vfio_region_info(ctypes.Structure):
    """Question (`index`) and answer of DEVICE_GET_REGION_INFO; bytes."""

    _fields_ = [
        ("argsz", c_uint32), ("flags", c_uint32), ("index", c_uint32), ("cap_offset", c_uint32),
        ("size", c_uint64), ("offset", c_uint64),
    ]  # fmt: skip
    argsz: int
    flags: int
    cap_offset: int
    size: int
    offset: int


class vfio_irq_info(ctypes.Structure):
    """Question (`index`) and answer of DEVICE_GET_IRQ_INFO."""

    _fields_ = [
        ("argsz", c_uint32), ("flags", c_uint32), ("index", c_uint32), ("count", c_uint32),
    ]  # fmt: skip
    flags: int
    count: int


class vfio_irq_set(ctypes.Structure):
    """Head of what DEVICE_SET_IRQS takes; `count` eventfds (s32) follow it."""

    _fields_ = [
        ("argsz", c_uint32), ("flags", c_uint32), ("index", c_uint32), ("start", c_uint32),
        ("count", c_uint32),
    ]  # fmt: skip


class vfio_iommu_type1_info(ctypes.Structure):
    """Answer to IOMMU_GET_INFO; capabilities may follow it."""

    _fields_ = [
        ("argsz", c_uint32), ("flags", c_uint32), ("iova_pgsizes", c_uint64),
        ("cap_offset", c_uint32),
    ]  # fmt: skip
    argsz: int
    flags: int
    cap_offset: int


class vfio_iommu_type1_info_cap_iova_range(ctypes.Structure):
    """Head of the IOVA range capability; `nr_iovas` pairs of u64 (start, end) follow it."""

    _fields_ = [
        ("header", vfio_info_cap_header), ("nr_iovas", c_uint32), ("reserved", c_uint32),
    ]  # fmt: skip
    nr_iovas: int


class vfio_iommu_type1_dma_map(ctypes.Structure):
    """Argument of IOMMU_MAP_DMA; bytes."""

    _fields_ = [
        ("argsz", c_uint32), ("flags", c_uint32), ("vaddr", c_uint64), ("iova", c_uint64),
        ("size", c_uint64),
    ]  # fmt: skip


class vfio_iommu_type1_dma_unmap(ctypes.Structure):
    """Argument of IOMMU_UNMAP_DMA; bytes."""

    _fields_ = [
        ("argsz", c_uint32), ("flags", c_uint32), ("iova", c_uint64), ("size", c_uint64),
    ]  # fmt: skip


class vfio_device_bind_iommufd(ctypes.Structure):
    """Argument of DEVICE_BIND_IOMMUFD, as of 6.6."""

    _fields_ = [
        ("argsz", c_uint32), ("flags", c_uint32), ("iommufd", c_int32), ("out_devid", c_uint32),
    ]  # fmt: skip


class vfio_device_attach_iommufd_pt(ctypes.Structure):
    """Argument of DEVICE_ATTACH_IOMMUFD_PT, as of 6.6."""

    _fields_ = [("argsz", c_uint32), ("flags", c_uint32), ("pt_id", c_uint32)]


class iommu_ioas_alloc(ctypes.Structure):
    """Answer to IOMMU_IOAS_ALLOC."""

    _fields_ = [("size", c_uint32), ("flags", c_uint32), ("out_ioas_id", c_uint32)]
    out_ioas_id: int


class iommu_ioas_iova_ranges(ctypes.Structure):
    """Question and answer of IOMMU_IOAS_IOVA_RANGES; the ranges go to `allowed_iovas`."""

    _fields_ = [
        ("size", c_uint32), ("ioas_id", c_uint32), ("num_iovas", c_uint32),
        ("__reserved", c_uint32), ("allowed_iovas", c_uint64), ("out_iova_alignment", c_uint64),
    ]  # fmt: skip
    num_iovas: int


class iommu_ioas_map(ctypes.Structure):
    """Argument of IOMMU_IOAS_MAP; bytes."""

    _fields_ = [
        ("size", c_uint32), ("flags", c_uint32), ("ioas_id", c_uint32), ("__reserved", c_uint32),
        ("user_va", c_uint64), ("length", c_uint64), ("iova", c_uint64),
    ]  # fmt: skip


class u64_range(ctypes.Structure):
    """A range of IOVAs, both ends included (vfio_iova_range, iommu_iova_range)."""

    _fields_ = [("start", c_uint64), ("last", c_uint64)]
    start: int
    last: int


Argument = ctypes.Structure | ctypes.Array[c_char] | bytearray | int


def call(fd: int, request: int, argument: Argument = 0, *, to: str) -> int:
    """Do one ioctl, return its result; `TransportError` says what it was good for and why not."""
    try:
        return fcntl.ioctl(fd, request, argument)
    except OSError as error:
        raise TransportError(f"cannot {to}: {error.strerror}") from error
