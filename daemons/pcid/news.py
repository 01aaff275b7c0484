"""What the shim tells pcid later: functions that come, go, or change hands.

The messages: `kernel_shim/functions.py`.
"""

from __future__ import annotations

import os
from typing import Any, Final

from daemons.pcid.functions import Hosted, of_lab
from daemons.pcid.scheme import PciScheme
from redbear_host.bdf import Bdf
from redbear_host.hw.ports import PciIds


class News:
    """Brings a scheme up to date; give `on_told` to the daemon."""

    def __init__(self, scheme: PciScheme) -> None:
        self._scheme: Final = scheme

    def on_told(self, message: dict[str, Any], fds: list[int]) -> None:
        """Take one message, and the descriptors that came with it."""
        if "function" in message:
            self._come(message["function"], fds)
        elif "no_function" in message:
            self._scheme.remove(Bdf.parse(message["no_function"]))
        for fd in fds:
            os.close(fd)

    def _come(self, facts: dict[str, Any], fds: list[int]) -> None:
        known = self._scheme.at(Bdf.parse(facts["address"]))
        if "config" in facts:
            (function,) = of_lab([facts])
            self._scheme.add(function)
        elif not fds:
            if isinstance(known, Hosted):
                known.daemon = facts["driver"]
        elif known is None or isinstance(known, Hosted):  # the lab's hides the machine's
            config, uevent = fds
            fds.clear()
            address, ids = Bdf.parse(facts["address"]), PciIds(**facts["ids"])
            self._scheme.add(Hosted(address, ids, config, uevent, facts["driver"]))
