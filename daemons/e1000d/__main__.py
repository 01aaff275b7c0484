"""e1000d's start: its card, its interrupts, and the network it serves."""

from __future__ import annotations

from daemons.e1000d.driver import Card, Wishes
from redbear_host.classes.network import NetworkScheme
from redbear_host.daemon import Daemon

VECTORS = 2  # of MSI-X: frames, and everything else


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        function = daemon.function()
        kind, vectors = daemon.choose_interrupts(function, VECTORS)
        card = Card(function, daemon.clock, Wishes(**daemon.options), kind, vectors)
        daemon.watch_interrupts(function, kind, vectors, card.on_interrupt)
        # One that was killed from outside has done the card no harm.
        card.start(inherited=daemon.life > 1 and not daemon.crashed)
        daemon.callback(card.stop)
        daemon.keep_time(card)
        name = daemon.scheme_names[0]
        network = NetworkScheme(name, card, daemon.loop)

        def on_gone() -> None:
            card.gone()
            network.leave()

        daemon.watch_removal(function, on_gone)
        daemon.loop.at_round_end(network.end_batch)  # before a door looks whether there is more
        daemon.serve(name, network)
        daemon.serve_network(network)
        daemon.run()


if __name__ == "__main__":
    main()
