"""The kernel daemon's start: every scheme of the table, in one process."""

from __future__ import annotations

from importlib import import_module

from kernel_shim.schemes.kernel import Kernel
from kernel_shim.schemes.table import TABLE
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        kernel = Kernel(daemon)
        for entry in TABLE:
            daemon.serve(entry.name, import_module(entry.module).build(kernel))
        daemon.run()


if __name__ == "__main__":
    main()
