"""Namespaces of the daemon's own, with nothing in them.

Ref: namespaces(7), pivot_root(2), mount_namespaces(7).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from redbear_host import linux

_OWN: Final = linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
_HARMLESS: Final = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC

# Covered by the new root until that is the root; only this process sees it. Every Linux has it.
_POINT: Final = Path("/proc")


def leave(root: str | None, network: bool = False) -> None:
    """Move to new namespaces, where `/` is empty and read-only, or the folder `root`.

    Of `root`, mounts below it are there too, and unmounting one outside takes it away here.  With
    `network` the process stays in the network namespace that it has made for itself; `OSError`
    (EPERM) if that is still the one of who started it.
    """
    if network and _same_network("self", os.getppid()):
        raise OSError(errno.EPERM, "the daemon has made no network of its own")
    linux.unshare(_OWN & ~linux.CLONE_NEWNET if network else _OWN)
    # Slaves: nothing done here is seen outside, and what is unmounted outside is not held here.
    linux.mount("", Path("/"), "", linux.MS_REC | linux.MS_SLAVE)
    if root is None:
        options = "mode=0555,size=4k,nr_inodes=1"
        linux.mount("redbear", _POINT, "tmpfs", _HARMLESS | linux.MS_RDONLY, options)
    else:
        linux.mount(root, _POINT, "", linux.MS_BIND | linux.MS_REC)
    os.chdir(_POINT)
    # The old root comes to lie on the new one, and goes from there: pivot_root(2), NOTES.
    linux.pivot_root(".", ".")
    linux.umount(Path("."), linux.MNT_DETACH)
    os.chdir("/")


def _same_network(one: str | int, other: str | int) -> bool:
    paths = (f"/proc/{process}/ns/net" for process in (one, other))
    first, second = (os.stat(path) for path in paths)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)
