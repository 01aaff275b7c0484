"""A request as a door would make it, for tests that call a scheme's methods themselves."""

from __future__ import annotations

from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller, Request
from redbear_host.scheme.scheme import ROOT

PENDING = object()


class Asked(Request):
    """Remembers how it ended: `result`, or `errno`."""

    def __init__(self, uid=0, pid=1, gid=None):
        super().__init__()
        self.caller = Caller(pid, uid, uid if gid is None else gid)
        self.result = PENDING
        self.errno = 0

    @property
    def pending(self):
        return self.result is PENDING and not self.errno

    def answer(self, result, /):
        assert self.pending, "answered twice"
        self.result = result

    def refuse(self, errno, /):
        assert self.pending, "answered twice"
        self.errno = errno


def errno_of(call, *arguments):
    """Call; return the errno it was refused with, 0 when it was not."""
    try:
        call(*arguments)
    except Refused as refusal:
        return refusal.errno
    return 0


def opened(scheme, path, flags, uid=0, pid=1):
    """Open a path from the root; return the scheme's handle."""
    return scheme.openat(ROOT, path, flags, 0, Asked(uid, pid)).handle


class Posted:
    """Stands in for a door: collects the events a scheme posts."""

    def __init__(self, scheme):
        self.events = []
        scheme.listeners = (
            *scheme.listeners,
            lambda handle, flags: self.events.append((handle, flags)),
        )

    def take(self):
        taken, self.events[:] = list(self.events), []
        return taken
