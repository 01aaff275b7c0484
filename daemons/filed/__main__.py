"""filed's start: a directory of the host becomes the scheme `file`."""

from __future__ import annotations

import os

from daemons.filed.callers import Callers
from daemons.filed.root import open_root
from daemons.filed.scheme import FileScheme
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        os.umask(0)  # a client's own has been applied already
        callers = Callers.open()
        daemon.callback(callers.close)
        daemon.readable.append(callers.proc)
        root = open_root(daemon.options["root"])
        daemon.callback(os.close, root)
        scheme = FileScheme(root, callers)
        daemon.callback(scheme.close)
        daemon.serve(daemon.scheme_names[0], scheme)
        callers.forget()
        daemon.run()


if __name__ == "__main__":
    main()
