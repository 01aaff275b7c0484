"""Orbital's start: all that root can open, then the schemes `orbital` and `orbital.ctl`."""

from __future__ import annotations

from orbital.session import Session
from redbear_host.daemon import Daemon
from redbear_host.errors import ConfigError


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        try:
            session = Session(daemon)
        except ConfigError as error:
            raise SystemExit(f"{error.message}: {error.hint}") from None
        session.serve()
        daemon.run()


if __name__ == "__main__":
    main()
