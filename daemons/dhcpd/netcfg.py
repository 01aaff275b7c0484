"""The scheme `netcfg`, as its client: what adapters there are, and how they are set up.

Paths have no leading slash; names are Redox's.  What goes wrong is an `OSError`, or `Ended`.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from daemons.dhcpd.held import Held
from daemons.dhcpd.lease import Lease, Route
from daemons.dhcpd.machine import Outcome
from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.profiles.setting import Address, Write, is_adapter, is_ipv4, nameserver_writes

log = logging.getLogger(__name__)

_TEXT_MOST: Final = 4096  # bytes
_TAKEN: Final = (errno.EEXIST, errno.EADDRINUSE)


class Netcfg:
    """`netcfg:…`, through the connection this process holds."""

    def __init__(self) -> None:
        self.held: Final = Held("netcfg")
        with self.held.calls():
            # Held, so that whoever subscribes to it hears of those that come and go.
            self.folder: Final = self.held.open("ifaces", f.O_DIRECTORY)

    def macs(self) -> dict[str, bytes]:
        """Name the adapters, each with its hardware address."""
        with self.held.calls():
            names = sorted(entry.name for entry in self.folder.getdents() if is_adapter(entry.name))
        found = {}
        for name in names:
            try:
                found[name] = self._mac(name)
            except (OSError, ValueError) as error:  # it has just left
                log.info("%s has no address: %s", name, error)
        return found

    def _mac(self, adapter: str) -> bytes:
        text = self.read(f"ifaces/{adapter}/mac").strip()
        mac = bytes.fromhex(text.replace("-", "").replace(":", ""))
        if len(mac) != 6:
            raise ValueError(f"{text!r} is no hardware address")
        return mac

    def addresses(self, adapter: str) -> list[str]:
        """Return an adapter's IPv4 addresses, as `10.0.0.2/24`; IPv6's come by themselves."""
        lines = self.read(f"ifaces/{adapter}/addr/list").split("\n")
        return [line for line in map(str.strip, lines) if is_ipv4(line)]

    def read(self, path: str) -> str:
        """Read a value."""
        with self.held.calls(), self.held.open(path, f.O_RDONLY) as file:
            return file.read(_TEXT_MOST).decode(errors="replace")

    def write(self, path: str, value: str) -> None:
        """Write a value, and hear whether it was taken."""
        with self.held.calls(), self.held.open(path, f.O_WRONLY) as file:
            file.write(f"{value}\n".encode())
            file.fsync()

    def open_link(self, adapter: str) -> client.Fd:
        """Open the file that says whether the wire is there, and tells when that changes."""
        with self.held.calls():
            return self.held.open(f"ifaces/{adapter}/link", f.O_RDONLY)

    def is_up(self, link: client.Fd) -> bool:
        """Read that file."""
        with self.held.calls():
            link.lseek(0)
            return link.read(_TEXT_MOST).strip() == b"up"

    # -- leases and settings -----------------------------------------------------------------------

    def use(
        self,
        adapter: str,
        lease: Lease,
        before: Lease | None,
        nameservers: tuple[Address, ...],
    ) -> Outcome:
        """Set an adapter up with a lease, in place of the one before; what is so already stays."""
        address = f"{lease.address}/{lease.prefix}"
        try:
            if self.addresses(adapter) != [address]:
                self.write(f"ifaces/{adapter}/addr/set", address)
            if before is not None:
                gone = [route for route in before.routes if route not in lease.routes]
                self._remove_routes(adapter, gone)
            for route in lease.routes:
                self._add_route(adapter, route)
            self._write_all(nameserver_writes(nameservers or lease.nameservers))
        except OSError as error:
            log.error("%s does not take %s: %s", adapter, address, error.strerror)
            return Outcome.TAKEN if error.errno in _TAKEN else Outcome.FAILED
        return Outcome.USED

    def drop(self, adapter: str, lease: Lease) -> None:
        """Take a lease's routes and its address away."""
        self._remove_routes(adapter, lease.routes)
        try:
            self.write(f"ifaces/{adapter}/addr/rm", f"{lease.address}/{lease.prefix}")
        except OSError as error:
            log.info("%s has no %s to take away: %s", adapter, lease.address, error.strerror)

    def apply(self, found: Iterable[Write]) -> None:
        """Write what a setting says; `OSError` names the file that did not take it."""
        self._write_all(found)

    def _write_all(self, found: Iterable[Write]) -> None:
        for path, value in found:
            try:
                self.write(path, value)
            except FileExistsError:
                log.info("%s: %s is there already", path, value)

    def _add_route(self, adapter: str, route: Route) -> None:
        via = "" if route.gateway.is_unspecified else f"via {route.gateway} "
        try:
            self.write("route/add", f"{_target(route)} {via}dev {adapter}")
        except FileExistsError:
            pass  # it is there from an earlier life
        except OSError as error:
            # One of many that makes no sense here does not cost us the others, nor the address.
            log.warning("no route to %s: %s", _target(route), error.strerror)

    def _remove_routes(self, adapter: str, routes: Sequence[Route]) -> None:
        """Remove those that are this adapter's: a route is removed by its target alone."""
        try:
            lines = [line.split() for line in self.read("route/list").splitlines()]
            there = {words[0] for words in lines if words and _device(words) == adapter}
            for route in routes:
                if _target(route) in there:
                    self.write("route/rm", _target(route))
        except OSError as error:
            log.info("a route of %s is not taken away: %s", adapter, error.strerror)


def _target(route: Route) -> str:
    return "default" if route.target.prefixlen == 0 else str(route.target)


def _device(words: Sequence[str]) -> str:
    """Return the adapter of a line of route/list; empty where it names none."""
    at = words.index("dev") + 1 if "dev" in words else len(words)
    return words[at] if at < len(words) else ""
