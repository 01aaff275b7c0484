"""Names a list may use for the arguments of system calls.

Ref: linux uapi asm-generic/{fcntl,ioctls,mman-common}.h, linux/{fcntl,fuse,if_tun,memfd,sockios}.h;
VFIO's are in redbear_host.hw.vfio.ioctls.
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
