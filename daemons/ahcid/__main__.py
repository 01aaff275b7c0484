"""ahcid's start: its adapter, its interrupt, and the disks it serves."""

from __future__ import annotations

from daemons.ahcid.driver import Controller
from redbear_host.classes.block import DiskScheme
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        function = daemon.function()
        kind, vectors = daemon.choose_interrupts(function, 1)
        controller = Controller(
            function,
            daemon.clock,
            timeout=daemon.options["timeout_ms"] / 1000,
            ncq=daemon.options["ncq"],
            trust_trim=daemon.options["trust_trim"],
        )
        daemon.watch_interrupts(function, kind, vectors, controller.on_interrupt)
        daemon.watch_removal(function, controller.gone)
        controller.start()
        daemon.callback(controller.stop)
        daemon.keep_time(controller)
        name = daemon.scheme_names[0]
        destructive = daemon.facts.get("destructive", False)
        disks = DiskScheme(name, controller.disks, destructive=destructive)
        daemon.loop.at_round_end(disks.end_batch)
        daemon.wait_for(disks.load_partitions)
        daemon.serve(name, disks)
        daemon.run()


if __name__ == "__main__":
    main()
