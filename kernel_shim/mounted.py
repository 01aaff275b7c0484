"""One mounted scheme: the connection and the journal that outlive every daemon behind it."""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import Final

from schemefs import mount
from schemefs.handshake import answer_init
from schemefs.journal import Journal


class MountedScheme:
    """`/scheme/NAME`: mounted, greeted, and empty of requests."""

    def __init__(self, name: str, root: Path, is_file: bool = False) -> None:
        self.name: Final = name
        self.path: Final = root / name
        if is_file:
            self.path.touch()
        else:
            self.path.mkdir()
        self.connection_fd: Final = mount.open_connection()
        try:
            mount.mount(self.connection_fd, self.path, name)
            minor = answer_init(self.connection_fd)
        except BaseException:
            os.close(self.connection_fd)
            raise
        os.set_blocking(self.connection_fd, False)
        self.journal: Final = Journal.create(minor)

    @property
    def gone(self) -> bool:
        """Whether the connection has ended: someone has unmounted it, or broken it."""
        poll = select.poll()
        poll.register(self.connection_fd, select.POLLIN)
        return any(events & select.POLLERR for _, events in poll.poll(0))

    def fail(self) -> None:
        """Break the connection: who waits, and who comes later, gets an error (ENOTCONN)."""
        for _, _, minor in mount.mounts_below(self.path):
            mount.abort(minor)

    def close(self) -> None:
        """Unmount; whoever waits on a request is told that the scheme is gone."""
        self.fail()
        mount.unmount(self.path)
        self.journal.close()
        os.close(self.connection_fd)
