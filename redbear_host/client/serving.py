"""Serving a scheme of one's own, in one's own process: Redox's `Socket::create` and the loop.

```python
client.serve("hello", Hello())      # as root; until the program ends
```

`docs/writing-a-scheme.md` has the whole program.
"""

from __future__ import annotations

import os
import socket
from types import TracebackType
from typing import Final, Self

from redbear_host.client.fd import open as open_fd
from redbear_host.ring.door import RingDoor
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.meter import Meter
from redbear_host.scheme.scheme import Scheme
from schemefs.connection import Connection
from schemefs.door import Door
from schemefs.journal import Journal

_CAP: Final = "/scheme/namespace/scheme-creation-cap"
_ISSUE_REGISTER: Final = 2
_ROOT_IS_FILE: Final = 1
_FDS: Final = 5


class Registration:
    """A scheme's name, taken until `close`: `OSError` says why it is not to be had.

    EACCES but for root, EEXIST when it is taken, EINVAL for what cannot be a name, ENODEV where
    there is no redbear-host or this namespace does not hold the scheme `namespace`.
    """

    def __init__(self, name: str, root_is_file: bool = False) -> None:
        self.name: Final = name
        flags = _ROOT_IS_FILE if root_is_file else 0
        try:
            with open_fd(_CAP) as cap, cap.dup(b"create-scheme") as made:
                payload = name.encode("utf-8", "surrogateescape")
                made.call_wo(payload, metadata=(_ISSUE_REGISTER, flags))
                fds = made.recvfd(_FDS)
        except OSError as error:
            error.filename = name  # it is this name that is not to be had, not `namespace`
            raise
        for fd in fds:
            os.set_inheritable(fd, False)
        self.connection_fd, self.journal_fd, self.listener_fd, self.meter_fd, lifeline = fds
        self.lifeline: Final = socket.socket(fileno=lifeline)

    def close(self) -> None:
        """Give the name up: the scheme is unmounted."""
        self.lifeline.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def serve(name: str, scheme: Scheme) -> None:
    """Register `name` and serve `scheme` under it, at both doors.

    Returns when the scheme was unmounted, or redbear-host has gone down.  An exception
    (KeyboardInterrupt, a bug) ends the scheme too.  Errors as for `Registration`.
    """
    loop = Loop()
    with Registration(name, scheme.root_is_file) as registration:
        scheme.name = name
        journal = Journal.open(registration.journal_fd)
        journal.begin_life()
        meter = Meter(registration.meter_fd)
        connection = Connection(
            registration.connection_fd, journal, loop, scheme.replays, False, meter
        )
        connection.on_end = loop.stop
        Door(connection, scheme, loop).start()
        ring = RingDoor(registration.listener_fd, scheme, loop, meter)
        ring.start()
        loop.watch(registration.lifeline.fileno(), loop.stop)
        try:
            loop.run()
        finally:
            loop.unwatch(registration.lifeline.fileno())
            ring.close()
            connection.close()
            os.close(registration.connection_fd)
            journal.close()
