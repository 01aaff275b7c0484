"""What a client has open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from redbear_host.scheme.listings import Listings
from redbear_host.scheme.scheme import POSITIONED, ROOT, Opened, Scheme

if TYPE_CHECKING:
    from redbear_host.ring.client import Client
    from redbear_host.ring.request import RingRequest

HANDLES_MOST: Final = 1024  # of one client


class Handle:
    """One open handle: `ident` is the client's number for it, `number` the scheme's."""

    __slots__ = (
        "busy",
        "client",
        "closing",
        "flags",
        "ident",
        "late",
        "looks",
        "mapped",
        "mask",
        "number",
        "parked",
        "stream",
    )

    def __init__(
        self,
        client: Client,
        ident: int,
        number: int,
        flags: int = 0,
        stream: bool = True,
        looks: bool = False,
    ) -> None:
        self.client: Final = client
        self.ident: Final = ident
        self.number: Final = number
        self.flags: Final = flags  # fcntl flags it was opened with
        self.stream: Final = stream  # without an offset
        self.looks: Final = looks  # opened with O_STAT
        self.mask = 0  # events the client waits for
        self.late = 0  # events there was no room to tell of
        self.busy = 0  # requests with the scheme: it hears of the close after the last of them
        self.closing = False
        self.mapped = 0  # mappings told of and not undone
        self.parked: list[RingRequest] = []


class Handles:
    """The handles of one client; 0 is the root, which is only a place to start from."""

    def __init__(
        self, client: Client, scheme: Scheme, listings: Listings, crowded: Callable[[], bool]
    ) -> None:
        self.listings: Final = listings  # of all clients
        self._client: Final = client
        self._scheme: Final = scheme
        self._crowded: Final = crowded  # whether its user has too many in all
        self._next = 1
        self.root: Final = Handle(client, 0, ROOT)
        self.open: Final[dict[int, Handle]] = {}

    def get(self, ident: int) -> Handle:
        """Return an open handle; the root is none, since no scheme expects to read from it."""
        handle = self.open.get(ident)
        if handle is None:
            raise Refused(e.EBADF)
        return handle

    def used(self, ident: int) -> Handle:
        """Return an open handle that is for more than looking; EBADF for one of O_STAT.

        Schemes let everybody look.  Linux has no such descriptor for its files that could be read,
        so here is where it would be found out that one of them forgot to look at the flag.
        """
        handle = self.open.get(ident)
        if handle is None or handle.looks:
            raise Refused(e.EBADF)
        return handle

    def parent(self, ident: int) -> Handle:
        """Return the handle a path starts from."""
        return self.get(ident) if ident else self.root

    def find(self, ident: int) -> Handle | None:
        """Return the handle, or None."""
        return self.open.get(ident) if ident else self.root

    def add(self, opened: Opened, flags: int, looks: bool) -> Handle:
        """Give what the scheme has opened a number; close it again when there are too many."""
        if len(self.open) >= HANDLES_MOST or self._crowded():
            self._scheme.on_close(opened.handle)
            raise Refused(e.EMFILE)
        self._scheme.hold_to_redox(opened.handle)
        ident = self._next
        self._next = ident + 1
        stream = not opened.flags & POSITIONED
        handle = Handle(self._client, ident, opened.handle, flags, stream, looks)
        self.open[ident] = handle
        return handle

    def close(self, handle: Handle) -> None:
        """Take the number back; the scheme hears of it when no request of the handle is left."""
        del self.open[handle.ident]
        self.listings.drop(handle)
        if handle.busy:
            handle.closing = True
        else:
            self._scheme.on_close(handle.number)

    def idle(self, handle: Handle) -> None:
        """Count one request less."""
        handle.busy -= 1
        if handle.closing and not handle.busy:
            self._scheme.on_close(handle.number)
