"""Forbidden things, tried one after the other from wherever this is called.

Each probe is a system call that would be the first step of some mischief, made by its number so
that no library stands between.  Where it could do harm outside of a sandbox, too (the positive
control runs all of them there), its arguments are wrong: Linux then says EINVAL, EFAULT or ENOENT,
while the filter, which comes first, says EPERM whatever the arguments.

Ref: numbers of x86-64, asm/unistd_64.h.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable
from typing import NamedTuple

from redbear_host import linux

NOWHERE = 1  # an address that nothing is mapped at
AT_FDCWD = -100
PASSWD = b"/etc/passwd"
UNNUMBERED = -1  # the errno of an OSError that has only words
NEW = b"/redbear-probe/nothing"  # its folder does not exist: nothing is ever made there

AF = {
    "UNIX": 1, "INET": 2, "AX25": 3, "INET6": 10, "KEY": 15, "NETLINK": 16, "PACKET": 17,
    "RDS": 21, "CAN": 29, "TIPC": 30, "BLUETOOTH": 31, "ALG": 38, "VSOCK": 40, "QIPCRTR": 42,
    "SMC": 43, "XDP": 44,
}  # fmt: skip


class Probe(NamedTuple):
    name: str
    call: str  # the system call a list would have to name to allow it
    act: Callable[[], object]
    denial: int = errno.EPERM
    outside: Callable[[], object] | None = None  # what the control does instead


def _raw(name: str, call: str, number: int, *arguments: object) -> Probe:
    return Probe(name, call, lambda: linux.syscall(number, *arguments))


def _close(fd: int) -> None:
    os.close(fd)


def _open(path: bytes, flags: int = os.O_RDONLY) -> Callable[[], None]:
    return lambda: _close(linux.syscall(257, AT_FDCWD, path, flags, 0))


def _socket(family: int, kind: int) -> Callable[[], None]:
    return lambda: _close(linux.syscall(41, family, kind, 0))


def _child(number: int, *arguments: int) -> Callable[[], None]:
    """Make a process by a call that returns twice."""

    def act() -> None:
        pid = linux.syscall(number, *arguments)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    return act


def _vfork() -> None:
    """Do what subprocess does by vfork: by number it would come back twice onto one stack."""
    subprocess.run(["/bin/true"], check=True)


def _fork_bomb() -> None:
    """Make as many children as one is let; all are ended at once."""
    made = []
    try:
        for _ in range(8):
            pid = linux.syscall(57)
            if pid == 0:
                os._exit(0)
            made.append(pid)
    finally:
        for pid in made:
            os.waitpid(pid, 0)


def _exec_memory() -> None:
    """Run a program that is nowhere but in memory: execveat of a memfd, in a child if there is one.

    Its arguments are at no address, so that nothing runs outside either: EFAULT.
    """
    fd = linux.syscall(319, b"probe", 0)
    try:
        linux.syscall(322, fd, b"", NOWHERE, NOWHERE, 0x1000)
    finally:
        os.close(fd)


def _map_code() -> None:
    """Make memory that can be executed."""
    address = linux.syscall(9, 0, 4096, mmap.PROT_READ | mmap.PROT_EXEC, 0x22, -1, 0)
    linux.syscall(11, address, 4096)


def _make_code() -> None:
    """Make memory executable that was not."""
    memory = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    linux.syscall(10, address, 4096, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def _map_code_of_file() -> None:
    """Map a memfd's code."""
    fd = linux.syscall(319, b"probe", 0)
    try:
        os.ftruncate(fd, 4096)
        address = linux.syscall(9, 0, 4096, mmap.PROT_READ | mmap.PROT_EXEC, 1, fd, 0)
        linux.syscall(11, address, 4096)
    finally:
        os.close(fd)


def _shared_memory() -> None:
    number = linux.syscall(29, 0, 4096, 0o1600)  # shmget(IPC_PRIVATE, …, IPC_CREAT)
    linux.syscall(31, number, 0, 0)  # shmctl(IPC_RMID)


def _message_queue() -> None:
    linux.syscall(71, linux.syscall(68, 0, 0o1600), 0, 0)  # msgget, msgctl(IPC_RMID)


def _semaphores() -> None:
    linux.syscall(66, linux.syscall(64, 0, 1, 0o1600), 0, 0)  # semget, semctl(IPC_RMID)


def _fd_of(number: int, *arguments: object) -> Callable[[], None]:
    return lambda: _close(linux.syscall(number, *arguments))


def _library() -> None:
    """Load code from a file, as ctypes or an extension module does; this one nobody has."""
    ctypes.CDLL("libBrokenLocale.so.1")


def probes(parent: int) -> list[Probe]:
    """Return all of them; `parent` is a process that is not ours to touch: it must not be hurt."""
    fork, clone = 57, 56
    found = [
        # Files, by path: in the empty root there are none, were the call allowed.
        Probe("open /etc/passwd", "openat", _open(PASSWD)),
        Probe("open /etc/shadow", "openat", _open(b"/etc/shadow")),
        Probe("open /proc/self/mem", "openat", _open(b"/proc/self/mem", os.O_RDWR)),
        Probe("open /proc/1/environ", "openat", _open(b"/proc/1/environ")),
        Probe("open /dev/mem", "openat", _open(b"/dev/mem", os.O_RDWR)),
        Probe("open /dev/null", "openat", _open(b"/dev/null")),
        Probe("open /dev/fuse", "openat", _open(b"/dev/fuse", os.O_RDWR)),
        Probe("open /", "openat", _open(b"/", os.O_DIRECTORY)),
        Probe("open .", "openat", _open(b".", os.O_PATH)),
        _raw("create a file", "openat", 257, AT_FDCWD, NEW, os.O_CREAT | os.O_WRONLY, 0o600),
        _raw("open, the old call", "open", 2, b"/redbear-probe", 0),
        _raw("creat", "creat", 85, NEW, 0o600),
        _raw("openat2", "openat2", 437, AT_FDCWD, NEW, struct.pack("=QQQ", 0, 0, 0), 24),
        Probe("open a file without a name", "openat", _open(b"/tmp", os.O_TMPFILE | os.O_RDWR)),
        _raw("list a directory", "getdents64", 217, -1, NOWHERE, 64),
        _raw("read a link", "readlinkat", 267, AT_FDCWD, b"/redbear-probe", NOWHERE, 8),
        _raw("access", "access", 21, b"/redbear-probe", 0),
        _raw("faccessat", "faccessat", 269, AT_FDCWD, b"/redbear-probe", 0),
        _raw("stat", "stat", 4, b"/redbear-probe", NOWHERE),
        _raw("lstat", "lstat", 6, b"/redbear-probe", NOWHERE),
        _raw("stat a path", "newfstatat", 262, AT_FDCWD, b"/redbear-probe", NOWHERE, 0),
        _raw("statx", "statx", 332, AT_FDCWD, b"/redbear-probe", 0, 0, NOWHERE),
        _raw("statfs", "statfs", 137, b"/redbear-probe", NOWHERE),
        _raw("chdir", "chdir", 80, b"/redbear-probe"),
        _raw("fchdir", "fchdir", 81, -1),
        _raw("chmod", "chmod", 90, NEW, 0o777),
        _raw("fchmod", "fchmod", 91, -1, 0o777),
        _raw("fchmodat", "fchmodat", 268, AT_FDCWD, NEW, 0o777),
        _raw("chown", "chown", 92, NEW, 0, 0),
        _raw("fchown", "fchown", 93, -1, 0, 0),
        _raw("fchownat", "fchownat", 260, AT_FDCWD, NEW, 0, 0, 0),
        _raw("mknod", "mknod", 133, NEW, 0o20600, 0x101),
        _raw("mknodat", "mknodat", 259, AT_FDCWD, NEW, 0o20600, 0x101),
        _raw("symlink", "symlink", 88, PASSWD, NEW),
        _raw("symlinkat", "symlinkat", 266, PASSWD, AT_FDCWD, NEW),
        _raw("link", "link", 86, b"/redbear-probe", NEW),
        _raw("linkat", "linkat", 265, AT_FDCWD, b"/redbear-probe", AT_FDCWD, NEW, 0),
        _raw("rename", "rename", 82, b"/redbear-probe", NEW),
        _raw("renameat2", "renameat2", 316, AT_FDCWD, b"/redbear-probe", AT_FDCWD, NEW, 0),
        _raw("unlink", "unlink", 87, NEW),
        _raw("unlinkat", "unlinkat", 263, AT_FDCWD, NEW, 0),
        _raw("mkdir", "mkdir", 83, NEW, 0o700),
        _raw("mkdirat", "mkdirat", 258, AT_FDCWD, NEW, 0o700),
        _raw("rmdir", "rmdir", 84, NEW),
        _raw("truncate", "truncate", 76, NEW, 0),
        _raw("utimensat", "utimensat", 280, AT_FDCWD, NEW, 0, 0),
        _raw("setxattr", "setxattr", 188, NEW, b"user.x", b"y", 1, 0),
        _raw("getxattr", "getxattr", 191, NEW, b"user.x", NOWHERE, 1),
        _raw("inotify_init1", "inotify_init1", 294, -1),
        _raw("fanotify_init", "fanotify_init", 300, 0x7FFF_FFFF, 0),
        _raw("name_to_handle_at", "name_to_handle_at", 303, AT_FDCWD, NEW, NOWHERE, NOWHERE, 0),
        _raw("open_by_handle_at", "open_by_handle_at", 304, AT_FDCWD, NOWHERE, 0),
        _raw("quotactl", "quotactl", 179, 0x7FFF_FFFF, 0, 0, 0),
        _raw("acct", "acct", 163, NEW),
        _raw("flock", "flock", 73, -1, 1),
        # Programs and code.
        _raw("execve", "execve", 59, b"/redbear-probe", 0, 0),
        _raw("execve /bin/sh", "execve", 59, b"/bin/sh", NOWHERE, NOWHERE),
        _raw("execveat", "execveat", 322, AT_FDCWD, b"/redbear-probe", 0, 0, 0),
        Probe("execveat of a memfd", "execveat", _exec_memory),
        Probe("mmap PROT_EXEC", "mmap", _map_code),
        Probe("mmap PROT_EXEC of a memfd", "mmap", _map_code_of_file),
        Probe("mprotect PROT_EXEC", "mprotect", _make_code),
        _raw("pkey_mprotect", "pkey_mprotect", 329, NOWHERE, 4096, 4, -1),
        _raw("remap_file_pages", "remap_file_pages", 216, NOWHERE, 4096, 4, 0, 0),
        _raw("uselib", "uselib", 134, b"/redbear-probe"),
        Probe("load a library", "openat", _library, UNNUMBERED),
        # Processes.
        Probe("fork", "fork", _child(fork)),
        Probe("vfork", "vfork", lambda: linux.syscall(58), outside=_vfork),
        Probe("clone", "clone", _child(clone, signal.SIGCHLD, 0, 0, 0, 0)),
        _raw("clone a thread", "clone", 56, 0x0001_0000, 0, 0, 0, 0),  # without SIGHAND: EINVAL
        _raw("clone3", "clone3", 435, NOWHERE, 0),
        Probe("fork bomb", "fork", _fork_bomb),
        _raw("wait4", "wait4", 61, -1, 0, 1, 0),
        _raw("kill", "kill", 62, parent, 0),
        _raw("kill all", "kill", 62, -1, 64 + 1),
        _raw("kill its group", "kill", 62, 0, 64 + 1),
        _raw("tkill", "tkill", 200, parent, 0),
        _raw("tgkill", "tgkill", 234, parent, parent, 0),
        _raw("rt_sigqueueinfo", "rt_sigqueueinfo", 129, parent, 0, NOWHERE),
        _raw("pidfd_open", "pidfd_open", 434, parent, 0x7FFF_FFFF),
        _raw("pidfd_send_signal", "pidfd_send_signal", 424, -1, 0, 0, 0),
        _raw("pidfd_getfd", "pidfd_getfd", 438, -1, 0, 0),
        _raw("ptrace", "ptrace", 101, 0x4206, -1, 0, 0),  # PTRACE_SEIZE
        _raw("process_vm_readv", "process_vm_readv", 310, parent, NOWHERE, 1, NOWHERE, 1, 0),
        _raw("process_vm_writev", "process_vm_writev", 311, parent, NOWHERE, 1, NOWHERE, 1, 0),
        _raw("process_madvise", "process_madvise", 440, -1, NOWHERE, 1, 20, 0),
        _raw("kcmp", "kcmp", 312, parent, parent, 99, 0, 0),
        _raw("setpgid", "setpgid", 109, parent, -1),
        _raw("setpriority", "setpriority", 141, 99, 0, -20),
        _raw("ioprio_set", "ioprio_set", 251, 99, 0, 0),
        _raw("sched_setscheduler", "sched_setscheduler", 144, 0, 1, NOWHERE),
        _raw("sched_setattr", "sched_setattr", 314, 0, NOWHERE, 0),
        _raw("sched_setaffinity", "sched_setaffinity", 203, 0, 8, NOWHERE),
        _raw("setrlimit", "setrlimit", 160, 99, NOWHERE),
        _raw("prlimit64", "prlimit64", 302, parent, 99, NOWHERE, 0),
        _raw("timer_create", "timer_create", 222, 99, NOWHERE, NOWHERE),
        _raw("setitimer", "setitimer", 38, 99, NOWHERE, 0),
        # Namespaces and mounts.
        _raw("mount", "mount", 165, NOWHERE, NOWHERE, NOWHERE, 0, 0),
        _raw("umount2", "umount2", 166, b"/redbear-probe", 0x7FFF_FFFF),
        _raw("move_mount", "move_mount", 429, -1, NOWHERE, -1, NOWHERE, 0x7FFF_FFFF),
        _raw("fsopen", "fsopen", 430, NOWHERE, 0),
        _raw("fsconfig", "fsconfig", 431, -1, 0, 0, 0, 0),
        _raw("fsmount", "fsmount", 432, -1, 0, 0),
        _raw("open_tree", "open_tree", 428, -1, b"redbear", 0x7FFF_FFFF),
        _raw("mount_setattr", "mount_setattr", 442, -1, NOWHERE, 0x7FFF_FFFF, 0, 0),
        _raw("chroot", "chroot", 161, b"/redbear-probe"),
        _raw("pivot_root", "pivot_root", 155, b"/redbear-probe", b"/redbear-probe"),
        _raw("unshare a user namespace", "unshare", 272, 0x1000_0000 | 1),
        _raw("unshare a mount namespace", "unshare", 272, 0x0002_0000 | 1),
        _raw("clone with a user namespace", "clone", 56, 0x1000_0000 | 0x0001_0000, 0, 0, 0, 0),
        _raw("setns", "setns", 308, -1, 0),
        # Rights.
        _raw("setuid", "setuid", 105, -1),
        _raw("setgid", "setgid", 106, -1),
        _raw("setreuid", "setreuid", 113, -1, -1),
        _raw("setresuid", "setresuid", 117, -1, -1, -1),
        _raw("setresgid", "setresgid", 119, -1, -1, -1),
        _raw("setgroups", "setgroups", 116, 1 << 20, NOWHERE),
        _raw("setfsuid", "setfsuid", 122, -1),
        _raw("setfsgid", "setfsgid", 123, -1),
        _raw("capset", "capset", 126, NOWHERE, NOWHERE),
        _raw("prctl: dumpable again", "prctl", 157, 4, 99, 0, 0, 0),
        _raw("prctl: keep capabilities", "prctl", 157, 8, 99, 0, 0, 0),
        _raw("prctl: ambient capabilities", "prctl", 157, 47, 99, 0, 0, 0),
        _raw("prctl: no seccomp", "prctl", 157, 22, 0, 0, 0, 0),
        _raw("seccomp: strict", "seccomp", 317, 0, 1, 0),
        _raw("seccomp: another filter", "seccomp", 317, 1, 0x7FFF_FFFF, 0),
        _raw("landlock: another rule set", "landlock_create_ruleset", 444, NOWHERE, 1, 0),
        _raw("arch_prctl", "arch_prctl", 158, 0x7FFF_FFFF, 0),
        _raw("modify_ldt", "modify_ldt", 154, 99, 0, 0),
        _raw("personality", "personality", 135, 0xFFFF_FFFF),
        # Keys.
        _raw("add_key", "add_key", 248, NOWHERE, NOWHERE, 0, 0, 0),
        _raw("request_key", "request_key", 249, NOWHERE, NOWHERE, 0, 0),
        _raw("keyctl", "keyctl", 250, 9999, 0, 0, 0, 0),
        # The kernel's far corners.
        _raw("bpf", "bpf", 321, 9999, NOWHERE, 0),
        _raw("perf_event_open", "perf_event_open", 298, NOWHERE, 0, -1, -1, 0),
        _raw("io_uring_setup", "io_uring_setup", 425, 8, NOWHERE),
        _raw("io_uring_enter", "io_uring_enter", 426, -1, 1, 0, 0, 0, 0),
        _raw("userfaultfd", "userfaultfd", 323, 0x7FFF_FFFF),
        _raw("memfd_secret", "memfd_secret", 447, 0x7FFF_FFFF),
        _raw("init_module", "init_module", 175, NOWHERE, 0, NOWHERE),
        _raw("finit_module", "finit_module", 313, -1, NOWHERE, 0),
        _raw("delete_module", "delete_module", 176, NOWHERE, 0),
        _raw("kexec_load", "kexec_load", 246, 0, 99, 0, 0x7FFF),
        _raw("kexec_file_load", "kexec_file_load", 320, -1, -1, 0, 0, 0x7FFF),
        _raw("reboot", "reboot", 169, 0, 0, 0, 0),  # without its magic numbers
        _raw("swapon", "swapon", 167, NOWHERE, 0x7FFF_FFFF),
        _raw("swapoff", "swapoff", 168, b"/redbear-probe"),
        _raw("settimeofday", "settimeofday", 164, NOWHERE, 0),
        _raw("clock_settime", "clock_settime", 227, 99, NOWHERE),
        _raw("adjtimex", "adjtimex", 159, NOWHERE),
        _raw("sethostname", "sethostname", 170, NOWHERE, 1 << 20),
        _raw("setdomainname", "setdomainname", 171, NOWHERE, 1 << 20),
        _raw("iopl", "iopl", 172, 99),
        _raw("ioperm", "ioperm", 173, 1 << 20, 1, 1),
        _raw("syslog", "syslog", 103, 99, 0, 0),
        _raw("mlockall", "mlockall", 151, 0x7FFF_FFFF),
        _raw("move_pages", "move_pages", 279, -1, 1, NOWHERE, 0, NOWHERE, 99),
        _raw("migrate_pages", "migrate_pages", 256, -1, 64, NOWHERE, NOWHERE),
        Probe("shmget", "shmget", _shared_memory),
        Probe("msgget", "msgget", _message_queue),
        Probe("semget", "semget", _semaphores),
        _raw("mq_open", "mq_open", 240, NOWHERE, 0, 0, 0),
        # Descriptors that would be new ways in or out.
        Probe("socketpair", "socketpair", lambda: linux.syscall(53, 99, 1, 0, NOWHERE)),
        _raw("connect", "connect", 42, -1, NOWHERE, 16),
        _raw("bind", "bind", 49, -1, NOWHERE, 16),
        _raw("listen", "listen", 50, -1, 1),
        _raw("signalfd4", "signalfd4", 289, -1, NOWHERE, 99, 0),
        _raw("timerfd_create", "timerfd_create", 283, 99, 0),
        _raw("splice", "splice", 275, -1, 0, -1, 0, 1, 0),
        _raw("vmsplice", "vmsplice", 278, -1, NOWHERE, 1, 0),
        _raw("x32 read", "read as x32", 0x4000_0000, -1, NOWHERE, 1),
        _raw("x32 execve", "execve as x32", 0x4000_0208, NOWHERE, NOWHERE, NOWHERE),
        _raw("a call of the future", "none", 600),
    ]  # fmt: skip
    found += [
        Probe(f"socket AF_{name}", "socket", _socket(family, kind))
        for name, family in AF.items()
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW)
    ]
    found += [
        _raw(f"ioctl {name}", "ioctl", 16, -1, number, NOWHERE)
        for name, number in {
            "TIOCSTI": 0x5412,
            "TIOCLINUX": 0x541C,
            "TIOCSCTTY": 0x540E,
            "TIOCCONS": 0x541D,
            "FIBMAP": 1,
            "FIFREEZE": 0xC004_5877,
            "FS_IOC_SETFLAGS": 0x4008_6602,
            "BLKDISCARD": 0x1277,
            "SIOCSIFFLAGS": 0x8914,
            "SIOCGIFCONF": 0x8912,
            "SG_IO": 0x2285,
            "VFIO_IOMMU_MAP_DMA": 0x3B71,
            "VFIO_GROUP_GET_DEVICE_FD": 0x3B6A,
            "KVM_CREATE_VM": 0xAE01,
            "LOOP_SET_FD": 0x4C00,
            "NVME_IOCTL_ADMIN_CMD": 0xC048_4E41,
            "anything": 0xDEAD,
        }.items()
    ]
    found += [
        _raw(f"fcntl {name}", "fcntl", 72, -1, number, NOWHERE)
        for name, number in {
            "F_SETOWN": 8,
            "F_SETSIG": 10,
            "F_SETLEASE": 1024,
            "F_NOTIFY": 1026,
        }.items()
    ]
    return found


def run(parent: int, *, control: bool = False) -> dict[str, int]:
    """Try all; return the errno of each, 0 for what was not prevented."""
    outcome = {}
    for probe in probes(parent):
        try:
            (probe.outside if control and probe.outside else probe.act)()
            outcome[probe.name] = 0
        except OSError as error:
            outcome[probe.name] = UNNUMBERED if error.errno is None else error.errno
    return outcome
