"""Questions to a name server, and its answers.

Ref: RFC 1035 (messages), RFC 3596 (AAAA).  Answers come from the network: nothing in them is
believed before it was checked, and no chain in them is followed for ever.
"""

from __future__ import annotations

import socket
from struct import Struct
from typing import Final, NamedTuple

A, CNAME, AAAA = 1, 5, 28
IN: Final = 1
MESSAGE_MOST: Final = 4096  # bytes

_HEAD: Final = Struct(">HHHHHH")  # id, flags, counts of questions, answers, authorities, additions
_QUESTION: Final = Struct(">HH")  # type, class
_RECORD: Final = Struct(">HHIH")  # type, class, seconds to live, length
_RESPONSE, _TRUNCATED, _RECURSE = 0x8000, 0x0200, 0x0100
_NAME_MOST, _LABEL_MOST = 255, 63
_POINTER: Final = 0xC0
_RECORDS_MOST: Final = 64
_CHAIN_MOST: Final = 8
NO_SUCH_NAME: Final = 3  # RCODE
_FAMILIES: Final[dict[int, int]] = {A: socket.AF_INET, AAAA: socket.AF_INET6}


class Answer(NamedTuple):
    """What a server said: the addresses, and its RCODE; `truncated`: there is more by TCP."""

    addresses: tuple[str, ...]
    code: int
    truncated: bool


def encode_name(host: str) -> bytes:
    """Return a name as labels; ValueError for one that can be none."""
    labels = host.rstrip(".").encode("ascii", "strict").lower().split(b".")
    if not all(0 < len(label) <= _LABEL_MOST for label in labels):
        raise ValueError(f"{host!r} is no name of a host")
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    if len(name) > _NAME_MOST:
        raise ValueError(f"{host!r} is too long for a name")
    return name


def question(number: int, name: bytes, kind: int) -> bytes:
    """Ask for the records of one kind."""
    return _HEAD.pack(number, _RECURSE, 1, 0, 0, 0) + name + _QUESTION.pack(kind, IN)


def parse(message: bytes, number: int, name: bytes, kind: int) -> Answer | None:
    """Read the answer to a question; None for a message that is not it."""
    try:
        return _parse(message, number, name, kind)
    except (IndexError, ValueError):
        return None


def _parse(message: bytes, number: int, name: bytes, kind: int) -> Answer | None:
    if len(message) < _HEAD.size:
        return None
    its, flags, questions, answers, _, _ = _HEAD.unpack_from(message)
    if its != number or not flags & _RESPONSE or questions != 1:
        return None
    asked, at = _name(message, _HEAD.size)
    if asked != name or _unpack(_QUESTION, message, at) != (kind, IN):
        return None
    at += _QUESTION.size
    found: dict[bytes, list[bytes]] = {}
    aliases: dict[bytes, bytes] = {}
    for _ in range(min(answers, _RECORDS_MOST)):
        owner, at = _name(message, at)
        its_kind, its_class, _, length = _unpack(_RECORD, message, at)
        at += _RECORD.size
        if at + length > len(message):
            break  # cut; what stands before it is whole
        if its_class == IN and its_kind == CNAME:
            aliases[owner] = _name(message, at)[0]
        elif its_class == IN and its_kind == kind:
            found.setdefault(owner, []).append(message[at : at + length])
        at += length
    owner = name
    for _ in range(_CHAIN_MOST):
        if owner in found or owner not in aliases:
            break
        owner = aliases[owner]
    family = _FAMILIES[kind]
    addresses = tuple(socket.inet_ntop(family, packed) for packed in found.get(owner, ()))
    return Answer(addresses, flags & 0xF, bool(flags & _TRUNCATED))


def _unpack(what: Struct, message: bytes, at: int) -> tuple[int, ...]:
    if at + what.size > len(message):
        raise IndexError
    return what.unpack_from(message, at)


def _name(message: bytes, at: int) -> tuple[bytes, int]:
    """Return a name in small letters, as labels, and where the record goes on."""
    name = bytearray()
    end = -1
    while True:
        length = message[at]
        if length & _POINTER == _POINTER:
            target = (length & ~_POINTER) << 8 | message[at + 1]
            if end < 0:
                end = at + 2
            if target >= at:  # only back, so that it ends
                raise ValueError("a pointer that leads on")
            at = target
            continue
        if length > _LABEL_MOST or at + 1 + length > len(message):
            raise ValueError("no label")
        name += message[at : at + 1 + length]
        if len(name) > _NAME_MOST:
            raise ValueError("a name without an end")
        at += 1 + length
        if not length:
            return bytes(name).lower(), at if end < 0 else end
