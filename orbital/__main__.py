"""Orbital's start: all that root can open, then the schemes `orbital` and `orbital.ctl`."""

from __future__ import annotations

from orbital.session import Session
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        Session(daemon).serve()
        daemon.run()


if __name__ == "__main__":
    main()
