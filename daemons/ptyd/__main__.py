"""ptyd's start: the opener, then the scheme `pty`."""

from __future__ import annotations

from daemons.ptyd.opener import Opener, start
from daemons.ptyd.scheme import PtyScheme
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        opener = Opener(start(), daemon.loop)
        daemon.callback(opener.close)
        scheme = PtyScheme(opener, daemon.loop, daemon.options["most"])
        daemon.callback(scheme.close)
        daemon.serve(daemon.scheme_names[0], scheme)
        daemon.run()


if __name__ == "__main__":
    main()
