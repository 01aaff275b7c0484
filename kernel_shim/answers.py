"""What the kernel's schemes may ask of the supervisor; each question holds its `id`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kernel_shim.service import Running
from kernel_shim.supervisor import Supervisor

log = logging.getLogger(__name__)


class Answers:
    """Answers for one supervisor; making it is enough."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor: Final = supervisor
        self._questions: Final = {"kstop": self._kstop}
        supervisor.on_ask = self._on_ask

    def _on_ask(self, running: Running, said: dict[str, Any]) -> None:
        for name, handler in self._questions.items():
            if name in said:
                answer, fds = handler(said)
                running.tell({**answer, "answer": said["id"]}, fds)
                return
        log.error("the kernel daemon asks what nobody answers: %.100s", said)

    def _kstop(self, said: dict[str, Any]) -> tuple[Mapping[str, Any], Sequence[int]]:
        """Take everything down, as `redbear-host down` does."""
        log.info("stopped by /scheme/sys/kstop: %s", said["kstop"])
        self._supervisor.loop.stop()
        return {}, ()
