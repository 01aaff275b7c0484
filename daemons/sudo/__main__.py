"""sudo's start: the password files, and the shim to ask for namespaces."""

from __future__ import annotations

from pathlib import Path

from daemons.sudo.accounts import Accounts
from daemons.sudo.asking import Asking
from daemons.sudo.scheme import SudoScheme
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        options = daemon.options
        scheme = SudoScheme(
            # The one folder it still sees once it is locked in is its root.
            Accounts(Path("/")),
            daemon.loop,
            Asking(daemon).namespace,
            tries=options["tries"],
            delay=options["delay_ms"] / 1000,
            lock=options["lock_s"],
        )
        daemon.serve(daemon.scheme_names[0], scheme)
        daemon.run()


if __name__ == "__main__":
    main()
