"""A scheme whose root we hold: opened as root before we are locked in, and all we ever have of it.

Who calls at a ring is whoever connected, with the user he had then.  So a daemon without rights,
files and network goes on being the root it was, towards the schemes it holds and no others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redbear_host import client
from redbear_host.client.connection import Connection, connect
from redbear_host.client.ringfile import ROOT, RingFile
from redbear_host.errors import TransportError

PATIENCE_S: Final = 5.0


class Ended(TransportError):
    """The scheme's daemon has died, and the connection with it: another cannot be made."""


class Held:
    """One scheme."""

    def __init__(self, name: str) -> None:
        """Connect, while its daemon is being started also; `Ended` where it was given up."""
        self.name: Final = name
        try:
            connection = connect(name)
        except OSError as error:
            raise Ended(f"the scheme {name} is not served: {error.strerror}") from error
        self._connection: Final[Connection] = connection
        self._root: Final = client.Fd(RingFile(self._connection, ROOT, 0, 0))

    @contextmanager
    def calls(self) -> Iterator[None]:
        """Have every call inside answered within PATIENCE_S; `Ended` when none ever will be."""
        try:
            with client.deadline(PATIENCE_S):
                yield
        except OSError as error:
            if self._connection.dead:
                raise Ended(f"the scheme {self.name} has ended") from error
            raise

    def open(self, path: str, flags: int) -> client.Fd:
        """Open a path of the scheme; inside of `calls`."""
        return self._root.openat(path, flags)
