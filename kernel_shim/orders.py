"""What `redbear-host add` and `remove` ask of a running instance: a socket that only root reaches.

One order is one connection: a JSON object in one message, then any number of messages
`{"said": TEXT}` while it is carried out, and one at the end: `{"done": RESULT}`, or
`{"error": SENTENCE, "hint": HINT, "transport": true or false}`.
"""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from kernel_shim.mounted import bound_socket, near
from redbear_host.errors import ConfigError, RedbearError, TransportError
from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)

_ORDER_MOST: Final = 1 << 16  # bytes
_PATIENCE_S: Final = 1.0  # whoever connects has its order ready
_NONSENSE: Final = (ArithmeticError, LookupError, TypeError, ValueError)
_REPORT: Final = "it is a fault of redbear-host; see: redbear-host logs supervisor"
_UCRED: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid

Carry: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Carries an order out and returns its result; raises `RedbearError`."""


class Orders:
    """Listens, and hands each order on with what answers it."""

    def __init__(
        self, path: Path, loop: Loop, soon: Callable[[Callable[[], object]], object], carry: Carry
    ) -> None:
        """Listen at `path`; `soon` calls back when there is time for an order."""
        self._path: Final = path
        self._loop: Final = loop
        self._soon: Final = soon
        self._carry: Final = carry
        self._listener: Final = bound_socket(path, 0o600)
        loop.watch(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Take no more orders."""
        self._loop.unwatch(self._listener.fileno())
        self._path.unlink(missing_ok=True)
        self._listener.close()

    def _accept(self) -> None:
        try:
            caller, _ = self._listener.accept()
        except OSError as error:  # it has gone again, or we are out of descriptors
            log.warning("an order was lost: %s", error.strerror)
            return
        raw = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        if _UCRED.unpack(raw)[1] not in (0, os.geteuid()):
            caller.close()
            return
        self._soon(lambda: self._serve(caller))

    def _serve(self, caller: socket.socket) -> None:
        with caller:
            caller.settimeout(_PATIENCE_S)
            try:
                order = json.loads(caller.recv(_ORDER_MOST))
            except (OSError, ValueError, RecursionError) as error:
                log.warning("an order cannot be read: %s", error)
                return
            log.info("is asked: %.200s", order)
            with suppress(OSError):  # it does not wait for the answer
                caller.sendall(json.dumps(self._answer(order, caller)).encode())

    def _answer(self, order: Any, caller: socket.socket) -> dict[str, Any]:
        try:
            if not isinstance(order, dict):
                raise ConfigError("an order is a JSON object")
            with redirect_stderr(_Teller(caller)):
                return {"done": self._carry(order)}
        except _NONSENSE as error:
            # It is a fault of ours, and must not cost everyone else the whole instance.
            log.exception("an order could not be carried out")
            return {"error": f"this cannot be done: {error!r}", "hint": _REPORT, "transport": True}
        except (OSError, RedbearError) as error:
            log.warning("%s", error)
            hint = error.hint if isinstance(error, ConfigError | TransportError) else ""
            fault = not isinstance(error, ConfigError)
            return {"error": str(error), "hint": hint, "transport": fault}


def ask(
    path: Path, order: Mapping[str, Any], within: float, say: Callable[[str], object]
) -> dict[str, Any]:
    """Give an order to the instance that listens at `path`; return its result.

    `say` is called with what it tells meanwhile.  `ConfigError` and `TransportError` as there, and
    `TransportError` if it does not answer for `within` seconds.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line, near(path) as address:
        line.settimeout(within)
        try:
            line.connect(address)
            line.sendall(json.dumps(order).encode())
            while True:
                said = json.loads(line.recv(_ORDER_MOST) or b"{}")
                if "said" not in said:
                    break
                say(said["said"])
        except PermissionError as error:
            raise ConfigError(f"{path} may be used by root only", "run it with sudo") from error
        except (OSError, ValueError) as error:
            raise TransportError(
                f"redbear-host does not answer at {path}: {error}", "see: redbear-host status"
            ) from error
    if "done" in said:
        found: dict[str, Any] = said["done"]
        return found
    message, hint = said.get("error", "redbear-host ended before it was done"), said.get("hint", "")
    raise (TransportError if said.get("transport", True) else ConfigError)(message, hint)


class _Teller(io.TextIOBase):
    """A standard error whose other end is whoever has given the order."""

    encoding = "utf-8"

    def __init__(self, caller: socket.socket) -> None:
        super().__init__()
        self._caller: Final = caller

    def write(self, text: str) -> int:
        """Pass it on; one that has gone needs no news."""
        with suppress(OSError):
            self._caller.sendall(json.dumps({"said": text}).encode())
        return len(text)
