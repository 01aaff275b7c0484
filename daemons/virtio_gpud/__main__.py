"""virtio_gpud's start: its card, its interrupts, and the displays it serves."""

from __future__ import annotations

from daemons.virtio_gpud.driver import VECTORS, Card
from redbear_host.daemon import Daemon
from redbear_host.displayed import serve_display


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        function = daemon.function()
        kind, vectors = daemon.choose_interrupts(function, VECTORS)
        card = Card(function, daemon.clock, kind, vectors)
        daemon.watch_interrupts(function, kind, vectors, card.on_interrupt)
        card.start()
        daemon.callback(card.stop)
        daemon.keep_time(card)
        display = serve_display(daemon, card)

        def on_gone() -> None:
            card.gone()
            display.leave()

        daemon.watch_removal(function, on_gone)
        daemon.run()


if __name__ == "__main__":
    main()
