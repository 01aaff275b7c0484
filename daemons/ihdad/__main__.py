"""ihdad's start: its card, its interrupt, and the sound it serves."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from daemons.ihdad.driver import Card, Wishes
from redbear_host.classes.sound import SoundScheme
from redbear_host.daemon import Daemon

_NICE: Final = -11  # three sub-buffers are 35 ms: sound waits behind nobody who can wait


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        with suppress(PermissionError):  # in a container
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        function = daemon.function()
        kind, vectors = daemon.choose_interrupts(function, 1)
        card = Card(function, daemon.clock, Wishes(**daemon.options))
        daemon.watch_interrupts(function, kind, vectors, card.on_interrupt)
        card.start()
        daemon.callback(card.stop)
        daemon.keep_time(card)
        daemon.watch_removal(function, card.leave)
        name = daemon.scheme_names[0]
        daemon.serve(name, SoundScheme(name, card))
        daemon.run()


if __name__ == "__main__":
    main()
