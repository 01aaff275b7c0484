"""A daemon with the bad manners its options ask for.

`early` names what its successors do instead of becoming ready, `later` what every life does once it
is: `hang` for good, or `crash`.  `says` is what it then says to the shim, word for word.
"""

from __future__ import annotations

import os
import signal

from redbear_host.abi.stat import MODE_DIR, Stat
from redbear_host.daemon import Daemon
from redbear_host.scheme.scheme import Opened, Scheme


class Empty(Scheme):
    """A scheme with nothing in it."""

    reopens = True

    def openat(self, parent, path, flags, fcntl_flags, request):
        return Opened(1)

    def fstat(self, handle):
        return Stat(st_mode=MODE_DIR | 0o755)


def behave(how):
    if how == "hang":
        while True:
            signal.pause()
    if how == "crash":
        os._exit(7)


def babble(daemon, messages):
    for message in messages:
        daemon._control.send(message.encode())


def main() -> None:
    with Daemon.receive() as daemon:
        if daemon.life > 1:
            behave(daemon.options.get("early"))
        for name in daemon.scheme_names:
            daemon.serve(name, Empty())
        daemon.loop.soon(lambda: babble(daemon, daemon.options.get("says", ())))
        daemon.loop.soon(lambda: behave(daemon.options.get("later")))
        daemon.run()


if __name__ == "__main__":
    main()
