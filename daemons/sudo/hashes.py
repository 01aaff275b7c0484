"""Checking a password against a hash, with the C library's crypt(3).

Python's own `crypt` is gone since 3.13; libxcrypt knows every method that Debian's shadow holds.
The library is loaded when this is imported: later there are no files.
"""

from __future__ import annotations

import ctypes
import hmac
from typing import Final

PASSWORD_MOST: Final = 511  # bytes: CRYPT_MAX_PASSPHRASE_SIZE with its NUL is 512

_libcrypt: Final = ctypes.CDLL("libcrypt.so.1")
_libcrypt.crypt.restype = ctypes.c_char_p
_libcrypt.crypt.argtypes = [ctypes.c_char_p, ctypes.c_char_p]

# What is checked for a user who cannot log in, so that it takes as long as for one who can.
_NOBODYS: Final = b"$6$redbear$" + bytes(86).replace(b"\0", b".")


def matches(password: bytes, known: bytes | None) -> bool:
    """Tell whether `known` is a hash of `password`; never for None, `*`, `!…` and the empty one."""
    usable = known is not None and known[:1] == b"$"
    setting = known if usable and known is not None else _NOBODYS
    made = _libcrypt.crypt(password, setting) or b"*"
    return hmac.compare_digest(made, setting) and usable
