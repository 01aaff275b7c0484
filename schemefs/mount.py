"""Mounting, unmounting and aborting FUSE connections."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import Final

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


def mounts_below(target: Path) -> list[tuple[Path, str, int]]:
    """List (mount point, file system type, device minor) at or below `target`, innermost first.

    `target` is absolute and has no symbolic links in it, as the kernel knows none in mount points.
    Reads /proc/self/mountinfo and touches none of the mounts: one whose server hangs would block.
    """
    found: list[tuple[Path, str, int]] = []
    for line in Path("/proc/self/mountinfo").read_bytes().split(b"\n")[:-1]:
        left, _, right = line.partition(b" - ")
        fields = left.split(b" ")
        point = Path(os.fsdecode(_OCTAL.sub(lambda m: bytes([int(m[1], 8)]), fields[4])))
        if point == target or target in point.parents:
            kind = os.fsdecode(right.split(b" ")[0])
            found.append((point, kind, int(fields[2].split(b":")[1])))
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
