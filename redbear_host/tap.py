"""TAP interfaces: one end of an Ethernet wire is Linux's network, the other a descriptor.

    with tap.make("rb%d", namespace="lab", addresses=[IPv4Interface("192.0.2.1/24")]) as made:
        os.write(made.fd, frame)

Ref: Linux, Documentation/networking/tuntap.rst; uapi linux/if_tun.h, linux/sockios.h, linux/if.h,
linux/if_addr.h, linux/netlink.h; netdevice(7), rtnetlink(7), network_namespaces(7).

The interface goes with its descriptor, so nothing is left whichever way we end.  Without pyroute2,
which takes most of a second to import.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Final, Self, TypeAlias

from redbear_host import linux
from redbear_host.errors import ConfigError, TransportError

NAMESPACES: Final = Path("/run/netns")  # where ip-netns(8) keeps them by name
DEVICE: Final = Path("/dev/net/tun")

Address: TypeAlias = IPv4Interface | IPv6Interface

_NAME: Final = re.compile(r"(?!\.\.?$)[!-$&-.0-9;-~]{1,15}", re.ASCII)  # no blank, no / : %

_TUNSETIFF: Final = 0x4004_54CA
_IFF_TAP: Final = 0x0002
_IFF_NO_PI: Final = 0x1000  # frames alone, without flags and protocol before them
_IFF_TUN_EXCL: Final = 0x8000  # make it: EBUSY if there is one

_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_SIOCSIFHWADDR: Final = 0x8924
_SIOCGIFINDEX: Final = 0x8933
_IFF_UP: Final = 1
_ARPHRD_ETHER: Final = 1

_FLAGS: Final = struct.Struct("16sH22x")  # struct ifreq with ifr_flags
_INDEX: Final = struct.Struct("16si20x")  # with ifr_ifindex
_ADDRESS: Final = struct.Struct("16sH6s16x")  # with ifr_hwaddr

_NLMSG: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_IFADDRMSG: Final = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_RTATTR: Final = struct.Struct("=HH")  # length, type
_RTM_NEWADDR: Final = 20
_NEW: Final = 0x0001 | 0x0004 | 0x0200 | 0x0400  # REQUEST, ACK, EXCL, CREATE
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_BROADCAST: Final = 4
_ANSWER_MOST: Final = 4096


class Tap:
    """An interface that we made: its descriptor, and its name where it is."""

    def __init__(self, fd: int, name: str) -> None:
        self.fd: Final = fd
        self.name: Final = name

    def __enter__(self) -> Self:
        """Use it as a context: it is gone at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go."""
        os.close(self.fd)


def is_interface(name: str) -> bool:
    """Tell whether Linux would take this as an interface's name."""
    return _NAME.fullmatch(name) is not None


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Let this thread be in a network namespace for as long as the block runs; "" for its own.

    It is named as `ip netns` names it, or by a process that is in it.  What is opened there belongs
    there for good.  `ConfigError` if there is none of that name.
    """
    if not namespace:
        yield
        return
    path = NAMESPACES / namespace
    if namespace.isdecimal() and not path.exists():
        path = Path("/proc", namespace, "ns/net")
    with ExitStack() as held:
        try:
            # Not to wait, should it be a FIFO.
            there = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise ConfigError(
                    f"there is no network namespace {namespace!r}",
                    f"make it with: ip netns add {namespace}",
                ) from error
            raise TransportError(f"{path} cannot be opened: {error.strerror}") from error
        held.callback(os.close, there)
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        held.callback(os.close, home)
        try:
            linux.setns(there, linux.CLONE_NEWNET)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise ConfigError(
                    f"{path} is no network namespace", "see what there is with: ip netns list"
                ) from error
            raise TransportError(
                f"the network namespace {namespace} cannot be entered: {error.strerror}",
                "run it with sudo",
            ) from error
        held.callback(linux.setns, home, linux.CLONE_NEWNET)
        yield


def make(
    name: str, namespace: str = "", addresses: Sequence[Address] = (), mac: bytes = b""
) -> Tap:
    """Make an interface that is up; a `%d` in its name becomes the first number that is free.

    Its hardware address is `mac`, or Linux's choice.  `ConfigError` if there is one of that name:
    it is not ours.
    """
    with ExitStack() as held, inside(namespace):
        tun = _open()
        held.callback(os.close, tun)
        asked = _FLAGS.pack(name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_TUN_EXCL)
        try:
            answer = fcntl.ioctl(tun, _TUNSETIFF, asked)
        except OSError as error:
            raise _refused(name, namespace, error) from error
        given: bytes = _FLAGS.unpack(answer)[0]
        bare = given.rstrip(b"\0")
        try:
            _configure(bare, addresses, mac)
        except OSError as error:
            raise TransportError(
                f"the interface {bare.decode()} cannot be set up: {error.strerror}"
            ) from error
        held.pop_all()
        return Tap(tun, bare.decode())


def _open() -> int:
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise TransportError(
            f"{DEVICE} cannot be opened: {error.strerror}",
            "run it with sudo" if error.errno == errno.EACCES else "load it with: modprobe tun",
        ) from error


def _refused(name: str, namespace: str, error: OSError) -> ConfigError | TransportError:
    if error.errno == errno.EBUSY:
        where = f"-n {namespace} " if namespace else ""
        return ConfigError(
            f"there is an interface {name} already, which is not ours to use",
            f"choose another name; see what it is with: ip {where}link show {name}",
        )
    return TransportError(
        f"the interface {name} cannot be made: {error.strerror}",
        "run it with sudo" if error.errno == errno.EPERM else "",
    )


def _configure(name: bytes, addresses: Sequence[Address], mac: bytes) -> None:
    """Set addresses and bring the interface up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inet:
        if mac:
            fcntl.ioctl(inet, _SIOCSIFHWADDR, _ADDRESS.pack(name, _ARPHRD_ETHER, mac))
        flags = _FLAGS.unpack(fcntl.ioctl(inet, _SIOCGIFFLAGS, _FLAGS.pack(name, 0)))[1]
        fcntl.ioctl(inet, _SIOCSIFFLAGS, _FLAGS.pack(name, flags | _IFF_UP))
        index = _INDEX.unpack(fcntl.ioctl(inet, _SIOCGIFINDEX, _INDEX.pack(name, 0)))[1]
    if addresses:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as route:
            for address in addresses:
                _add_address(route, index, address)


def _add_address(route: socket.socket, index: int, address: Address) -> None:
    """Give interface `index` one more address, by RTM_NEWADDR."""
    attributes = [(_IFA_LOCAL, address.ip.packed), (_IFA_ADDRESS, address.ip.packed)]
    family = socket.AF_INET6
    if isinstance(address, IPv4Interface):
        family = socket.AF_INET
        attributes.append((_IFA_BROADCAST, address.network.broadcast_address.packed))
    body = _IFADDRMSG.pack(family, address.network.prefixlen, 0, 0, index)
    for kind, value in attributes:
        body += _RTATTR.pack(_RTATTR.size + len(value), kind) + value
    route.send(_NLMSG.pack(_NLMSG.size + len(body), _RTM_NEWADDR, _NEW, 0, 0) + body)
    (code,) = struct.unpack_from("=i", route.recv(_ANSWER_MOST), _NLMSG.size)  # struct nlmsgerr
    if code:
        raise OSError(-code, f"{address}: {os.strerror(-code)}")
