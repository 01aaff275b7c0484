"""Who may come in: the password of VNC authentication, the browser page's token, and failed tries.

Ref: RFC 6143 §7.2.2.  VNC authentication is weak: of a password eight characters count, its cipher
is DES, and nothing that follows is encrypted.  It keeps other users of a machine out of a port of
127.0.0.1; on a network it belongs into a tunnel.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final

from daemons.vncd import des

PASSWORD_MOST: Final = 8  # bytes of it that count
_ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32, none like another
_TOKEN_BYTES: Final = 24

_FREE_TRIES: Final = 4  # that may fail before anybody has to wait
_WAIT_S: Final = 1.0  # after the next one; twice as long after each that follows
_WAIT_MOST_S: Final = 64.0
_FORGET_S: Final = 300.0  # without a failure: all is forgotten
_ADDRESSES_MOST: Final = 256


class Secrets:
    """What viewers have to know; kept for root, and for successors in the same instance."""

    def __init__(self, password: bytes, token: str) -> None:
        self._password: Final = password
        self._token: Final = token.encode()
        padded = password[:PASSWORD_MOST].ljust(PASSWORD_MOST, b"\0")
        self._key: Final = bytes(map(_mirrored, padded))

    @classmethod
    def load(cls, folder: Path, password_file: str) -> Secrets:
        """Read them, or make them at random; the password is the user's where he names a file.

        `OSError` and `ValueError` say what is wrong with that.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if password_file:
            password = Path(password_file).read_text(encoding="utf-8").strip()
            if not password:
                raise ValueError(f"{password_file} holds no password")
        else:
            password = _kept(folder / "password", _random_password)
        token = _kept(folder / "token", _random_token)
        return cls(password.encode(), token)

    @property
    def password(self) -> str:
        """For whom it is to be shown."""
        return self._password.decode()

    @property
    def token(self) -> str:
        """For whom it is to be shown."""
        return self._token.decode()

    def answers(self, challenge: bytes, response: bytes) -> bool:
        """Tell whether a response was made with the password."""
        right = b"".join(
            des.encrypt(self._key, challenge[at : at + des.BLOCK])
            for at in range(0, len(challenge), des.BLOCK)
        )
        return compare_digest(right, response)

    def opens(self, token: str) -> bool:
        """Tell whether that is the token."""
        return compare_digest(self._token, token.encode(errors="replace"))


def _kept(path: Path, make: Callable[[], str]) -> str:
    """Return a file's line; it is made if there is none, and readable for its owner only."""
    if path.is_file():
        found = path.read_text(encoding="ascii").strip()
        if len(found) >= PASSWORD_MOST:
            return found
        path.unlink()  # who was killed over writing it has left nothing that keeps anybody out
    made = make()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(fd, "w", encoding="ascii") as file:
        file.write(f"{made}\n")
    return made


def _random_password() -> str:
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in os.urandom(PASSWORD_MOST))


def _random_token() -> str:
    return urlsafe_b64encode(os.urandom(_TOKEN_BYTES)).decode()


def _mirrored(byte: int) -> int:
    """Return a byte with its bits in the other order, as VNC has always taken its keys."""
    return int(f"{byte:08b}"[::-1], 2)


class Tries:
    """Failed tries by household: each further one is heard only after a while, which doubles."""

    def __init__(self) -> None:
        self._failed: Final[OrderedDict[str, tuple[int, float]]] = OrderedDict()

    def may(self, address: str, now: float) -> bool:
        """Tell whether whoever is there may try."""
        count, last = self._failed.get(_household(address), (0, now))
        if count <= _FREE_TRIES:
            return True
        wait: float = min(_WAIT_S * 2 ** (count - _FREE_TRIES - 1), _WAIT_MOST_S)
        return now >= last + wait

    def failed(self, address: str, now: float) -> None:
        """Hear that a try was in vain."""
        household = _household(address)
        count, last = self._failed.pop(household, (0, now))
        self._failed[household] = (1 if now - last > _FORGET_S else min(count + 1, 64), now)
        while len(self._failed) > _ADDRESSES_MOST:
            self._failed.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Hear that one knew it."""
        self._failed.pop(_household(address), None)


def _household(address: str) -> str:
    """Return what all addresses have in common that one caller can call from.

    Every user of a machine has all of 127.0.0.0/8, who has an address of IPv6 2**64 of them.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address  # of a Unix socket
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is None:
            return "loopback" if found.is_loopback else f"{int(found) >> 64:x}::/64"
        found = found.ipv4_mapped
    return "loopback" if found.is_loopback else str(found)
