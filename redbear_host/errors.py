"""Errors, sorted by whose fault they are.

| class            | fault lies with            | becomes                                        |
|------------------|----------------------------|------------------------------------------------|
| `ConfigError`    | the user                   | exit 2, the message and a hint, no traceback   |
| `TransportError` | Linux, VFIO, permissions   | exit 3, or a restart of the daemon             |
| `DeviceError`    | the hardware               | `EIO` for the request                          |
| `ProtocolError`  | the peer's bytes           | the connection is closed, logged once          |
| `Refused`        | the caller's request       | that errno: the only error a scheme raises     |
| anything else    | us                         | a bug: `EIO`, traceback, exit, restart         |
"""

from __future__ import annotations


class RedbearError(Exception):
    """Root of all errors this project raises on purpose."""


class ConfigError(RedbearError):
    """What the user asked for cannot be done; `hint` says what to type instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class TransportError(RedbearError):
    """Linux, VFIO, QEMU or a permission stands between us and the device."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DeviceError(RedbearError):
    """The hardware answered with an error, or with nonsense."""


class Gone(DeviceError):
    """The device has left: it was unplugged, or its machine died."""


class Stuck(DeviceError, TimeoutError):
    """A register or a command did not reach the awaited state in time."""


class ProtocolError(RedbearError):
    """A peer sent bytes that its protocol does not allow."""


class Refused(RedbearError):
    """The caller asked for something a scheme does not grant; `errno` is Redox's number."""

    def __init__(self, errno: int, why: str = "") -> None:
        super().__init__(why or f"errno {errno}")
        self.errno = errno
