"""audiod's start: what a predecessor had queued, the card's scheme, `audio` and `audio.ctl`."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from redbear_host.daemon import Daemon
from redbear_host.link import Link

try:
    from daemons.audiod.names import Names
    from daemons.audiod.player import Player
    from daemons.audiod.recorder import Recorder
    from daemons.audiod.scheme import AudioScheme, ControlScheme
    from daemons.audiod.store import Store
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"audiod needs {missing.name}, which is not installed: pip install 'redbear-host[sound]'"
    ) from None

_NICE: Final = -11  # what others compute can wait some milliseconds, and sound cannot


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        with suppress(PermissionError):  # in a container, which may not let root do that
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        store = Store.open(Path(daemon.facts["scratch"]) / "audiod" / "streams")
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        daemon.callback(os.close, proc)
        daemon.readable.append(proc)
        player = Player(daemon.loop, store, daemon.options["volume"], Names(proc).of)
        recorder = Recorder()
        player.on_card = recorder.on_card
        link = Link(daemon.options["card"], daemon)
        link.on_open = player.on_open

        def lost() -> None:
            player.on_lost()
            recorder.on_lost()

        link.on_lost = lost
        daemon.callback(link.close)
        player.on_trouble = link.restart
        audio, control = daemon.scheme_names
        daemon.serve(audio, AudioScheme(player))
        daemon.serve(control, ControlScheme(player, recorder))
        player.adopt()  # what nobody has opened again
        link.start()
        daemon.run()


if __name__ == "__main__":
    main()
