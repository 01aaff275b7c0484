"""The directory that is served, and how this process is shut into it.

Two walls, each enough by itself:

* Every path is resolved by the kernel below the directory, with no link followed (`calls`).
* The directory is a mount of its own, attached nowhere: `..` ends at it, other mounts below it are
  not there, and devices on it cannot be opened.  It becomes the only file system of this process.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from daemons.filed import calls
from redbear_host import linux
from redbear_host.errors import ConfigError, TransportError

_HINT: Final = "name a directory of the host: redbear-host up --file DIR"


def open_root(folder: str) -> int:
    """Return a descriptor of the directory, on a mount of its own.

    Raises `ConfigError` if it is none, and `TransportError` where Linux does not let us mount.
    """
    if not folder:
        raise ConfigError("filed has no directory to serve", _HINT)
    path = os.fsencode(folder)
    try:
        if not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        mount = calls.clone_mount(path)
        calls.harden_mount(mount)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"there is no directory {folder}", _HINT) from None
    except OSError as err:
        raise TransportError(
            f"{folder} cannot be served: {err.strerror}", "run this as root: sudo …"
        ) from err
    return mount


def shut_in(mount: int, folder: str) -> None:
    """Make the directory all that this process can see of any file system.

    Descriptors that are open stay.  Nothing can be imported afterwards.
    """
    try:
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("none", Path("/"), "", linux.MS_REC | linux.MS_PRIVATE)
        calls.attach_mount(mount, os.fsencode(folder))
        os.fchdir(mount)
        # Where old and new root are the same directory, the old one ends up on top: pivot_root(2).
        linux.pivot_root(".", ".")
        linux.umount(Path("."), linux.MNT_DETACH)
        os.chdir("/")
    except OSError as err:
        raise TransportError(f"filed cannot shut itself into {folder}: {err.strerror}") from err
