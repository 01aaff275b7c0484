"""All adapters: those that appear are begun, those that vanish are closed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Final

from daemons.dhcpd.adapter import Adapter, Room
from daemons.dhcpd.command import Command, Verb
from daemons.dhcpd.held import Ended, Held
from daemons.dhcpd.memory import Memory
from daemons.dhcpd.netcfg import Netcfg
from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.profiles.setting import Setting
from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)


class Adapters:
    """The adapters of `netcfg`, by their names.

    smolnetd's end ends both connections we hold, and with it us (`stop` of the loop): the shim
    starts us again, and we connect to its successor.
    """

    def __init__(
        self,
        loop: Loop,
        memory: Memory,
        settings: Mapping[str, Setting] | str,
        *,
        auto: bool,
        hostname: str,
    ) -> None:
        """Start nothing yet; `settings` is a sentence where the user's files make no sense."""
        self.found: Final[dict[str, Adapter]] = {}
        self._loop: Final = loop
        self._settings: Final = settings
        self._auto: Final = auto
        self._events: Final = client.EventQueue()
        self._netcfg: Final = Netcfg()
        self._room: Final = Room(
            loop=loop,
            netcfg=self._netcfg,
            udp=Held("udp"),
            events=self._events,
            memory=memory,
            random=Random(),  # its seed is Linux's, and to be had before we are locked in only
            hostname=hostname,
            guard=self._guarded,
        )
        self.lost = False

    def start(self) -> None:
        """Begin with the adapters there are; those to come are heard of."""
        self._guarded(self._listen)
        self._loop.watch(self._events.fileno(), self._on_events)
        self._guarded(self._look)

    def _listen(self) -> None:
        with self._netcfg.held.calls():
            self._events.subscribe(self._netcfg.folder, f.EVENT_READ, self._look)

    def release(self) -> None:
        """Give all addresses back, since the instance ends."""
        for adapter in self.found.values():
            if not self.lost:
                self._guarded(adapter.release)

    def close(self) -> None:
        """Stop listening."""
        self._loop.unwatch(self._events.fileno())
        self._events.close()

    def run(self, name: str, command: Command) -> None:
        """Do a command."""
        adapter = self.found[name]
        match command.verb:
            case Verb.START:
                self._guarded(partial(adapter.start, command.why, command.nameservers))
            case Verb.STOP:
                self._guarded(partial(adapter.stop, command.why))
            case Verb.RENEW:
                self._guarded(adapter.renew)

    def _on_events(self) -> None:
        self._guarded(self._drain)

    def _drain(self) -> None:
        while (event := self._events.next_event(0)) is not None:
            event.user_data()

    def _look(self) -> None:
        """See which adapters there are."""
        there = self._netcfg.macs()
        for name, adapter in list(self.found.items()):
            if there.get(name) != adapter.mac:
                log.info("%s is gone", name)
                adapter.close()
                del self.found[name]
        for name, mac in there.items():
            if name not in self.found:
                self._begin(name, mac)

    def _begin(self, name: str, mac: bytes) -> None:
        adapter = Adapter(name, mac, self._room)
        self.found[name] = adapter
        files = self._settings
        adapter.begin(files if isinstance(files, str) else files.get(name), self._auto)

    def _guarded(self, act: Callable[[], object]) -> None:
        """Do something with the schemes we hold; without them there is nothing left for us."""
        try:
            act()
        except Ended as error:
            log.warning("%s: so do we, and begin anew", error)
            self.lost = True
            self._loop.stop()
