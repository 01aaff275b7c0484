"""The screens of the cards the shim has handed over: each connector with a monitor is one.

Monitors that are plugged in or out, and terminals that are switched, are heard of here.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Final

from orbital.drm.card import Card
from orbital.drm.resources import Connector, Plane, PlaneKind
from orbital.output import Output
from orbital.outputs.kms import KmsOutput
from orbital.outputs.pipe import Parts
from redbear_host.daemon import SeatGrant
from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)

_KOBJECT_UEVENT: Final = 15  # NETLINK_KOBJECT_UEVENT of linux/netlink.h
_KERNEL: Final = 1  # the group that Linux itself sends to
_MESSAGE_MOST: Final = 8192
_SETTLE_S: Final = 0.1  # a cable that is plugged in says so more than once


class CardSource:
    """All screens of the cards; a `Source`."""

    def __init__(
        self, seat: SeatGrant, loop: Loop, say: Callable[[Mapping[str, Any]], object]
    ) -> None:
        """Light what is plugged in; before the daemon is locked in, since it makes a socket."""
        self.on_outputs: Callable[[], object] = lambda: None
        self._loop: Final = loop
        self._say: Final = say
        self._active = seat.active
        self._has_terminal: Final = seat.vt != 0
        self._stations: Final = [Station(fd, name, loop) for name, fd in seat.cards.items()]
        self._due = False  # connectors will be looked at
        self._uevents: Final = _listen()
        loop.watch(self._uevents.fileno(), self._on_uevent)
        for station in self._stations:
            loop.watch(station.card.fd, station.on_events)
            station.look(self._active)

    @property
    def outputs(self) -> list[Output]:
        """The screens, card by card."""
        return [output for station in self._stations for output in station.outputs]

    def on_told(self, message: Mapping[str, Any]) -> None:
        """Hear {"seat": …} from the shim."""
        word = message.get("seat")
        if word == "release":
            self._active = False
            for station in self._stations:
                station.release()
            self._say({"seat": "released"})
        elif word == "acquired":
            self._active = True
            for station in self._stations:
                station.acquire()
            self._look()  # what was plugged meanwhile

    def switch_to(self, terminal: int) -> bool:
        """Ask for another virtual terminal, as Ctrl+Alt+F1 does; false where there are none."""
        if self._has_terminal:
            self._say({"seat": "switch", "vt": terminal})
        return self._has_terminal

    def close(self) -> None:
        """Let all screens be dark."""
        self._loop.unwatch(self._uevents.fileno())
        self._uevents.close()
        for station in self._stations:
            self._loop.unwatch(station.card.fd)
            station.close()

    def _on_uevent(self) -> None:
        """Look at connectors a moment after something has changed."""
        try:
            data, _, _, sender = self._uevents.recvmsg(_MESSAGE_MOST)
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # lost: look anyway
                raise
            data, sender = b"SUBSYSTEM=drm", (0, 0)
        if sender[0] == 0 and b"SUBSYSTEM=drm" in data.split(b"\0") and not self._due:
            self._due = True
            self._loop.at(self._loop.now() + _SETTLE_S, self._look)

    def _look(self) -> None:
        self._due = False
        before = self.outputs
        for station in self._stations:
            station.look(self._active)
        if self.outputs != before:
            self.on_outputs()


def _listen() -> socket.socket:
    """Hear what Linux says of devices; programs cannot speak to that group."""
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    listener = socket.socket(socket.AF_NETLINK, kind, _KOBJECT_UEVENT)
    listener.bind((0, _KERNEL))
    return listener


class Station:
    """One card, and the outputs of its connectors."""

    def __init__(self, fd: int, name: str, loop: Loop) -> None:
        self.card: Final = Card(fd, name)
        self._loop: Final = loop
        self._resources: Final = self.card.resources()
        self._planes: Final = self.card.planes() if self.card.universal else []
        self._lit: Final[dict[int, KmsOutput]] = {}  # by connector

    @property
    def outputs(self) -> list[KmsOutput]:
        """Those that are there, in the order of the card's connectors."""
        return [self._lit[number] for number in self._resources.connectors if number in self._lit]

    def look(self, active: bool) -> None:
        """Follow what is plugged in now."""
        try:
            connectors = [self.card.connector(number) for number in self._resources.connectors]
        except OSError as error:  # the card has left
            log.warning("%s: %s", self.card.name, error)
            connectors = []
        there = {one.id: one for one in connectors if one.connected and one.modes}
        for number in [number for number in self._lit if number not in there]:
            log.info("%s has gone", self._lit[number].name)
            self._lit.pop(number).close()
        for number, connector in there.items():
            if number in self._lit:
                self._lit[number].plug(connector)
            else:
                self._add(connector, active)

    def _add(self, connector: Connector, active: bool) -> None:
        taken = {output.parts.crtc for output in self._lit.values()}
        for index, crtc in enumerate(self._resources.crtcs):
            if crtc not in taken and connector.crtcs >> index & 1:
                break
        else:
            log.warning("%s-%s: no CRTC is left", self.card.name, connector.name)
            return
        parts, has_cursor = self._parts(index, crtc, connector)
        try:
            output = KmsOutput(self.card, parts, connector, has_cursor, self._loop)
        except OSError as error:
            log.warning("%s-%s stays dark: %s", self.card.name, connector.name, error)
            return
        if not active:
            output.release()
        self._lit[connector.id] = output
        log.info("%s: %d by %d, by %s", output.name, *output.size, self.card.driver)

    def _parts(self, index: int, crtc: int, connector: Connector) -> tuple[Parts, bool]:
        """Choose planes for a CRTC: those that only it can have come first."""
        used = {plane.id for output in self._lit.values() for plane in _planes_of(output.parts)}
        mine = [p for p in self._planes if p.crtcs >> index & 1 and p.id not in used]
        mine.sort(key=lambda plane: plane.crtcs.bit_count())
        primary = next((plane for plane in mine if plane.kind is PlaneKind.PRIMARY), None)
        cursor = next((plane for plane in mine if plane.kind is PlaneKind.CURSOR), None)
        overlays = [plane for plane in mine if plane.kind is PlaneKind.OVERLAY]
        zpos = None if cursor is None else cursor.properties.get("zpos")
        height = None if zpos is None else zpos.value
        return Parts(crtc, connector.id, primary, overlays, height), cursor is not None

    def on_events(self) -> None:
        """Tell outputs whose pictures are on the screen."""
        flips: list[int] = []
        with suppress(OSError):  # the card has left: the next look sees it
            flips = self.card.read_flips()
        for crtc in flips:
            for output in self._lit.values():
                if output.parts.crtc == crtc:
                    output.flipped()

    def release(self) -> None:
        """Let go of all screens."""
        for output in self._lit.values():
            output.release()

    def acquire(self) -> None:
        """Have them again."""
        for output in self._lit.values():
            output.acquire()

    def close(self) -> None:
        """Let them be dark, and close the card: Linux's console follows."""
        for output in self._lit.values():
            output.close()
        self._lit.clear()
        os.close(self.card.fd)


def _planes_of(parts: Parts) -> Collection[Plane]:
    return parts.overlays if parts.primary is None else (parts.primary, *parts.overlays)
