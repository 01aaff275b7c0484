"""What a confined command finds besides its schemes, and what it is not able to do.

The machine's files are there to be read: programs come from them.  Nothing of them can be written
but what is named; `/tmp`, `/run` and the like are its own and empty, `/dev` holds what every
program expects and no hardware, there is a `/proc` of its own processes, no `/sys`, and a network
of its own with nothing in it.  The capabilities to change any of this are gone for good, also for
root (docs/adr/0017-namespaces.md says why no user namespace is used).

Ref: linux/capability.h, linux/prctl.h, linux/if.h, the kernel's filesystems/devpts and proc pages.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from redbear_host import linux
from redbear_host.errors import TransportError
from redbear_host.namespace import build, filter, mounts
from redbear_host.namespace.build import Instance
from schemefs.mount import FSTYPE, all_mounts, unmount

# File systems that are windows into the kernel, wherever they are mounted.
# fmt: off
_WINDOWS: Final = frozenset((
    "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cpuset", "debugfs",
    "devpts", "devtmpfs", "efivarfs", "fusectl", "hugetlbfs", "mqueue", "nfsd", "nsfs", "proc",
    "pstore", "resctrl", "rpc_pipefs", "securityfs", "selinuxfs", "smackfs", "sysfs", "tracefs",
))
# fmt: on
OWN: Final = (Path("/tmp"), Path("/var/tmp"), Path("/run"))
_MACHINE: Final = (Path("/sys/devices/system/cpu"), Path("/sys/devices/system/node"))
_NODES: Final = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}  # of major 1
_TTY: Final = (5, 0)
_LINKS: Final = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_READABLE: Final = mounts.ATTR_RDONLY | mounts.ATTR_NOSUID | mounts.ATTR_NODEV
_HARMLESS: Final = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC

# CAP_CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE: what root needs
# among its own files and processes.  Not DAC_READ_SEARCH, which opens files by handle.
_KEPT: Final = frozenset((0, 1, 3, 4, 5, 6, 7, 10))
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPGET, _CAPSET = {"x86_64": (125, 126)}.get(os.uname().machine, (90, 91))
_CAP_VERSION_3: Final = 0x2008_0522
_CAP_HEADER, _CAP_DATA = Struct("=Ii"), Struct("=6I")

_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1


class Room(NamedTuple):
    """What a command gets."""

    instance: Instance
    schemes: Sequence[str]
    writable: Sequence[Path] = ()  # folders of the machine, without links
    terminal: str = ""  # the device node behind its standard input


def enter(room: Room, outside: Sequence[Path]) -> None:
    """Make the room around this process, which is the first of a PID namespace of its own.

    `outside` is where processes outside can be called (`doors.find`); each is covered.
    `TransportError` where Linux is too old.
    """
    linux.unshare(
        linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET | linux.CLONE_NEWCGROUP
    )
    mounts.keep_private()
    held = build.hold(room.instance, room.schemes)
    writable = [(path, mounts.clone(path)) for path in room.writable]
    terminal = mounts.clone(Path(room.terminal)) if room.terminal else -1
    machine = [(path, mounts.clone(path)) for path in _MACHINE if path.is_dir()]
    found = all_mounts()  # while there is a /proc
    build.drop_schemes()
    for mount in reversed(found):
        if mount.kind in _WINDOWS:
            unmount(mount.point)
    _make_readable()
    for path in OWN:
        if path.is_dir() and not path.is_symlink():
            mounts.tmpfs(path, "mode=1777" if path.name == "tmp" else "mode=0755")
    _make_dev(terminal)
    _make_sys(machine)
    for path, fd in writable:
        path.mkdir(parents=True, exist_ok=True)
        mounts.attach(fd, path)
        mounts.restrict(path, mounts.ATTR_NOSUID | mounts.ATTR_NODEV)
    _cover(outside, room.writable)
    build.place(room.instance, held)
    linux.mount("proc", Path("/proc"), "proc", _HARMLESS | linux.MS_RDONLY)
    _check(room)
    _raise_loopback()
    _drop_privileges()


def _check(room: Room) -> None:
    """Make sure that nothing was left; in somebody's container a mount may be locked."""
    granted = {room.instance.mount / name for name in room.schemes}
    windows = {Path("/proc"), Path("/dev/pts"), Path("/dev/console"), *_MACHINE}
    for mount in all_mounts():
        scheme = mount.kind == FSTYPE and mount.point not in granted
        if scheme or (mount.kind in _WINDOWS and mount.point not in windows):
            raise TransportError(f"{mount.point} ({mount.kind}) cannot be taken out of the room")


def _make_readable() -> None:
    try:
        mounts.restrict(Path("/"), _READABLE, recursive=True)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise TransportError("commands cannot be confined: Linux 5.12 is needed") from None
        raise


def _make_dev(terminal: int) -> None:
    dev = Path("/dev")
    umask = os.umask(0)
    mounts.tmpfs(dev, "mode=0755,size=64k", linux.MS_NOSUID | linux.MS_NOEXEC)
    for name, minor in _NODES.items():
        os.mknod(dev / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    os.mknod(dev / "tty", stat.S_IFCHR | 0o666, os.makedev(*_TTY))
    for name, target in _LINKS.items():
        (dev / name).symlink_to(target)
    (dev / "pts").mkdir(0o755)
    options = "newinstance,ptmxmode=0666,mode=0620,gid=5"
    linux.mount("devpts", dev / "pts", "devpts", linux.MS_NOSUID | linux.MS_NOEXEC, options)
    (dev / "shm").mkdir()
    mounts.tmpfs(dev / "shm", "mode=1777")
    if terminal >= 0:  # so that tty(1) finds a name for it
        (dev / "console").touch()
        mounts.attach(terminal, dev / "console")
    os.umask(umask)


def _make_sys(machine: Sequence[tuple[Path, int]]) -> None:
    """Show how many processors there are, and no device."""
    sys = Path("/sys")
    mounts.tmpfs(sys, "mode=0755,size=64k")
    for path, fd in machine:
        path.mkdir(parents=True)
        mounts.attach(fd, path)
    mounts.restrict(sys, mounts.ATTR_RDONLY, recursive=True)


def _cover(outside: Sequence[Path], writable: Sequence[Path]) -> None:
    """Put something dead over each socket and FIFO that is still to be seen."""
    for path in outside:
        if any(folder in path.parents for folder in writable):
            continue
        try:
            mode = path.lstat().st_mode
            if stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
                mounts.attach(mounts.clone(Path("/dev/null")), path)
        except OSError:
            continue  # it is not to be seen


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = b"lo".ljust(16, b"\0") + _IFF_UP.to_bytes(2, "little") + bytes(22)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)


def _drop_privileges() -> None:
    """Give up, for this process and all it starts, what could change the room."""
    last = 0
    while True:
        try:
            if last not in _KEPT:
                linux.prctl(_PR_CAPBSET_DROP, last)
        except OSError:
            break  # EINVAL: this kernel has no more
        last += 1
    header, data = _CAP_HEADER.pack(_CAP_VERSION_3, 0), bytearray(_CAP_DATA.size)
    view = (ctypes.c_char * len(data)).from_buffer(data)
    linux.syscall(_CAPGET, header, view)
    mine = _CAP_DATA.unpack(data)[1]  # permitted, the low word
    kept = sum(1 << number for number in _KEPT) & mine
    linux.syscall(_CAPSET, header, _CAP_DATA.pack(kept, kept, 0, 0, 0, 0))
    linux.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    linux.prctl(_PR_SET_NO_NEW_PRIVS, 1)
    linux.prctl(_PR_SET_DUMPABLE, 0)  # nobody inside may look into the process that watches it
    filter.install()
