"""Tokens: what stands in a file system for a bound socket, and is shown to connect to it."""

from __future__ import annotations

import os
from typing import Final, Generic, TypeVar

from redbear_host.abi import errno as e
from redbear_host.errors import Refused

SIZE: Final = 8  # bytes

T = TypeVar("T")


class Tokens(Generic[T]):
    """Random numbers, each for one socket."""

    def __init__(self) -> None:
        self._of: Final[dict[bytes, T]] = {}

    def issue(self, socket: T) -> bytes:
        """Return a token that nobody can guess."""
        token = os.urandom(SIZE)
        self._of[token] = socket
        return token

    def redeem(self, token: bytes) -> T:
        """Return whose token it is; `Refused`: ECONNREFUSED."""
        if len(token) != SIZE:
            raise Refused(e.EINVAL)
        try:
            return self._of[token]
        except KeyError:
            raise Refused(e.ECONNREFUSED) from None

    def revoke(self, token: bytes) -> None:
        """Forget a token; harmless when there is none."""
        self._of.pop(token, None)
