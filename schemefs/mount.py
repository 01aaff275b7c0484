"""Mounting, unmounting and aborting FUSE connections."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import Final, NamedTuple

from redbear_host import linux
from redbear_host.errors import ConfigError, TransportError

FSTYPE: Final = "fuse.redbear"

_OCTAL: Final = re.compile(rb"\\([0-7]{3})")  # how mountinfo writes blanks and backslashes
HARMLESS: Final = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC


def open_connection() -> int:
    """Open /dev/fuse: one descriptor, one connection to be mounted."""
    try:
        return os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise TransportError("there is no /dev/fuse", "load the module: modprobe fuse") from None
    except PermissionError:
        raise TransportError("/dev/fuse cannot be opened", "run this as root: sudo …") from None


def mount(fd: int, target: Path, name: str) -> None:
    """Mount connection `fd` on `target`; the root is a file if `target` is one.

    Nothing below the mount may be a device, run as another user, or be executed; every user may
    look, since the scheme behind it decides per caller.
    """
    kind = stat.S_IFMT(os.stat(target).st_mode)
    options = f"fd={fd},rootmode={kind:o},user_id=0,group_id=0,allow_other"
    try:
        linux.mount(name, target, FSTYPE, HARMLESS, options)
    except PermissionError:
        raise ConfigError(f"mounting on {target} needs root", "run it with sudo") from None
    except OSError as err:
        raise TransportError(f"mounting {name} on {target} failed: {err.strerror}") from err


def unmount(target: Path) -> bool:
    """Take a mount away at once, even if it is in use; False when nothing was mounted there."""
    try:
        linux.umount(target, linux.MNT_DETACH | linux.UMOUNT_NOFOLLOW)
    except OSError as err:
        if err.errno in (errno.EINVAL, errno.ENOENT):
            return False
        raise TransportError(f"unmounting {target} failed: {err.strerror}") from err
    return True


class Mount(NamedTuple):
    """One line of /proc/self/mountinfo."""

    number: int  # what a descriptor's fdinfo calls mnt_id
    point: Path
    kind: str  # the file system's type
    source: str
    minor: int  # of the device number; names a FUSE connection


def all_mounts() -> list[Mount]:
    """List the mounts of this namespace in their order; touches none, as one may hang."""
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().split(b"\n")[:-1]:
        left, _, right = line.partition(b" - ")
        fields = left.split(b" ")
        point = Path(os.fsdecode(_OCTAL.sub(lambda m: bytes([int(m[1], 8)]), fields[4])))
        kind, source = right.split(b" ")[:2]
        minor = int(fields[2].split(b":")[1])
        found.append(Mount(int(fields[0]), point, os.fsdecode(kind), os.fsdecode(source), minor))
    return found


def mounts_below(target: Path) -> list[tuple[Path, str, int]]:
    """List (mount point, file system type, device minor) at or below `target`, innermost first.

    `target` is absolute and has no symbolic links in it, as the kernel knows none in mount points.
    """
    found = [
        (mount.point, mount.kind, mount.minor)
        for mount in all_mounts()
        if mount.point == target or target in mount.point.parents
    ]
    return found[::-1]


def abort(minor: int) -> None:
    """Break the FUSE connection with this device minor: everyone who waits on it gets an error."""
    control = Path("/sys/fs/fuse/connections")
    if not any(control.iterdir()):
        try:
            linux.mount("none", control, "fusectl", 0)
        except OSError as err:
            raise TransportError(f"fusectl cannot be mounted: {err.strerror}") from err
    try:
        (control / str(minor) / "abort").write_text("1")
    except FileNotFoundError:
        return  # it has ended by itself
