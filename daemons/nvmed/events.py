"""Asynchronous events (5.2): the controller's way to say something nobody asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from daemons.nvmed.identify import Identity
from daemons.nvmed.inquiry import MOST_LOG, Inquiry
from daemons.nvmed.queues import Answer
from daemons.nvmed.regs import (
    SQE,
    AdminOpcode,
    AsyncConfig,
    AsyncEvent,
    AsyncEventType,
    CriticalWarning,
    Feature,
    LogPage,
    SmartLog,
)
from daemons.nvmed.status import describe, errno_of

_log = logging.getLogger(__name__)

# The warnings of revision 1.0, which every controller can report.
_WARNINGS: Final = CriticalWarning(
    SPARE=True, TEMPERATURE=True, RELIABILITY=True, READ_ONLY=True, BACKUP_FAILED=True
)


class Events:
    """Keeps one Asynchronous Event Request at the controller and reports what it brings.

    Each event ends the request.  Its log page is then read, which lets the controller report the
    next one, and the request is issued again at the next `arm`: a controller that has events
    without end costs one command per tick.
    """

    def __init__(
        self,
        submit: Callable[[SQE, Callable[[Answer], None]], None],
        inquiry: Inquiry,
        identity: Identity,
        address: str,
    ) -> None:
        self._submit: Final = submit
        self._inquiry: Final = inquiry
        self._identity: Final = identity
        self._address: Final = address
        self._armed = False
        self.seen = 0
        self.on_event: Callable[[AsyncEvent], None] = lambda event: None

    def begin(self) -> None:
        """Choose which events to hear of, after the controller was enabled."""
        self._armed = False
        offered = self._identity.events
        config = AsyncConfig(SMART=_WARNINGS.raw, NAN=offered.NAN, FAN=offered.FAN)
        self._inquiry.set_feature(
            Feature.ASYNCHRONOUS_EVENT_CONFIGURATION, config.raw, self._configured
        )

    def arm(self) -> None:
        """Issue the request unless one is waiting."""
        if not self._armed:
            self._armed = True
            self._submit(SQE(OPC=AdminOpcode.ASYNCHRONOUS_EVENT_REQUEST), self._happened)

    def _configured(self, errno: int, value: int) -> None:
        if errno:
            _log.warning("%s: cannot choose asynchronous events (errno %d)", self._address, errno)

    def _happened(self, answer: Answer) -> None:
        if answer.status is None:  # the controller was reset; `begin` starts over
            return
        if errno_of(answer.status):
            # Left armed: a controller that refuses once refuses again.
            _log.warning("%s: no asynchronous events: %s", self._address, describe(answer.status))
            return
        self.seen += 1
        event = AsyncEvent.of(answer.result)
        _log.warning("%s: %r", self._address, event)
        self.on_event(event)
        if event.AET is AsyncEventType.SMART_HEALTH:
            self._inquiry.smart(self._health)
        elif event.LID in (LogPage.ERROR_INFORMATION, LogPage.FIRMWARE_SLOT):
            self._inquiry.log(event.LID, SmartLog.size, self._cleared)
        elif event.LID == LogPage.CHANGED_NAMESPACES:
            self._inquiry.log(event.LID, MOST_LOG, self._cleared)
        else:
            self._armed = False

    def _health(self, errno: int, smart: SmartLog) -> None:
        if not errno:
            warning = CriticalWarning.of(smart.CRITICAL_WARNING)
            _log.warning(
                "%s: %r, %d K, %d %% spare, %d %% used",
                self._address,
                warning,
                smart.COMPOSITE_TEMPERATURE,
                smart.AVAILABLE_SPARE,
                smart.PERCENTAGE_USED,
            )
        self._armed = False

    def _cleared(self, errno: int, raw: bytes) -> None:
        self._armed = False
