"""vesad's start: its card, and the display it serves."""

from __future__ import annotations

from daemons.vesad.driver import Card, Wishes
from redbear_host.daemon import Daemon
from redbear_host.displayed import serve_display


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        function = daemon.function()
        card = Card(function, Wishes(**daemon.options))
        # One that was killed has left the card as it was: it shows what it showed.
        card.start(inherited=daemon.life > 1)
        daemon.callback(card.stop)
        display = serve_display(daemon, card)

        def on_gone() -> None:
            card.gone()
            display.leave()

        daemon.watch_removal(function, on_gone)
        daemon.run()


if __name__ == "__main__":
    main()
