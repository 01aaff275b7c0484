"""The directory that is served.

Three walls keep clients in it, each enough by itself:

* Every path is resolved by the kernel below the directory, with no link followed (`calls`).
* The directory is a mount of its own, attached nowhere: `..` ends at it, other mounts below it are
  not there, and devices on it cannot be opened.
* Once the daemon is locked in, it is the only directory the process can see, and Landlock lets it
  open nothing else (`redbear_host.sandbox`).
"""

from __future__ import annotations

import errno
import os
from typing import Final

from daemons.filed import calls
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
