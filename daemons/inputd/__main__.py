"""inputd's start: the desk as a predecessor left it, devices that were named, the scheme."""

from __future__ import annotations

import os

from daemons.inputd.desk import Desk
from daemons.inputd.devices import open_devices
from daemons.inputd.keymaps import KEYMAPS
from daemons.inputd.news import News
from daemons.inputd.scheme import InputScheme
from daemons.inputd.state import State, make_memory
from daemons.inputd.typist import Typist
from redbear_host.daemon import Daemon

_WAIT_S = 5.0  # for those who had a VT and lost it with our predecessor


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        state = _state(daemon)
        daemon.callback(state.close)
        desk = Desk(Typist(list(KEYMAPS.values())[state.keymap]), state)
        devices = open_devices(daemon.options["devices"], desk, state, daemon.loop)
        daemon.callback(devices.close)
        news = News(desk, devices, daemon)
        scheme = InputScheme(desk, devices)
        daemon.serve(daemon.scheme_names[0], scheme)
        daemon.loop.at(daemon.loop.now() + _WAIT_S, desk.expect_no_more)
        daemon.on_told = news.on_told
        daemon.run()


def _state(daemon: Daemon) -> State:
    """Return what a predecessor has left, or memory that the shim keeps from now on."""
    name = daemon.options["keymap"]
    kept = daemon.kept.get("state")
    fd = make_memory() if kept is None else kept
    state = State(fd)
    if state.is_new:
        state.keymap = list(KEYMAPS).index(name)
        daemon.keep("state", fd)
    os.close(fd)
    return state


if __name__ == "__main__":
    main()
