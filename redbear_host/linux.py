"""System calls that Python 3.11 has no name for, by libc.

Each raises `OSError` with the errno of the call.  Flag values: Linux uapi headers mount.h, sched.h,
prctl.h.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path
from typing import Any, Final

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_BIND: Final = 1 << 12
MS_REC: Final = 1 << 14
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19

MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8

CLONE_THREAD: Final = 0x0001_0000
CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWCGROUP: Final = 0x0200_0000
CLONE_NEWUTS: Final = 0x0400_0000
CLONE_NEWIPC: Final = 0x0800_0000
CLONE_NEWPID: Final = 0x2000_0000
CLONE_NEWNET: Final = 0x4000_0000

_TFD_TIMER_ABSTIME: Final = 1  # linux/timerfd.h
_TFD_TIMER_CANCEL_ON_SET: Final = 2
_MAP_FIXED: Final = 16  # asm-generic/mman-common.h
_SYS_PIDFD_GETFD: Final = 438  # on every architecture (asm-generic/unistd.h)

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mmap.restype = ctypes.c_long
_libc.process_vm_readv.restype = _libc.process_vm_writev.restype = ctypes.c_ssize_t


def _checked(result: int, what: object = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system."""
    args = (source.encode(), os.fsencode(target), kind.encode())
    _checked(_libc.mount(*args, ctypes.c_ulong(flags), options.encode()), str(target))


def umount(target: Path, flags: int) -> None:
    """Take a mount away: umount2(2)."""
    _checked(_libc.umount2(os.fsencode(target), flags), str(target))


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and put the old one at `old`."""
    _checked(_libc.pivot_root(new.encode(), old.encode()), new)


def unshare(flags: int) -> None:
    """Leave the namespaces named by CLONE_… for new ones."""
    _checked(_libc.unshare(flags))


def setns(fd: int, kind: int) -> None:
    """Enter the namespace behind `fd`, of kind CLONE_… (0: whichever it is)."""
    _checked(_libc.setns(fd, kind))


def prctl(option: int, *arguments: int) -> int:
    """Call prctl with numbers; return what it returns."""
    words = [ctypes.c_ulong(word) for word in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(_libc.prctl(option, *words))


def statx(folder: int, path: str, flags: int, record: bytearray) -> None:
    """Fill in what there is to know of a file without being asked for anything: struct statx."""
    buffer = (ctypes.c_char * len(record)).from_buffer(record)
    _checked(_libc.statx(folder, path.encode(), flags, 0, buffer), path)


def syscall(number: int, *arguments: Any) -> int:
    """Call a system call by its number; integers travel as 64-bit words, bytes by address."""
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *words))


def process_vm_readv(process: int, at: int, place: bytearray | memoryview) -> int:
    """Fill `place` with another process's memory at `at`; return how many bytes that were."""
    return _between(_libc.process_vm_readv, process, at, place)


def process_vm_writev(process: int, at: int, place: bytearray | memoryview) -> int:
    """Copy `place`, whose memory may be written, to another process's at `at`; as above."""
    return _between(_libc.process_vm_writev, process, at, place)


def _between(call: Any, process: int, at: int, place: bytearray | memoryview) -> int:
    size = len(place)
    anchor = (ctypes.c_char * size).from_buffer(place)
    ours = (ctypes.c_size_t * 2)(ctypes.addressof(anchor), size)  # struct iovec
    theirs = (ctypes.c_size_t * 2)(at, size)
    return _checked(call(process, ours, 1, theirs, 1, ctypes.c_ulong(0)))


def map_over(memory: mmap.mmap, fd: int = -1, offset: int = 0) -> None:
    """Put a file, shared, in the place of what `memory` maps; without one: fresh memory.

    `mmap.mmap` itself would keep a duplicate of the descriptor, and so the file, until it is
    closed.
    """
    anchor = ctypes.c_char.from_buffer(memory)
    address = ctypes.addressof(anchor)
    del anchor  # or the mapping could not be closed
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    flags = (private if fd < 0 else mmap.MAP_SHARED) | _MAP_FIXED
    access = mmap.PROT_READ | mmap.PROT_WRITE
    words = (address, len(memory), access, flags, fd, offset)
    _checked(_libc.mmap(*(ctypes.c_long(word) for word in words)))


def timerfd_create(clock: int) -> int:
    """Make a timer on one of Linux's clocks: non-blocking, closed by exec."""
    return _checked(_libc.timerfd_create(clock, os.O_NONBLOCK | os.O_CLOEXEC))


def timerfd_settime(fd: int, when: int, follow: bool) -> None:
    """Let a timer expire once its clock shows `when` nanoseconds; 0 stops it.

    With `follow` it also expires, with ECANCELED to whoever reads it, when somebody sets the clock.
    """
    times = (ctypes.c_long * 4)(0, 0, *divmod(when, 1_000_000_000))  # struct itimerspec
    flags = _TFD_TIMER_ABSTIME | (_TFD_TIMER_CANCEL_ON_SET if follow else 0)
    _checked(_libc.timerfd_settime(fd, flags, times, None))


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """Take a descriptor `fd` of another process: a duplicate, closed by exec."""
    return syscall(_SYS_PIDFD_GETFD, pidfd, fd, 0)
