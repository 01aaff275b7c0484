"""How the door finds what an opcode means.

A handler is given a request and its entry, and returns the number to answer with, `LATER`, or None
when nothing is ever answered; it sets `request.head` when the answer is not a plain number.  A
finisher makes that number of what a scheme answers later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from redbear_host.ring.request import RingRequest, SqeCopy
from redbear_host.scheme.request import Later

Handler: TypeAlias = Callable[[RingRequest, SqeCopy], int | Later | None]
Finisher: TypeAlias = Callable[[RingRequest, SqeCopy, Any], int]


def unknown(request: RingRequest, entry: SqeCopy) -> int:
    """Answer an opcode nobody knows."""
    raise Refused(e.ENOSYS)
