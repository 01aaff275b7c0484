"""Numbers of the system calls a list may name, for the machines we know.

Ref: linux/arch/x86/entry/syscalls (asm/unistd_64.h) and asm-generic/unistd.h, which arm64 uses.
tests/unit/test_sandbox_lists.py compares them with the headers.  arm64 has no epoll_wait and no
poll; its C library makes epoll_pwait and ppoll of them, so these are behind the names here.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from redbear_host.errors import TransportError


class Architecture(NamedTuple):
    """How the kernel calls a machine's system calls."""

    name: str  # as uname(2) says it
    audit: int  # AUDIT_ARCH_…, linux/audit.h: what seccomp shows a filter
    column: int  # in `NUMBERS`


ARCHITECTURES: Final = (
    Architecture("x86_64", 0xC000_003E, 0),
    Architecture("aarch64", 0xC000_00B7, 1),
)

# fmt: off
NUMBERS: Final[dict[str, tuple[int, int]]] = {
    "accept4": (288, 242),
    "bind": (49, 200),
    "brk": (12, 214),
    "chdir": (80, 49),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "close": (3, 57),
    "connect": (42, 203),
    "copy_file_range": (326, 285),
    "dup": (32, 23),
    "dup3": (292, 24),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, 22),
    "eventfd2": (290, 19),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "fadvise64": (221, 223),
    "fallocate": (285, 47),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "fcntl": (72, 25),
    "fdatasync": (75, 83),
    "fgetxattr": (193, 10),
    "flistxattr": (196, 13),
    "flock": (73, 32),
    "fremovexattr": (199, 16),
    "fsetxattr": (190, 7),
    "fstat": (5, 80),
    "fstatfs": (138, 44),
    "fsync": (74, 82),
    "ftruncate": (77, 46),
    "futex": (202, 98),
    "getdents64": (217, 61),
    "getegid": (108, 177),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getgroups": (115, 158),
    "getpeername": (52, 205),
    "getpid": (39, 172),
    "getrandom": (318, 278),
    "getrlimit": (97, 163),
    "getsockname": (51, 204),
    "getsockopt": (55, 209),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "getuid": (102, 174),
    "getxattr": (191, 8),
    "ioctl": (16, 29),
    "kill": (62, 129),
    "lgetxattr": (192, 9),
    "linkat": (265, 37),
    "listen": (50, 201),
    "llistxattr": (195, 12),
    "lremovexattr": (198, 15),
    "lseek": (8, 62),
    "lsetxattr": (189, 6),
    "madvise": (28, 233),
    "membarrier": (324, 283),
    "memfd_create": (319, 279),
    "mkdirat": (258, 34),
    "mknodat": (259, 33),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "nanosleep": (35, 101),
    "newfstatat": (262, 79),
    "openat": (257, 56),
    "openat2": (437, 437),
    "pipe2": (293, 59),
    "poll": (7, 73),
    "pread64": (17, 67),
    "preadv": (295, 69),
    "preadv2": (327, 286),
    "prlimit64": (302, 261),
    "pselect6": (270, 72),
    "pwrite64": (18, 68),
    "pwritev": (296, 70),
    "pwritev2": (328, 287),
    "read": (0, 63),
    "readlinkat": (267, 78),
    "readv": (19, 65),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "restart_syscall": (219, 128),
    "rseq": (334, 293),
    "rt_sigaction": (13, 134),
    "rt_sigpending": (127, 136),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigtimedwait": (128, 137),
    "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124),
    "sendfile": (40, 71),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "set_robust_list": (273, 99),
    "setfsgid": (123, 152),
    "setfsuid": (122, 151),
    "setgroups": (116, 159),
    "setresgid": (119, 149),
    "setresuid": (117, 147),
    "setsockopt": (54, 208),
    "shutdown": (48, 210),
    "sigaltstack": (131, 132),
    "signalfd4": (289, 74),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "splice": (275, 76),
    "statfs": (137, 43),
    "statx": (332, 291),
    "symlinkat": (266, 36),
    "sync_file_range": (277, 84),
    "syncfs": (306, 267),
    "tee": (276, 77),
    "tgkill": (234, 131),
    "timerfd_create": (283, 85),
    "timerfd_gettime": (287, 87),
    "timerfd_settime": (286, 86),
    "truncate": (76, 45),
    "umask": (95, 166),
    "uname": (63, 160),
    "unlinkat": (263, 35),
    "utimensat": (280, 88),
    "vmsplice": (278, 75),
    "wait4": (61, 260),
    "waitid": (247, 95),
    "write": (1, 64),
    "writev": (20, 66),
}
# fmt: on


def running_architecture() -> Architecture:
    """Return this machine's; `TransportError` for one whose numbers nobody has typed in."""
    machine = os.uname().machine
    for architecture in ARCHITECTURES:
        if architecture.name == machine:
            return architecture
    raise TransportError(
        f"daemons cannot be confined on {machine}: its system call numbers are not known",
        "add them to redbear_host/sandbox/numbers.py, or start with --no-sandbox",
    )


def number_of(name: str, architecture: Architecture) -> int:
    """Return a call's number on a machine."""
    return NUMBERS[name][architecture.column]
