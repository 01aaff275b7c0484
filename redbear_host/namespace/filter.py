"""The system calls a confined command, or a program in the null namespace, may not make.

A daemon gets a list of what it may call (`redbear_host.sandbox`); here any program may run, so this
is the opposite, a seccomp filter of what is forbidden: what would change namespaces or mounts, or
reach the kernel behind them.  The capabilities for most of it are gone as well, but a new user
namespace would bring them back.  In the null namespace also what names a file, a socket or another
process: there is nothing but what is held.

Ref: linux/seccomp.h, linux/filter.h, linux/audit.h; numbers of asm/unistd_64.h and
asm-generic/unistd.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from struct import Struct
from typing import Final

from redbear_host import linux
from redbear_host.errors import TransportError

_MACHINES: Final = {"x86_64": (0xC000_003E, 0), "aarch64": (0xC000_00B7, 1)}  # AUDIT_ARCH, column

# fmt: off
_DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
_NULL_DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    "access": (21, None),
    "bind": (49, 200),
    "chdir": (80, 49),
    "chmod": (90, None),
    "chown": (92, None),
    "connect": (42, 203),
    "creat": (85, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchownat": (260, 54),
    "futimesat": (261, None),
    "getxattr": (191, 8),
    "inotify_add_watch": (254, 27),
    "lchown": (94, None),
    "lgetxattr": (192, 9),
    "link": (86, None),
    "linkat": (265, 37),
    "listxattr": (194, 11),
    "llistxattr": (195, 12),
    "lremovexattr": (198, 15),
    "lsetxattr": (189, 6),
    "lstat": (6, None),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "open": (2, None),
    "openat": (257, 56),
    "openat2": (437, 437),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "removexattr": (197, 14),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "rmdir": (84, None),
    "semget": (64, 190),
    "setxattr": (188, 5),
    "shmget": (29, 194),
    "socket": (41, 198),
    "stat": (4, None),
    "statfs": (137, 43),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "truncate": (76, 45),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "utime": (132, None),
    "utimes": (235, None),
}
_OF_A_DESCRIPTOR: Final[dict[str, tuple[int, int, int]]] = {  # and the argument with AT_EMPTY_PATH
    "newfstatat": (262, 79, 3),
    "statx": (332, 291, 2),
}
# fmt: on
_AT_EMPTY_PATH: Final = 0x1000
_IO_URING_SETUP: Final = 425  # its operations pass by this filter
_CLONE3: Final = 435  # its flags lie in memory, which a filter cannot read; clone is used instead
_CLONE: Final = (56, 220)
_IOCTL: Final = (16, 29)
_SOCKET: Final = (41, 198)
_X32: Final = 0x4000_0000  # a second set of numbers on x86-64

_NEW_NAMESPACES: Final = 0x7E02_0000  # every CLONE_NEW… that clone takes
_TYPING: Final = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX put words into the user's mouth
_FAMILIES: Final = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: all per namespace

_NR, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24  # offsets in struct seccomp_data, of the low words
_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW: Final = 0x7FFF_0000
_ERRNO: Final = 0x0005_0000

_SECCOMP: Final = (317, 277)
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_INSTRUCTION = Struct("=HBBI")


def program(machine: str, null: bool = False) -> bytes:
    """Return the filter's instructions for a machine as uname(2) names it."""
    if machine not in _MACHINES:
        raise TransportError(f"commands cannot be confined on {machine}: its numbers are unknown")
    audit, column = _MACHINES[machine]
    return b"".join(_INSTRUCTION.pack(*one) for one in _instructions(audit, column, null))


def _instructions(audit: int, column: int, null: bool) -> Iterator[tuple[int, int, int, int]]:
    """Yield (code, skip if true, skip if false, operand)."""
    yield _LD, 0, 0, _ARCH
    yield _JEQ, 1, 0, audit
    yield _RET, 0, 0, _ERRNO | errno.ENOSYS  # another machine's numbers: 32-bit programs
    yield _LD, 0, 0, _NR
    if column == 0:
        yield _JGE, 0, 1, _X32
        yield _RET, 0, 0, _ERRNO | errno.ENOSYS
    for numbers in (_DENIED | _NULL_DENIED if null else _DENIED).values():
        number = numbers[column]
        if number is not None:
            yield _JEQ, 0, 1, number
            yield _RET, 0, 0, _ERRNO | errno.EPERM
    for number in (_CLONE3, _IO_URING_SETUP):
        yield _JEQ, 0, 1, number
        yield _RET, 0, 0, _ERRNO | errno.ENOSYS
    for at in _OF_A_DESCRIPTOR.values() if null else ():
        yield _JEQ, 0, 4, at[column]
        yield _LD, 0, 0, _ARG0 + 8 * at[2]
        yield _JSET, 1, 0, _AT_EMPTY_PATH
        yield _RET, 0, 0, _ERRNO | errno.EPERM
        yield _RET, 0, 0, _ALLOW
    yield _JEQ, 0, 4, _CLONE[column]
    yield _LD, 0, 0, _ARG0
    yield _JSET, 0, 1, _NEW_NAMESPACES
    yield _RET, 0, 0, _ERRNO | errno.EPERM
    yield _RET, 0, 0, _ALLOW
    yield _JEQ, 0, 2 + 2 * len(_TYPING), _IOCTL[column]
    yield _LD, 0, 0, _ARG1
    for command in _TYPING:
        yield _JEQ, 0, 1, command
        yield _RET, 0, 0, _ERRNO | errno.EPERM
    yield _RET, 0, 0, _ALLOW
    yield _JEQ, 0, 2 + 2 * len(_FAMILIES), _SOCKET[column]
    yield _LD, 0, 0, _ARG0
    for family in _FAMILIES:
        yield _JEQ, 0, 1, family
        yield _RET, 0, 0, _ALLOW
    yield _RET, 0, 0, _ERRNO | errno.EAFNOSUPPORT
    yield _RET, 0, 0, _ALLOW


class _Program(ctypes.Structure):  # struct sock_fprog
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def install(null: bool = False) -> None:
    """Put the filter on all threads of this process and all it starts, for good.

    no_new_privs must be set.
    """
    machine = os.uname().machine
    instructions = program(machine, null)
    record = _Program(len(instructions) // _INSTRUCTION.size, instructions)
    linux.syscall(
        _SECCOMP[_MACHINES[machine][1]], _SET_MODE_FILTER, _ALL_THREADS, ctypes.addressof(record)
    )
