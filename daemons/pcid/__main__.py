"""pcid's start: the functions it is told of and those it finds, as the scheme `pci`."""

from __future__ import annotations

from daemons.pcid.news import News
from daemons.pcid.scheme import build
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        scheme = build(daemon.facts)
        daemon.callback(scheme.close)
        daemon.on_told = News(scheme).on_told
        daemon.serve(daemon.scheme_names[0], scheme)
        daemon.run()


if __name__ == "__main__":
    main()
