"""SG_IO: a SCSI command with its data and its sense data, in one ioctl.

Ref: Linux uapi header scsi/sg.h, version 3 of the interface.
"""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.abi.ioctls import SG_IN, SG_IO, SG_OUT, Way, ranges
from redbear_host.classes.ioctl.scsi import Target
from redbear_host.classes.ioctl.sense import CHECK_CONDITION, Outcome
from redbear_host.classes.ioctl.story import Story
from redbear_host.errors import Refused
from redbear_host.scheme.clients import ClientMemory, Done, Fetched, Stored

_DRIVER_SENSE: Final = 0x08  # driver_status: there are sense data
_INFO_CHECK: Final = 0x01  # info: look at the statuses


def fetched(found: Fetched) -> Fetched:
    """Return what was fetched; raise its error."""
    if found.errno:
        raise Refused(found.errno)
    return found


def sg_io(target: Target, memory: ClientMemory, writes: bool) -> Story[int]:
    """Execute one command; `writes` says that the file is open for writing."""
    began = monotonic()
    head, cdb, data = fetched((yield memory.fetch))[1:]
    named = ranges(SG_IO, head)
    if named is None or not cdb:
        raise Refused(e.EINVAL)
    size = named.data[1] if named.way in (Way.IN, Way.BOTH) else 0
    # A command that takes data says so by its own fields; what was brought besides is dropped.
    brought = data if named.way is Way.OUT else b""
    timeout_ms = SG_IN.unpack_from(head)[9]
    outcome = yield from target.execute(cdb, brought, size or len(brought), writes, timeout_ms)
    milliseconds = int((monotonic() - began) * 1000)
    stored: Stored = yield partial(store, memory, head, outcome, size, milliseconds)
    if stored.errno:
        raise Refused(stored.errno)
    return 0


def store(
    memory: ClientMemory,
    head: bytes,
    outcome: Outcome,
    room: int,
    milliseconds: int,
    done: Done,
) -> None:
    """Give the client what came of its command."""
    most_sense, whole = head[9], SG_IN.unpack_from(head)[5]
    data, sense = outcome.data[:room], outcome.sense[:most_sense]
    moved = len(data) if room else min(outcome.moved, whole)
    status = outcome.status
    filled = SG_OUT.pack(
        status,
        status >> 1 & 0x1F,
        0,
        len(sense),
        outcome.host_status,
        _DRIVER_SENSE if status == CHECK_CONDITION else 0,
        whole - moved,
        milliseconds,
        _INFO_CHECK if status or outcome.host_status else 0,
    )
    memory.store(done, head=filled, sense=sense, data=data)
