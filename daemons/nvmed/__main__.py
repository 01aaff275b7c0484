"""nvmed's start: its controller, its interrupts, and the disks it serves."""

from __future__ import annotations

import os

from daemons.nvmed.driver import Controller
from redbear_host.classes.block import DiskScheme
from redbear_host.daemon import Daemon
from redbear_host.scheme.loop import Loop


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        function = daemon.function()
        queues = daemon.options["queues"]
        kind, vectors = daemon.choose_interrupts(function, 1 + queues)
        controller = Controller(
            function,
            daemon.clock,
            vectors=vectors,
            queues=queues,
            depth=daemon.options["depth"],
            timeout=daemon.options["timeout_ms"] / 1000,
            quick=daemon.options["quick"] and looks(daemon),
        )
        daemon.watch_interrupts(function, kind, vectors, controller.on_interrupt)
        daemon.watch_removal(function, controller.gone)
        controller.start()
        daemon.callback(controller.stop)
        daemon.keep_time(controller)
        name = daemon.scheme_names[0]
        destructive = daemon.facts.get("destructive", False)
        disks = DiskScheme(name, controller.namespaces, destructive=destructive)
        end_rounds(daemon.loop, disks, controller)
        daemon.wait_for(disks.load_partitions)
        daemon.serve(name, disks)
        daemon.run()


def looks(daemon: Daemon) -> bool:
    """Tell whether looking for completions can gain anything here.

    On a single processor it would keep others from working, and a lab's interrupts are cheap.
    """
    return daemon.landing == "vfio" and (os.cpu_count() or 1) > 1


def end_rounds(loop: Loop, disks: DiskScheme, controller: Controller) -> None:
    """Have each round of the loop hand over its commands, and wait a moment for their end."""
    waiting = False

    def look_again() -> None:
        nonlocal waiting
        waiting = False

    def end_round() -> None:
        nonlocal waiting
        disks.end_batch()
        again = controller.linger()
        disks.end_batch()
        if again is None or waiting:
            return
        waiting = True
        if again:
            loop.at(loop.now() + again, look_again)
        else:
            loop.soon(look_again)

    loop.at_round_end(end_round)


if __name__ == "__main__":
    main()
