"""Screens behind schemes `display.*`: a client of their drivers, at the ring door."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Final

from orbital.outputs.display import Display
from orbital.window import nothing
from redbear_host.abi import flags as f
from redbear_host.abi.display import DisplayCount, Verb
from redbear_host.client import calls
from redbear_host.client.calls import Answer
from redbear_host.client.looped import Looped
from redbear_host.daemon import Daemon
from redbear_host.link import Link
from redbear_host.scheme.scheme import ROOT

log = logging.getLogger(__name__)

PREFIX: Final = "display."
_DISPLAYS_MOST: Final = 16  # of one card


class Card:
    """One scheme: its connection, and the displays behind it."""

    def __init__(self, name: str, vt: int, daemon: Daemon, rate: int) -> None:
        self.name: Final = name
        self.displays: list[Display] = []
        self.on_displays: Callable[[], object] = nothing
        """Called when `displays` is known, or has changed."""
        self.known = False  # whether it has ever answered
        self._vt: Final = vt
        self._loop: Final = daemon.loop
        self._rate: Final = rate
        self._link: Final = Link(name, daemon)
        self._link.on_open = self._on_open
        self._link.on_lost = self._on_lost
        self._link.start()

    def close(self) -> None:
        """Leave it alone."""
        for display in self.displays:
            display.close()
        self._link.close()

    def _on_lost(self) -> None:
        for display in self.displays:
            display.detach()

    def _on_open(self, connection: Looped) -> None:
        path = f"v2/{self._vt}".encode()

        def opened(answer: Answer | OSError) -> None:
            if isinstance(answer, OSError):
                log.error("%s cannot be used: %s", self.name, answer)
                self._settle()
                return
            self._ask_count(connection, answer.handle)

        connection.perform(calls.openat(ROOT, path, f.O_RDWR), opened)

    def _ask_count(self, connection: Looped, handle: int) -> None:
        def counted(answer: tuple[int, bytes] | OSError) -> None:
            if isinstance(answer, OSError):
                log.error("%s does not say how many displays it has: %s", self.name, answer)
                self._settle()
                return
            count = min(DisplayCount.load(answer[1]).count, _DISPLAYS_MOST)
            self._attach(connection, handle, count)

        asked = bytes(DisplayCount.size)
        verb = (Verb.DISPLAY_COUNT,)
        connection.perform(calls.call(handle, asked, len(asked), verb), counted)

    def _attach(self, connection: Looped, handle: int, count: int) -> None:
        for number in range(len(self.displays), count):
            name = f"{self.name}:{number}" if count > 1 else self.name
            display = Display(name, number, self._loop, self._rate)
            display.on_known = self._settle
            self.displays.append(display)
        for display in self.displays:
            display.attach(connection, handle)

        def changed(_: int) -> None:
            for display in self.displays:
                display.look()

        connection.subscribe(handle, f.EVENT_READ, changed)
        connection.perform(calls.fevent(handle, f.EVENT_READ), lambda answer: None)

    def _settle(self) -> None:
        """Tell, once all displays have said what they are, and again when one comes or goes."""
        if all(display.known for display in self.displays):
            self.known = True
            self.on_displays()


class DisplaySource:
    """All schemes `display.*` that are served, in the order of their names."""

    def __init__(self, names: Collection[str], vt: int, daemon: Daemon, rate: int) -> None:
        self.on_outputs: Callable[[], object] = nothing
        self._vt: Final = vt
        self._daemon: Final = daemon
        self._rate: Final = rate
        self._cards: Final[dict[str, Card]] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Hear that a scheme is served."""
        if name not in self._cards:
            card = self._cards[name] = Card(name, self._vt, self._daemon, self._rate)
            card.on_displays = self._on_displays

    def remove(self, name: str) -> None:
        """Hear that it is served no more."""
        card = self._cards.pop(name, None)
        if card is not None:
            card.close()
            self._on_displays()

    @property
    def settled(self) -> bool:
        """Whether all of them have said what they are."""
        return all(card.known for card in self._cards.values())

    @property
    def outputs(self) -> list[Display]:
        """The displays that have a monitor."""
        cards = (self._cards[name] for name in sorted(self._cards))
        return [one for card in cards for one in card.displays if all(one.size)]

    def _on_displays(self) -> None:
        self.on_outputs()

    def close(self) -> None:
        """Leave them alone."""
        for card in self._cards.values():
            card.close()
        self._cards.clear()
