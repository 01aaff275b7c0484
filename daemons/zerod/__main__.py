"""zerod's start: two schemes without any state."""

from __future__ import annotations

from daemons.zerod.scheme import NullScheme, ZeroScheme
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        null, zero = daemon.scheme_names
        scheme = ZeroScheme()
        daemon.callback(scheme.end_round)
        daemon.loop.at_round_end(scheme.end_round)
        daemon.serve(null, NullScheme())
        daemon.serve(zero, scheme)
        daemon.run()


if __name__ == "__main__":
    main()
