"""Payloads between a client's arena and our own memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redbear_host.abi import errno as e
from redbear_host.errors import Refused

if TYPE_CHECKING:
    from redbear_host.ring.client import Client

TRANSFER_MOST: Final = 1 << 20  # bytes of one read, write or call, as through FUSE
LARGE: Final = 1 << 16  # bytes from which on a transfer takes time from others


def copy_in(client: Client, at: int, size: int) -> bytes:
    """Copy `size` bytes out of the arena; the client cannot change the copy."""
    if at + size > client.arena:
        raise Refused(e.EFAULT)
    if client.held and client.held + size > client.arena:
        raise Refused(e.ENOBUFS)  # its calls that wait claim more than there is
    if size >= LARGE:
        client.moved += size
    start = client.arena_at + at
    return client.map[start : start + size]


def check_room(client: Client, at: int, size: int) -> None:
    """Refuse a buffer that does not lie in the arena."""
    if at + size > client.arena:
        raise Refused(e.EFAULT)


def copy_out(client: Client, at: int, data: bytes | bytearray | memoryview) -> int:
    """Copy an answer into the arena, where a buffer was checked; return its length."""
    length = len(data)
    start = client.arena_at + at
    client.map[start : start + length] = data
    return length
