"""filed's start: a directory of the host becomes the scheme `file`, and all this process sees."""

from __future__ import annotations

from daemons.filed.callers import Callers
from daemons.filed.root import open_root, shut_in
from daemons.filed.scheme import FileScheme
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        callers = Callers.open()
        daemon.callback(callers.close)
        folder = daemon.options["root"]
        root = open_root(folder)
        shut_in(root, folder)
        scheme = FileScheme(root, callers)
        daemon.callback(scheme.close)
        daemon.serve(daemon.scheme_names[0], scheme)
        daemon.run()


if __name__ == "__main__":
    main()
