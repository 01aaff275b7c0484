"""What the rest of inputd wants of Linux's input devices."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daemons.inputd.desk import Desk
    from daemons.inputd.state import State
    from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)


class Devices:
    """None at all: nobody has named one."""

    released = False  # the user has them back, until he says otherwise

    def describe(self) -> Sequence[str]:
        """Return a line for each, for `status`."""
        return ()

    def let_go(self) -> None:
        """Give the user his devices back."""
        self.released = True

    def take_again(self) -> None:
        """Take them again."""
        self.released = False

    def rest(self) -> None:
        """Give them back while somebody else has the screen."""

    def resume(self) -> None:
        """Take them again, since the screen is ours."""

    def close(self) -> None:
        """Close all."""


def open_devices(wanted: str, desk: Desk, state: State, loop: Loop) -> Devices:
    """Open those that are named; nothing is loaded for none: a restart is waited for."""
    if not wanted:
        return Devices()
    try:
        from daemons.inputd.linux import LinuxDevices
    except ModuleNotFoundError as missing:
        log.error(
            "%s is left to Linux: that takes the package %s, which is not installed; "
            "pip install 'redbear-host[input]'",
            *(wanted, missing.name),
        )
        return Devices()
    devices = LinuxDevices(wanted, desk, state, loop)
    devices.open()
    return devices
