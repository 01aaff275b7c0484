"""The keyboard's and the mouse's story: reset, find the wheel, switch on, listen.

Ref: regs.py.  A device that takes no commands, as Linux's behind `serio`, is listened to as it is:
set 1 and packets of three bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from daemons.ps2d import regs
from daemons.ps2d.conversation import Command, Conversation
from daemons.ps2d.keyboard import Keys, Record
from daemons.ps2d.mouse import Packets

log = logging.getLogger(__name__)

KEYBOARD, MOUSE = 0, 1
Send: TypeAlias = Callable[[int, int], bool]  # port, byte; False where nobody takes it

_SELF_TEST_S: Final = 2.0
_SILENCE_MOST: Final = 3  # resets that one device gets in a row
_CALM_S: Final = 10.0
_IDLE_S: Final = 3600.0


class Driver:
    """Both devices; what they say goes to `tell`."""

    def __init__(
        self, send: Send, tell: Callable[[Sequence[Record]], object], scan_set: int
    ) -> None:
        self._tell: Final = tell
        self._set: Final = scan_set
        self._keys: Final = Keys(scan_set)
        self._packets: Final = Packets()
        self._talks: Final = tuple(Conversation(partial(send, port)) for port in (KEYBOARD, MOUSE))
        self._now = 0.0  # when it was last called
        self._rests = False
        self._resets: Final = [[0.0, 0], [0.0, 0]]  # of each: when it began, and how many since

    @property
    def deadline(self) -> float:
        """When to call `tick`."""
        return min(self._now + _IDLE_S, *(talk.deadline for talk in self._talks))

    def tick(self, now: float) -> None:
        """Look after devices that do not answer."""
        self._now = now
        for talk in self._talks:
            talk.tick(now)

    def start(self, now: float) -> None:
        """Reset both, whatever state they are in."""
        self._now = now
        self._say([*self._start_keyboard(now), *self._start_mouse(now)])

    def _start_keyboard(self, now: float) -> list[Record]:
        """Reset the keyboard, and let it tell its keys; return what was held until now."""
        if not self._may_reset(KEYBOARD, now):
            return []
        chosen = (Command(regs.CHOOSE_SET), Command(2)) if self._set == 2 else ()
        commands = (Command(regs.RESET, 1, _SELF_TEST_S), *chosen, Command(regs.ENABLE))
        self._talks[KEYBOARD].begin(commands, self._on_keyboard, now)
        return self._keys.release_all()

    def _on_keyboard(self, answer: list[int] | None) -> None:
        log.info("the keyboard %s", "takes no commands" if answer is None else "is on")

    def _start_mouse(self, now: float) -> list[Record]:
        """Reset the mouse, ask for a wheel; return what was held until now."""
        if not self._may_reset(MOUSE, now):
            return []
        self._packets.has_wheel = False
        rates = [Command(byte) for rate in regs.KNOCK for byte in (regs.SET_RATE, rate)]
        commands = (Command(regs.RESET, 2, _SELF_TEST_S), *rates, Command(regs.READ_TYPE, 1))
        self._talks[MOUSE].begin(commands, self._on_type, now)
        return self._packets.forget()

    def _on_type(self, answer: list[int] | None) -> None:
        if answer is None:
            log.info("the mouse takes no commands")
            return
        self._packets.has_wheel = answer == [regs.WHEEL_MOUSE]
        log.info("the mouse has %s wheel", "a" if self._packets.has_wheel else "no")
        commands = map(Command, (regs.SET_RATE, regs.USUAL_RATE, regs.ENABLE))
        self._talks[MOUSE].begin(commands, lambda answer: None, self._now)

    def _may_reset(self, port: int, now: float) -> bool:
        """Tell whether a device may be reset again; one that always asks for it is left alone."""
        began, count = self._resets[port]
        if now - began > _CALM_S:
            began, count = now, 0
        self._resets[port] = [began, count + 1]
        return count < _SILENCE_MOST

    def rest(self) -> None:
        """Tell nothing more: somebody else has the screen, and what is typed is for him."""
        self._say([*self._keys.release_all(), *self._packets.forget()])
        self._rests = True

    def resume(self) -> None:
        """Tell again what is typed."""
        self._rests = False

    def take(self, port: int, data: bytes, now: float) -> None:
        """Take what a device has sent."""
        self._now = now
        take = self._take_key if port == KEYBOARD else self._take_mouse
        out: list[Record] = []
        for byte in data:
            if not self._talks[port].take(byte, now):
                out += take(byte, now)
        self._say(out)

    def _take_key(self, byte: int, now: float) -> list[Record]:
        if byte == self._keys.is_plugged_in:
            return self._start_keyboard(now)
        return self._keys.take(byte)

    def _take_mouse(self, byte: int, now: float) -> list[Record]:
        found = self._packets.take(byte, now)
        if self._packets.is_newcomer:
            found += self._start_mouse(now)
        return found

    def _say(self, records: Sequence[Record]) -> None:
        if records and not self._rests:
            self._tell(records)
