"""QEMU's monitor: a small synchronous client with deadlines.

Ref: QEMU, docs/interop/qmp-spec (7.2).  One JSON object per line in both directions.
"""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from redbear_host.errors import TransportError

WITHIN_S: Final = 10.0


class QmpRefused(TransportError):
    """QEMU answered a command with an error; the message is its own."""


class Qmp:
    """A monitor connection; not for two threads at once."""

    def __init__(self, connection: socket.socket, within: float = WITHIN_S) -> None:
        """Take over the connection and leave its negotiation mode.

        `TransportError` if QEMU ends or stays silent for `within` seconds.
        """
        self._socket: Final = connection
        self._rest = b""
        self.events: Final[deque[dict[str, Any]]] = deque()
        deadline = time.monotonic() + within
        greeting = self._object(deadline)
        if "QMP" not in greeting:
            raise TransportError(f"this is not a QEMU monitor: it greets with {greeting!r}")
        self.execute("qmp_capabilities", within=deadline - time.monotonic())

    def execute(
        self, command: str, arguments: Mapping[str, Any] | None = None, within: float = WITHIN_S
    ) -> Any:
        """Run one command and return its result; events that arrive meanwhile are kept.

        `QmpRefused` with QEMU's words, `TransportError` when no answer comes in time.
        """
        deadline = time.monotonic() + within
        message: dict[str, Any] = {"execute": command}
        if arguments:
            message["arguments"] = dict(arguments)
        self._socket.settimeout(max(within, 0.001))
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise TransportError(f"QEMU's monitor does not listen: {error}") from error
        while True:
            answer = self._object(deadline)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise QmpRefused(f"QEMU refused {command}: {answer['error'].get('desc')}")
            if "event" in answer:
                self.events.append(answer)

    def hmp(self, line: str) -> str:
        """Run one line of the human monitor and return what it prints."""
        return str(self.execute("human-monitor-command", {"command-line": line}))

    def wait_event(self, name: str, within: float = WITHIN_S) -> dict[str, Any]:
        """Take the next event `name` out of those that came or come within `within` seconds."""
        deadline = time.monotonic() + within
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            answer = self._object(deadline)
            if "event" in answer:
                self.events.append(answer)

    def close(self) -> None:
        """Close the connection; QEMU runs on."""
        self._socket.close()

    def _object(self, deadline: float) -> dict[str, Any]:
        while b"\n" not in self._rest:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                more = self._socket.recv(65536)
            except TimeoutError as error:
                raise TransportError("QEMU's monitor has not answered in time") from error
            except OSError as error:
                raise TransportError(f"QEMU's monitor has gone: {error}") from error
            if not more:
                raise TransportError("QEMU has closed its monitor")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise TransportError(f"QEMU's monitor sent {line[:80]!r}, which is no object")
        return answer
