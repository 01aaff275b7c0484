"""One adapter: its client, the wire that speaks for it, and how it came to be as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address
from random import Random
from typing import Final, NamedTuple

from daemons.dhcpd.choice import Act, Choice, choose
from daemons.dhcpd.held import Held
from daemons.dhcpd.lease import Lease
from daemons.dhcpd.machine import Machine, Outcome, State
from daemons.dhcpd.memory import Memory, Remembered, Wish
from daemons.dhcpd.netcfg import Netcfg
from daemons.dhcpd.wire import Wire
from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.profiles.setting import Address, Setting, writes
from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)


class Room(NamedTuple):
    """What all adapters share."""

    loop: Loop
    netcfg: Netcfg
    udp: Held
    events: client.EventQueue
    memory: Memory
    random: Random
    hostname: str
    guard: Callable[[Callable[[], object]], None]  # runs what uses the schemes


class Adapter:
    """The client of one adapter of netcfg; `daemons.dhcpd.machine.Host` for its machine."""

    def __init__(self, name: str, mac: bytes, room: Room) -> None:
        self.name: Final = name
        self.mac: Final = mac
        self._room: Final = room
        self._loop: Final = room.loop
        self._netcfg: Final = room.netcfg
        self._memory: Final = room.memory
        self._wire: Final = Wire(name, room.udp, room.events)
        self._wire.on_message = self._on_message
        self._machine: Final = Machine(self, mac, room.random, room.hostname)
        self._timer = self._loop.at(0.0, lambda: None)
        self._choice = Choice(Act.LEAVE, "")
        self._nameservers: tuple[Address, ...] = ()  # in place of the server's
        self._link: Final = self._netcfg.open_link(name)
        with self._netcfg.held.calls():
            room.events.subscribe(self._link, f.EVENT_READ, self._on_link)
        self._is_up = self._netcfg.is_up(self._link)

    # -- commands ----------------------------------------------------------------------------------

    def begin(self, setting: Setting | str | None, auto: bool) -> None:
        """Do what the user's files, an earlier life or nobody says."""
        known = self._memory.get(self.name, self.mac)
        self._nameservers = known.nameservers
        self._choice = choose(known, self._netcfg.addresses(self.name), setting, auto)
        log.info("%s: %s", self.name, " ".join(filter(None, self._choice)))
        if self._choice.act is Act.DHCP:
            if known.lease is None and isinstance(setting, Setting):
                self._nameservers = setting.nameservers
            self._start(known.lease)
        elif self._choice.act is Act.STATIC and isinstance(setting, Setting):
            self._apply(setting)

    def start(self, why: str, nameservers: tuple[Address, ...] = ()) -> None:
        """Ask for an address, also where files say otherwise; nothing new where we do already."""
        self._choice = Choice(Act.DHCP, why or "started")
        had, self._nameservers = self._nameservers, nameservers
        lease = self._machine.lease
        if lease is not None and had != nameservers:
            self._netcfg.use(self.name, lease, None, nameservers)
        self._remember(Wish.START, lease)
        if self._machine.state is State.STOPPED:
            self._start(None)

    def stop(self, why: str) -> None:
        """Give the address back, and ask for none until `start`."""
        self._choice = Choice(Act.LEAVE, why or "stopped")
        self._remember(Wish.STOP, None)
        self._machine.stop(self._loop.now())
        self._after()

    def renew(self) -> None:
        """Ask the server now."""
        if self._machine.state is State.STOPPED:
            self.start("")
        else:
            self._machine.renew(self._loop.now())
            self._after()

    def release(self) -> None:
        """Give the address back, since the instance ends."""
        self._machine.stop(self._loop.now())
        self.close()

    def close(self) -> None:
        """Be silent, since the adapter is gone, or we are; what it had is remembered."""
        self._timer.cancel()
        self._wire.close()
        self._room.events.unsubscribe(self._link)
        self._link.close()

    # -- what the machine wants --------------------------------------------------------------------

    def send(self, data: bytes, server: IPv4Address | None, /) -> None:
        """Send a message."""
        self._wire.send(data, server)

    def configure(self, lease: Lease, before: Lease | None, /) -> Outcome:
        """Use a lease."""
        if lease.same_settings(before):
            return Outcome.USED
        # First: a successor takes an address that nobody remembers for the user's own.
        self._remember_lease(lease)
        outcome = self._netcfg.use(self.name, lease, before, self._nameservers)
        if outcome is not Outcome.USED:
            self._remember_lease(before)
        else:
            log.info(
                "%s: %s/%d from %s for %.0f s", self.name, lease.address, lease.prefix,
                lease.server, lease.ends_at - self._loop.now(),
            )  # fmt: skip
        return outcome

    def remove(self, lease: Lease, /) -> None:
        """Use it no longer."""
        self._netcfg.drop(self.name, lease)

    # -- the way it goes ---------------------------------------------------------------------------

    def _start(self, lease: Lease | None) -> None:
        now = self._loop.now()
        if lease is not None and lease.ends_at <= now:
            self.remove(lease)  # it ended while nobody looked
        self._machine.start(now, lease)
        self._after()

    def _apply(self, setting: Setting) -> None:
        try:
            self._netcfg.apply(writes(self.name, setting))
        except OSError as error:
            log.error("%s does not take what %s says: %s", self.name, setting.source, error)
            self._choice = Choice(Act.LEAVE, f"{setting.source}: {error.strerror}")

    def _on_message(self, data: bytes) -> None:
        self._machine.on_message(data, self._loop.now())
        self._after()

    def _on_link(self) -> None:
        was, self._is_up = self._is_up, self._netcfg.is_up(self._link)
        if self._is_up and not was:
            log.info("%s: the wire is there again", self.name)
            self._machine.reconnect(self._loop.now())
            self._after()

    def _tick(self) -> None:
        self._machine.tick(self._loop.now())
        self._after()

    def _after(self) -> None:
        """Set the timer, and remember the lease."""
        machine = self._machine
        self._timer.cancel()
        if machine.deadline != float("inf"):
            self._timer = self._loop.at(machine.deadline, partial(self._room.guard, self._tick))
        if machine.state is State.BOUND:
            self._wire.close()  # what comes now is nobody's answer
        if machine.lease is not None or machine.state is State.SELECTING:
            self._remember_lease(machine.lease)

    def _remember_lease(self, lease: Lease | None) -> None:
        self._remember(self._memory.get(self.name, self.mac).wish, lease)

    def _remember(self, wish: Wish, lease: Lease | None) -> None:
        why, nameservers = self._choice.why, self._nameservers
        self._memory.put(self.name, Remembered(self.mac, wish, why, nameservers, lease))

    # -- what is shown -----------------------------------------------------------------------------

    def status(self) -> str:
        """Return `key=value` lines; times are seconds from now."""
        machine, lease = self._machine, self._machine.lease
        lines = [
            f"how={self._choice.act}",
            f"why={self._choice.why}",
            f"state={machine.state}",
            f"link={'up' if self._is_up else 'down'}",
        ]
        if lease is not None:
            now = self._loop.now()
            lines += [
                f"address={lease.address}/{lease.prefix}",
                f"server={lease.server}",
                *(f"route={route.target} via {route.gateway}" for route in lease.routes),
                f"dns={' '.join(map(str, lease.nameservers))}",
                f"domain={lease.domain}",
                f"mtu={lease.mtu or ''}",
                f"broadcast={lease.broadcast or ''}",
                f"renew_in={lease.renew_at - now:.0f}",
                f"rebind_in={lease.rebind_at - now:.0f}",
                f"ends_in={lease.ends_at - now:.0f}",
            ]
        return "\n".join(lines) + "\n"
