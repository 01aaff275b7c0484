"""logd's start: the kept lines, the file they are copied to, and the scheme `log`."""

from __future__ import annotations

from pathlib import Path

from daemons.logd.scheme import LogScheme
from daemons.logd.sinks import Sinks, open_file
from daemons.logd.store import Store
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        store = Store.open(Path(daemon.facts["scratch"]) / "log", daemon.options["keep"])
        daemon.callback(store.close)
        sinks = Sinks(store, daemon.loop)
        daemon.callback(sinks.close)
        if daemon.options["file"]:
            sinks.add_file(open_file(Path(daemon.options["file"])))
        daemon.serve(daemon.scheme_names[0], LogScheme(store, sinks))
        daemon.run()


if __name__ == "__main__":
    main()
