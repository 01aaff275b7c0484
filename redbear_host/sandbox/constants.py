"""Names a list may use for the arguments of system calls.

Ref: linux uapi asm-generic/{fcntl,ioctls,mman-common}.h, linux/{fcntl,fuse,if_tun,memfd,sockios}.h;
VFIO's are in redbear_host.hw.vfio.ioctls; a test compares DRM's with orbital.drm.uapi.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import termios
from typing import Final

from redbear_host.hw.vfio import ioctls as vfio

# Sockets of a daemon are made so, in one call.
_QUICK: Final = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC

CONSTANTS: Final[dict[str, int]] = {
    "AF_INET": socket.AF_INET,
    "AF_INET6": socket.AF_INET6,
    "AT_EMPTY_PATH": 0x1000,
    "DRM_IOCTL_MODE_ADDFB2": 0xC068_64B8,
    "DRM_IOCTL_MODE_ATOMIC": 0xC038_64BC,
    "DRM_IOCTL_MODE_CREATEPROPBLOB": 0xC010_64BD,
    "DRM_IOCTL_MODE_CREATE_DUMB": 0xC020_64B2,
    "DRM_IOCTL_MODE_CURSOR2": 0xC024_64BB,
    "DRM_IOCTL_MODE_DESTROYPROPBLOB": 0xC004_64BE,
    "DRM_IOCTL_MODE_DESTROY_DUMB": 0xC004_64B4,
    "DRM_IOCTL_MODE_DIRTYFB": 0xC018_64B1,
    "DRM_IOCTL_MODE_GETCONNECTOR": 0xC050_64A7,
    "DRM_IOCTL_MODE_GETENCODER": 0xC014_64A6,
    "DRM_IOCTL_MODE_GETPROPBLOB": 0xC010_64AC,
    "DRM_IOCTL_MODE_GETPROPERTY": 0xC040_64AA,
    "DRM_IOCTL_MODE_MAP_DUMB": 0xC010_64B3,
    "DRM_IOCTL_MODE_OBJ_GETPROPERTIES": 0xC020_64B9,
    "DRM_IOCTL_MODE_PAGE_FLIP": 0xC018_64B0,
    "DRM_IOCTL_MODE_RMFB": 0xC004_64AF,
    "DRM_IOCTL_MODE_SETCRTC": 0xC068_64A2,
    "DRM_IOCTL_PRIME_HANDLE_TO_FD": 0xC00C_642D,
    "F_ADD_SEALS": fcntl.F_ADD_SEALS,
    "F_DUPFD_CLOEXEC": fcntl.F_DUPFD_CLOEXEC,
    "F_GETFD": fcntl.F_GETFD,
    "F_GETFL": fcntl.F_GETFL,
    "F_GETLK": fcntl.F_GETLK,
    "F_GET_SEALS": fcntl.F_GET_SEALS,
    "F_OFD_GETLK": 36,
    "F_OFD_SETLK": 37,
    "F_SETFD": fcntl.F_SETFD,
    "F_SETFL": fcntl.F_SETFL,
    "F_SETLK": fcntl.F_SETLK,
    "F_SETPIPE_SZ": fcntl.F_SETPIPE_SZ,
    "FIOCLEX": termios.FIOCLEX,
    "FIONBIO": termios.FIONBIO,
    "FIONREAD": termios.FIONREAD,
    "FUSE_DEV_IOC_BACKING_CLOSE": 0x4004_E502,
    "FUSE_DEV_IOC_BACKING_OPEN": 0x4010_E501,
    "MFD_HUGETLB": 4,
    "PROT_EXEC": mmap.PROT_EXEC,
    "SIOCGIFHWADDR": 0x8927,
    "SOCK_DGRAM": socket.SOCK_DGRAM | _QUICK,
    "SOCK_RAW": socket.SOCK_RAW | _QUICK,
    "SOCK_STREAM": socket.SOCK_STREAM | _QUICK,
    "TCGETS": termios.TCGETS,
    "TCSBRK": termios.TCSBRK,
    "TCSETS": termios.TCSETS,
    "TCSETSF": termios.TCSETSF,
    "TCSETSW": termios.TCSETSW,
    "TCXONC": termios.TCXONC,
    "TCFLSH": termios.TCFLSH,
    "TIOCGPGRP": termios.TIOCGPGRP,
    "TIOCGPTLCK": 0x8004_5439,
    "TIOCGPTN": 0x8004_5430,
    "TIOCGPTPEER": 0x5441,
    "TIOCGSID": 0x5429,
    "TIOCGWINSZ": termios.TIOCGWINSZ,
    "TIOCINQ": termios.TIOCINQ,
    "TIOCOUTQ": termios.TIOCOUTQ,
    "TIOCPKT": termios.TIOCPKT,
    "TIOCSIG": 0x4004_5436,
    "TIOCSPTLCK": 0x4004_5431,
    "TIOCSWINSZ": termios.TIOCSWINSZ,
    "CLONE_THREAD": 0x0001_0000,
    "CLOCK_MONOTONIC": 1,
    "IPPROTO_ICMP": socket.IPPROTO_ICMP,
    "IPPROTO_ICMPV6": socket.IPPROTO_ICMPV6,
    "IPPROTO_IP": socket.IPPROTO_IP,
    "IPPROTO_TCP": socket.IPPROTO_TCP,
    "IPPROTO_UDP": socket.IPPROTO_UDP,
    "O_CREAT": os.O_CREAT,
    "O_RDWR": os.O_RDWR,
    "O_TRUNC": os.O_TRUNC,
    "O_WRONLY": os.O_WRONLY,
    "TUNGETIFF": 0x8004_54D2,
    "TUNSETCARRIER": 0x4004_54E2,
    "TUNSETIFF": 0x4004_54CA,
    "VFIO_DEVICE_GET_INFO": vfio.DEVICE_GET_INFO,
    "VFIO_DEVICE_GET_IRQ_INFO": vfio.DEVICE_GET_IRQ_INFO,
    "VFIO_DEVICE_GET_REGION_INFO": vfio.DEVICE_GET_REGION_INFO,
    "VFIO_DEVICE_RESET": vfio.DEVICE_RESET,
    "VFIO_DEVICE_SET_IRQS": vfio.DEVICE_SET_IRQS,
}
