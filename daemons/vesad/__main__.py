"""vesad's start: its card, and the display it serves."""

from __future__ import annotations

from daemons.vesad.driver import Card, Wishes
from redbear_host.classes.display import DisplayScheme
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        function = daemon.function()
        card = Card(function, Wishes(**daemon.options))
        # One that was killed has left the card as it was: it shows what it showed.
        card.start(inherited=daemon.life > 1)
        daemon.callback(card.stop)
        name = daemon.scheme_names[0]
        display = DisplayScheme(name, card, daemon.kept, daemon.keep, daemon.forget)
        daemon.callback(display.close)

        def on_gone() -> None:
            card.gone()
            display.leave()

        daemon.watch_removal(function, on_gone)
        daemon.loop.at_round_end(display.end_batch)
        daemon.serve(name, display)
        daemon.run()


if __name__ == "__main__":
    main()
