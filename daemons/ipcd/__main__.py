"""ipcd's start: four schemes, each with its own names."""

from __future__ import annotations

import resource

from daemons.ipcd.datagrams import DatagramScheme
from daemons.ipcd.shm import ShmScheme
from daemons.ipcd.streams import ChanScheme
from daemons.ipcd.uds import UdsStreamScheme
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        chan, shm, stream, datagram = daemon.scheme_names
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        segments = ShmScheme(daemon.options["shm_most"], files // 4)  # each holds one open
        daemon.callback(segments.close)
        daemon.serve(chan, ChanScheme())
        daemon.serve(shm, segments)
        daemon.serve(stream, UdsStreamScheme())
        daemon.serve(datagram, DatagramScheme())
        daemon.run()


if __name__ == "__main__":
    main()
