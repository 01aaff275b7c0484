"""randd's start: Linux's generator, as the scheme `rand`."""

from __future__ import annotations

from daemons.randd.scheme import RandScheme
from daemons.randd.source import Source
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        source = Source()
        daemon.callback(source.close)
        daemon.serve(daemon.scheme_names[0], RandScheme(source))
        daemon.run()


if __name__ == "__main__":
    main()
