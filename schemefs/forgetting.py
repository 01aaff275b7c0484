"""Asking the kernel to forget names, before there is no room for new ones.

A kernel with memory to spare keeps every name it was told of, and a table that is full could only
answer ENOMEM.  To forget a name the kernel takes the lock of its directory, and whoever holds that
may be waiting for the daemon's answer: neither the daemon nor its end may wait for it.  So this is
a program of its own, `python -I -m schemefs.forgetting CONNECTION_FD JOURNAL_FD`, which the shim
starts when a daemon says that its table is crowded.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from redbear_host import linux
from schemefs import protocol as p
from schemefs.journal import NAME_MAX, NODE_BYTES, NODES_USED, Journal
from schemefs.nodes import NAME_AT, PLAIN, RECORD
from schemefs.view import opened

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def dispensable(journal: Journal, start: int) -> Iterator[tuple[int, bytes]]:
    """Name a quarter of the table, as parent and name, from row `start` on and around.

    They are no directories and not open: the kernel may forget them and ask again, without anybody
    noticing.  The daemon goes on meanwhile.  A name that has changed is not known to the kernel, or
    is asked for once more.
    """
    shape, used = journal.geometry, journal.words[NODES_USED]
    in_use = {handle.node for handle in opened(journal)}
    left = shape.nodes // 4
    for step in range(used):
        row = (start + step) % used
        at = shape.nodes_at + row * NODE_BYTES
        lookups, parent, length, kind = RECORD.unpack_from(journal.bytes, at)
        if lookups and parent and kind == PLAIN and row + 2 not in in_use:
            yield parent, bytes(journal.bytes[at + NAME_AT : at + NAME_AT + min(length, NAME_MAX)])
            left -= 1
            if not left:
                return


def ask(connection: int, journal: Journal) -> None:
    """Ask for a quarter of the table, from a row chosen by chance."""
    start = random.randrange(max(1, journal.words[NODES_USED]))
    for parent, name in dispensable(journal, start):
        size = p.INVAL_ENTRY.size + len(name) + 1
        head = p.INVAL_ENTRY.pack(size, p.NOTIFY_INVAL_ENTRY, 0, parent, len(name), 0)
        with suppress(OSError):  # it is forgotten already, or the mount is gone
            os.write(connection, head + name + b"\0")


def main() -> None:
    """Ask, and end."""
    linux.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    connection, journal = map(int, sys.argv[1:])
    ask(connection, Journal.open(journal))


if __name__ == "__main__":
    main()
