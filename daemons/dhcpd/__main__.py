"""dhcpd's start: the schemes `udp` and `netcfg`, held as root; the user's files; the memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from daemons.dhcpd.adapters import Adapters
from daemons.dhcpd.memory import Memory
from daemons.dhcpd.scheme import DhcpScheme
from redbear_host.daemon import Daemon
from redbear_host.errors import ConfigError
from redbear_host.profiles import plan
from redbear_host.profiles.setting import Setting


def main() -> None:
    """Serve until the shim says stop, or smolnetd has ended."""
    with Daemon.receive() as daemon:
        os.environ["REDBEAR_RINGS"] = f"{daemon.facts['run_dir']}/ring"
        memory = Memory.open(Path(daemon.facts["scratch"]) / "dhcpd" / "leases.json")
        daemon.callback(memory.close)
        adapters = Adapters(
            daemon.loop,
            memory,
            _settings(),
            auto=daemon.options["auto"],
            hostname=daemon.options["hostname"],
        )
        daemon.callback(adapters.close)
        daemon.callback(adapters.release)
        adapters.start()  # before it is served: handles of a predecessor's clients are opened again
        daemon.serve(daemon.scheme_names[0], DhcpScheme(adapters))
        daemon.run()


def _settings() -> Mapping[str, Setting] | str:
    try:
        return plan.settings()
    except ConfigError as error:
        logging.getLogger(__name__).error("all adapters are left alone: %s", error.message)
        return error.message


if __name__ == "__main__":
    main()
