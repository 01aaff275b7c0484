"""The kernel daemon's start: the schemes of the table that it was given, in one process."""

from __future__ import annotations

from importlib import import_module

from kernel_shim.schemes.kernel import Kernel
from kernel_shim.schemes.table import TABLE
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        kernel = Kernel(daemon)
        given = set(daemon.scheme_names)
        for entry in TABLE:
            if entry.name not in given:
                continue
            daemon.serve(entry.name, import_module(entry.module).build(kernel))
        daemon.run()


if __name__ == "__main__":
    main()
