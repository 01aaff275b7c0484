"""The system calls a confined command, or a program in the null namespace, may not make.

A daemon gets a list of what it may call (`redbear_host.sandbox`); here any program may run, so this
is the opposite, a seccomp filter of what is forbidden: what would change namespaces or mounts, or
reach the kernel behind them.  The capabilities for most of it are gone as well, but a new user
namespace would bring them back.  In the null namespace also what names a file, a socket or another
process: there is nothing but what is held.

Ref: numbers of asm/unistd_64.h and asm-generic/unistd.h, as (x86-64, arm64).
"""

from __future__ import annotations

import errno
from typing import Final

from redbear_host.sandbox.numbers import Architecture, running_architecture
from redbear_host.sandbox.seccomp import (
    ALLOW,
    ARCHITECTURE_AT,
    ARGUMENTS_AT,
    JUMP_BITS,
    JUMP_EQUAL,
    JUMP_LEAST,
    LOAD,
    NUMBER_AT,
    RETURN,
    Instruction,
    load,
)

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

_ERRNO: Final = 0x0005_0000  # SECCOMP_RET_ERRNO
_ALLOW: Final = Instruction(RETURN, ALLOW)


def build(architecture: Architecture, null: bool = False) -> list[Instruction]:
    """Return the filter for a machine, for a room or for the null namespace."""
    column = architecture.column
    denied = _DENIED | _NULL_DENIED if null else _DENIED
    program = [
        Instruction(LOAD, ARCHITECTURE_AT),
        Instruction(JUMP_EQUAL, architecture.audit, yes=1),
        _error(errno.ENOSYS),  # another machine's numbers: 32-bit programs
        Instruction(LOAD, NUMBER_AT),
        Instruction(JUMP_LEAST, _X32, no=1),
        _error(errno.ENOSYS),
    ]
    for numbers in denied.values():
        program += _call(numbers[column], [_error(errno.EPERM)])
    for number in (_CLONE3, _IO_URING_SETUP):
        program += _call(number, [_error(errno.ENOSYS)])
    for at in _OF_A_DESCRIPTOR.values() if null else ():
        body = [Instruction(JUMP_BITS, _AT_EMPTY_PATH, yes=1), _error(errno.EPERM), _ALLOW]
        program += _call(at[column], [_argument(at[2]), *body])
    body = [Instruction(JUMP_BITS, _NEW_NAMESPACES, no=1), _error(errno.EPERM), _ALLOW]
    program += _call(_CLONE[column], [_argument(0), *body])
    body = [one for word in _TYPING for one in _case(word, _error(errno.EPERM))]
    program += _call(_IOCTL[column], [_argument(1), *body, _ALLOW])
    body = [one for family in _FAMILIES for one in _case(family, _ALLOW)]
    program += _call(_SOCKET[column], [_argument(0), *body, _error(errno.EAFNOSUPPORT)])
    return [*program, _ALLOW]


def _error(number: int) -> Instruction:
    return Instruction(RETURN, _ERRNO | number)


def _argument(index: int) -> Instruction:
    return Instruction(LOAD, ARGUMENTS_AT + 8 * index)


def _case(value: int, then: Instruction) -> list[Instruction]:
    return [Instruction(JUMP_EQUAL, value, no=1), then]


def _call(number: int | None, body: list[Instruction]) -> list[Instruction]:
    """Run `body`, which ends with a verdict, for one system call."""
    return [] if number is None else [Instruction(JUMP_EQUAL, number, no=len(body)), *body]


def install(null: bool = False) -> None:
    """Put the filter on all threads of this process and all it starts, for good.

    no_new_privs must be set.
    """
    load(build(running_architecture(), null))
