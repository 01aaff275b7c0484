"""The in-use check: never take a device that somebody needs.

Every refusal names its rule, what was seen, and what to type:

| rule | refuses |
|------|---------|
| S1   | a disk or partition that is opened exclusively |
| S2   | a disk that something is built on: LVM, md, dm-crypt, bcache |
| S3   | a disk that is mounted anywhere, or swapped to |
| S6   | a network card with an address, a route, or an interface on top of it |
| S7   | the display the machine booted on |
| S8   | a function whose IOMMU group the host uses too |
| S9   | a function behind no IOMMU, or in VFIO's no-IOMMU mode |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

from kernel_shim import blocks, iommu
from kernel_shim.blocks import Block
from kernel_shim.host import MACHINE, Host
from redbear_host.errors import ConfigError

_BRIDGE: Final = 0x06
_ETHERNET: Final = 0x0200


class Refusal(NamedTuple):
    """One reason why a function may not be taken."""

    rule: str
    evidence: str
    hint: str


@contextmanager
def claimed(address: str, host: Host = MACHINE) -> Iterator[None]:
    """Hold a function's disks exclusively, so that nobody starts to use them meanwhile.

    `ConfigError` names every reason why it may not be taken.
    """
    with ExitStack() as held:
        found = refusals(address, host, held)
        if found:
            reasons = "; ".join(f"{one.evidence} [{one.rule}]" for one in found)
            hints = list(dict.fromkeys(one.hint for one in found))
            raise ConfigError(f"{address} is not free: {reasons}", "; ".join(hints))
        yield


def check(address: str, host: Host = MACHINE) -> list[Refusal]:
    """Return every reason why a function may not be taken; none if it is free."""
    with ExitStack() as held:
        return refusals(address, host, held)


def refusals(address: str, host: Host, held: ExitStack) -> list[Refusal]:
    """Do what `check` does; the disks that are free stay claimed until `held` is closed."""
    function = host.function(address)
    if function.ids.class_code >> 16 == _BRIDGE:
        raise ConfigError(f"{address} is a bridge, and others are behind it", "take one of those")
    found = []
    trouble = iommu.no_group(function, host)
    if trouble is not None:
        found.append(Refusal("S9", *trouble))
    found += [
        Refusal(
            "S8",
            f"it shares IOMMU group {function.group} with {member.address}, "
            f"which is driven by {member.driver}",
            f"take {member.address} too, or put the card into another slot",
        )
        for member in iommu.foreign_members(function, host)
    ]
    for disk, partitions in blocks.disks_of(address, host):
        found += _disk(disk, partitions, host, held)
    found += _network(address, function.ids.class_code, function.driver, host)
    if host.read(host.folder(address) / "boot_vga") == "1":
        found.append(Refusal("S7", "it is the display the machine booted on", "use another"))
    return found


def _disk(disk: Block, partitions: Sequence[Block], host: Host, held: ExitStack) -> list[Refusal]:
    found = []
    for block in (disk, *partitions):
        found += _users(block, host)
    if not found and (why := blocks.claim(disk, host, held)):
        # A partition that is claimed makes the disk refuse; name the partition then.
        with ExitStack() as briefly:
            claimed = [part for part in partitions if blocks.claim(part, host, briefly)]
        for block in claimed or [disk]:
            own = blocks.title(block, host)
            hint = f"see who has it: lsblk {own}; fuser -v {own}"
            found.append(Refusal("S1", f"{own} {why}", hint))
    return found


def _users(block: Block, host: Host) -> list[Refusal]:
    own = blocks.title(block, host)
    found = []
    for user in (block, *blocks.holders(block, host)):
        name = blocks.title(user, host)
        if user is not block:
            hint = f"take {name} apart first (see lsblk)"
            found.append(Refusal("S2", f"{name} is built on {own}", hint))
        found += [
            Refusal("S3", f"{name} is mounted on {point}", f"umount {point}")
            for point in blocks.mounts(user, host)
        ]
        if blocks.is_swap(user, host):
            swapoff = f"swapoff {name.split()[0]}"
            found.append(Refusal("S3", f"the machine swaps to {name}", swapoff))
    return found


def _network(address: str, class_code: int, driver: str, host: Host) -> list[Refusal]:
    function = host.folder(address).resolve()
    net = host.sys / "class/net"
    names = [name for name in host.names(net) if function in (net / name).resolve().parents]
    if not names and class_code >> 8 == _ETHERNET and driver not in iommu.HARMLESS:
        return [
            Refusal(
                "S6",
                f"{driver} drives it and its interface is not to be seen here: "
                "it may be in another network namespace",
                "bring the interface back: ip -n NAMESPACE link set IFACE netns 1",
            )
        ]
    uses = host.network_uses() if names else {}
    found = []
    for name in names:
        for entry in host.names(net / name):
            if entry.startswith("upper_"):
                upper = entry.removeprefix("upper_")
                hint = f"ip link set {name} nomaster, or ip link delete {upper}"
                found.append(Refusal("S6", f"{upper} is on top of {name}", hint))
        if name in uses:
            for text in uses[name].addresses:
                hint = f"ip address flush dev {name}"
                found.append(Refusal("S6", f"{name} has the address {text}", hint))
            for text in uses[name].routes:
                hint = f"ip route flush dev {name}"
                found.append(Refusal("S6", f"{name} has a route to {text}", hint))
    return found
