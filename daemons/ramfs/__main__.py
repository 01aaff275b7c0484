"""ramfs's start: an empty tree becomes the scheme `ramfs`."""

from __future__ import annotations

import os

from daemons.ramfs.scheme import RamScheme
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        daemon.callback(os.close, proc)
        daemon.readable.append(proc)
        daemon.serve(daemon.scheme_names[0], RamScheme(daemon.options["size"], proc))
        daemon.run()


if __name__ == "__main__":
    main()
