"""Linux's TCP/IP as the stack, in a network namespace of this daemon and its successors alone.

What Linux keeps there (addresses, routes, neighbours, and the interfaces, whose TAPs the shim and
the drivers hold) outlives the daemon, as the shim holds the namespace.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from daemons.smolnetd import rtnetlink as rt
from daemons.smolnetd.addresses import ANY, LENGTHS, Cidr
from daemons.smolnetd.stack import Adapter, Route
from daemons.smolnetd.taps import Taps
from redbear_host import linux

log = logging.getLogger(__name__)

_SETTINGS: Final = {
    "ipv4/ip_local_port_range": "49152 65535",  # Redox's ephemeral ports
    "ipv4/ping_group_range": "0 2147483647",  # sockets for echo without a raw one; ours alone
    "ipv4/conf/all/rp_filter": "0",  # an answer may come before there is an address: DHCP
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/conf/all/promote_secondaries": "1",  # an address may go before the next one of its net
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/bindv6only": "1",  # a listener has one family
    "ipv4/tcp_syn_retries": "5",
}
_SCOPE_LINK_V6: Final = rt.SCOPE_LINK


def enter(kept: int | None) -> int:
    """Move to a predecessor's network namespace, or to a new one; return its descriptor."""
    if kept is not None:
        linux.setns(kept, linux.CLONE_NEWNET)
        return kept
    linux.unshare(linux.CLONE_NEWNET)
    for name, value in _SETTINGS.items():
        path = Path("/proc/sys/net", name)
        if not path.parent.is_dir():
            continue  # Linux was started without IPv6
        try:
            path.write_text(value)
        except OSError as error:  # a container may not let us
            log.warning("%s stays as it is: %s", path, error.strerror)
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class LinuxStack:
    """See `daemons.smolnetd.stack.Stack`; to be made inside of the namespace."""

    def __init__(self, most: int, join: Callable[[str, int, str | None], None]) -> None:
        """Have room for `most` adapters more; `join(scheme, tap, mac)` hands a wire to its driver.

        A `tap` of -1 means the one that is there already.
        """
        self.on_change: Callable[[], object] = lambda: None
        self._netlink: Final = rt.Rtnetlink()
        self._monitor: Final = rt.Monitor()
        self._taps: Final = Taps(most)
        self._join: Final = join
        self._set_link(self._index_of("lo"), up=True)

    def fileno(self) -> int:
        """Return what is readable when something has changed: then call `on_readable`."""
        return self._monitor.fileno()

    def on_readable(self) -> None:
        """Look at what has changed."""
        if self._monitor.drain():
            self.on_change()

    def close(self) -> None:
        """Let everything go but what the namespace keeps."""
        self._netlink.close()
        self._monitor.close()
        self._taps.close()

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Make a socket that does not block."""
        return socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)

    # -- adapters ----------------------------------------------------------------------------------

    def attach(self, scheme: str, facts: dict[str, Any]) -> None:
        """Have an interface for a scheme, as its driver says it is: `mac`, `mtu`."""
        adapter = self._of_scheme(scheme)
        mac = bytes.fromhex(facts["mac"].replace(":", "")) if "mac" in facts else b""
        if adapter is None:
            made = self._taps.make()
            if made is None:
                log.error(
                    "there is no room for the adapter of %s; see the option `adapters`", scheme
                )
                return
            tap, name = made
            try:
                index = self._index_of(name)
                changes = {rt.IFLA_IFALIAS: scheme.encode()}
                if mac:
                    changes[rt.IFLA_ADDRESS] = mac
                self._set_link(index, changes=changes)
                self._limit(index, facts)
                self._set_link(index, up=True)
                self._join(scheme, tap, None)
            finally:
                os.close(tap)
            log.info("%s is the adapter of %s", name, scheme)
            return
        if mac and mac != adapter.mac:
            self._set_link(adapter.number, changes={rt.IFLA_ADDRESS: mac})

    def _limit(self, index: int, facts: dict[str, Any]) -> None:
        """Send no packets that the card cannot; never below what IPv6 needs."""
        if "mtu" in facts:
            mtu = max(1280, facts["mtu"])
            self._set_link(index, changes={rt.IFLA_MTU: mtu.to_bytes(4, "little")})

    def detach(self, scheme: str) -> None:
        """Remove a scheme's interface: its card is gone."""
        adapter = self._of_scheme(scheme)
        if adapter is not None:
            head = rt.IFINFO.pack(socket.AF_UNSPEC, 0, adapter.number, 0, 0)
            try:
                self._netlink.change(rt.DELLINK, 0, head, {})
            except OSError as error:
                if error.errno != errno.ENODEV:  # it went with its last descriptor
                    raise

    def adapters(self) -> list[Adapter]:
        """List the interfaces in the order of their numbers."""
        found = []
        for message in self._netlink.dump(rt.GETLINK, rt.IFINFO.pack(0, 0, 0, 0, 0)):
            alias = message.attributes.get(rt.IFLA_IFALIAS)
            if alias is None:
                continue
            _, _, index, _, _ = rt.IFINFO.unpack(message.head)
            found.append(
                Adapter(
                    name=_text(message.attributes[rt.IFLA_IFNAME]),
                    number=index,
                    scheme=_text(alias),
                    mac=message.attributes.get(rt.IFLA_ADDRESS, b""),
                    mtu=int.from_bytes(message.attributes.get(rt.IFLA_MTU, b""), "little"),
                    is_up=message.attributes.get(rt.IFLA_CARRIER) == b"\1",
                )
            )
        return sorted(found, key=lambda adapter: adapter.number)

    def set_mac(self, adapter: Adapter, mac: bytes) -> None:
        """Give an interface another hardware address, and have its driver give it to the card."""
        self._set_link(adapter.number, changes={rt.IFLA_ADDRESS: mac})
        self._join(adapter.scheme, -1, mac.hex(":"))

    def set_mtu(self, adapter: Adapter, mtu: int) -> None:
        """Change how many bytes a packet may have."""
        self._set_link(adapter.number, changes={rt.IFLA_MTU: mtu.to_bytes(4, "little")})

    def _of_scheme(self, scheme: str) -> Adapter | None:
        return next((one for one in self.adapters() if one.scheme == scheme), None)

    def _index_of(self, name: str) -> int:
        for message in self._netlink.dump(rt.GETLINK, rt.IFINFO.pack(0, 0, 0, 0, 0)):
            if _text(message.attributes.get(rt.IFLA_IFNAME, b"")) == name:
                index: int = rt.IFINFO.unpack(message.head)[2]
                return index
        raise OSError(errno.ENODEV, f"there is no interface {name}")

    def _set_link(
        self, index: int, up: bool = False, changes: dict[int, bytes] | None = None
    ) -> None:
        flags = rt.IFF_UP if up else 0
        head = rt.IFINFO.pack(socket.AF_UNSPEC, 0, index, flags, flags)
        self._netlink.change(rt.SETLINK, 0, head, changes or {})

    # -- addresses ---------------------------------------------------------------------------------

    def addresses(self, adapter: Adapter) -> list[Cidr]:
        """List an interface's addresses, without those of IPv6 for the link alone."""
        found = []
        for message in self._netlink.dump(rt.GETADDR, rt.IFADDR.pack(0, 0, 0, 0, 0)):
            family, bits, _, scope, index = rt.IFADDR.unpack(message.head)
            if index != adapter.number or (family == socket.AF_INET6 and scope == _SCOPE_LINK_V6):
                continue
            packed = message.attributes.get(rt.IFA_LOCAL) or message.attributes[rt.IFA_ADDRESS]
            found.append(Cidr(family, socket.inet_ntop(family, packed), bits))
        return found

    def add_address(self, adapter: Adapter, wanted: Cidr) -> None:
        """Give an interface one more address."""
        self._change_address(rt.NEWADDR, rt.CREATE | rt.EXCL, adapter, wanted)

    def remove_address(self, adapter: Adapter, gone: Cidr) -> None:
        """Take an address back."""
        self._change_address(rt.DELADDR, 0, adapter, gone)

    def _change_address(self, kind: int, flags: int, adapter: Adapter, which: Cidr) -> None:
        packed = socket.inet_pton(which.family, which.address)
        attributes = {rt.IFA_LOCAL: packed, rt.IFA_ADDRESS: packed}
        if which.broadcast and kind == rt.NEWADDR:
            attributes[rt.IFA_BROADCAST] = which.broadcast
        nodad = rt.IFA_F_NODAD if which.family == socket.AF_INET6 else 0
        head = rt.IFADDR.pack(which.family, which.bits, nodad, 0, adapter.number)
        self._netlink.change(kind, flags, head, attributes)

    # -- routes ------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """List the routes of the main table, the most specific networks first."""
        names = {adapter.number: adapter.name for adapter in self.adapters()}
        found = []
        for family in (socket.AF_INET, socket.AF_INET6):
            head = rt.RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
            for message in self._netlink.dump(rt.GETROUTE, head):
                route = self._route(message, names)
                if route is not None:
                    found.append(route)
        return found

    def _route(self, message: rt.Message, names: dict[int, str]) -> Route | None:
        family, bits, _, _, table, _, _, kind, _ = rt.RTMSG.unpack(message.head)
        got = message.attributes
        device = names.get(int.from_bytes(got.get(rt.RTA_OIF, b""), "little"))
        if table != rt.TABLE_MAIN or kind != rt.UNICAST or device is None:
            return None
        target = socket.inet_ntop(family, got.get(rt.RTA_DST, bytes(LENGTHS[family])))
        if family == socket.AF_INET6 and target.startswith("fe80:"):
            return None  # follows from the link's own address

        def text(attribute: int) -> str:
            return socket.inet_ntop(family, got[attribute]) if attribute in got else ""

        return Route(
            network=f"{target}/{bits}" if bits else "default",
            family=family,
            gateway=text(rt.RTA_GATEWAY),
            device=device,
            source=text(rt.RTA_PREFSRC) or self._source(family, device),
            metric=int.from_bytes(got.get(rt.RTA_PRIORITY, b""), "little"),
        )

    def _source(self, family: int, device: str) -> str:
        """Return the address Linux chooses where a route names none: the first."""
        for adapter in self.adapters():
            if adapter.name == device:
                own = [one.address for one in self.addresses(adapter) if one.family == family]
                return own[0] if own else ANY[family]
        return ANY[family]

    def add_route(self, network: Cidr, gateway: str, device: str) -> None:
        """Add a route, or replace the one to the same network."""
        attributes = self._target(network)
        if gateway:
            attributes[rt.RTA_GATEWAY] = socket.inet_pton(network.family, gateway)
        if device:
            attributes[rt.RTA_OIF] = self._index_of(device).to_bytes(4, "little")
        scope = rt.SCOPE_UNIVERSE if gateway else rt.SCOPE_LINK
        self._change_route(rt.NEWROUTE, rt.CREATE | rt.REPLACE, network, scope, attributes)

    def remove_route(self, network: Cidr) -> None:
        """Remove all routes to a network; ESRCH when there is none."""
        self._change_route(rt.DELROUTE, 0, network, 255, self._target(network))
        try:
            while True:
                self._change_route(rt.DELROUTE, 0, network, 255, self._target(network))
        except OSError as error:
            if error.errno != errno.ESRCH:
                raise

    @staticmethod
    def _target(network: Cidr) -> dict[int, bytes]:
        if not network.bits:
            return {}
        target = network.network.partition("/")[0]
        return {rt.RTA_DST: socket.inet_pton(network.family, target)}

    def _change_route(
        self, kind: int, flags: int, network: Cidr, scope: int, attributes: dict[int, bytes]
    ) -> None:
        adding = kind == rt.NEWROUTE
        head = rt.RTMSG.pack(
            *(network.family, network.bits, 0, 0, rt.TABLE_MAIN),
            *(rt.PROTOCOL_STATIC if adding else 0, scope, rt.UNICAST if adding else 0, 0),
        )
        self._netlink.change(kind, flags, head, attributes)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")
