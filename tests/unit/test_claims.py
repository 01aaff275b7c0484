from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import pytest
from fake_host import FakeHost

from kernel_shim import claims
from kernel_shim.host import MACHINE, Uses
from redbear_host.errors import ConfigError

SSD = "0000:04:00.0"
NIC = "0000:05:00.0"
ETHERNET = {"class": "0x020000"}


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    """Make a machine with an SSD of two partitions and a network card, both free."""
    host = FakeHost.at(tmp_path)
    folder = host.add_function(SSD, "nvme", group=7)
    disk = host.add_block(folder / "nvme/nvme0", "nvme0n1", "259:0")
    host.add_block(disk, "nvme0n1p1", "259:1", partition="1")
    host.add_block(disk, "nvme0n1p2", "259:2", partition="2")
    card = host.add_function(NIC, "e1000e", group=8, **ETHERNET)
    (card / "net/eth0").mkdir(parents=True)
    (host.sys / "class/net/eth0").symlink_to(card / "net/eth0")
    (host.sys / "class/net/lo").mkdir()
    host.behaviour.uses = {"lo": Uses(("127.0.0.1/8",), ()), "eth0": Uses((), ())}
    return host


def rules(host: FakeHost, address: str = SSD) -> list[str]:
    return [one.rule for one in claims.check(address, host)]


def only(host: FakeHost, address: str = SSD) -> claims.Refusal:
    (refusal,) = claims.check(address, host)
    return refusal


def test_free_devices_are_not_refused(host: FakeHost) -> None:
    host.add_mount(1, "mnt:[1]", "8:1", "/", "/dev/sda1")
    (host.proc / "swaps").write_text(
        "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n"
    )
    assert claims.check(SSD, host) == []
    assert claims.check(NIC, host) == []


def test_a_mounted_partition_is_refused(host: FakeHost) -> None:
    host.add_mount(1, "mnt:[1]", "259:2", "/srv/my\\040data", "/dev/nvme0n1p2")
    assert only(host) == claims.Refusal(
        "S3", "/dev/nvme0n1p2 is mounted on /srv/my data", "umount /srv/my data"
    )


def test_a_mount_in_another_mount_namespace_is_found_once(host: FakeHost) -> None:
    host.add_mount(1, "mnt:[1]", "8:1", "/", "/dev/sda1")
    for pid in (70, 71):
        host.add_mount(pid, "mnt:[2]", "259:0", "/container", "/dev/nvme0n1")
    assert only(host).evidence == "/dev/nvme0n1 is mounted on /container"


def test_a_file_system_with_numbers_of_its_own_is_known_by_its_source(host: FakeHost) -> None:
    host.add_mount(1, "mnt:[1]", "0:45", "/pool", "/dev/nvme0n1p1")
    assert only(host).evidence == "/dev/nvme0n1p1 is mounted on /pool"


def test_swap_is_refused(host: FakeHost) -> None:
    text = "Filename Type Size Used Priority\n/dev/nvme0n1p1 partition 8388604 0 -2\n"
    (host.proc / "swaps").write_text(text)
    refusal = only(host)
    assert (refusal.rule, refusal.hint) == ("S3", "swapoff /dev/nvme0n1p1")
    assert refusal.evidence == "the machine swaps to /dev/nvme0n1p1"


def test_what_is_built_on_a_disk_is_followed_to_where_it_is_mounted(host: FakeHost) -> None:
    virtual = host.sys / "devices/virtual/block"
    crypt = host.add_block(virtual, "dm-0", "253:0", **{"dm/name": "luks"})
    host.add_block(virtual, "dm-1", "253:1", **{"dm/name": "vg-home"})
    partition = (host.sys / "class/block/nvme0n1p2").resolve()
    (partition / "holders/dm-0").symlink_to(crypt)
    (crypt / "holders/dm-1").symlink_to(virtual / "dm-1")
    host.add_mount(1, "mnt:[1]", "253:1", "/home", "/dev/mapper/vg-home")
    found = claims.check(SSD, host)
    assert [(one.rule, one.evidence) for one in found] == [
        ("S2", "/dev/dm-0 (luks) is built on /dev/nvme0n1p2"),
        ("S2", "/dev/dm-1 (vg-home) is built on /dev/nvme0n1p2"),
        ("S3", "/dev/dm-1 (vg-home) is mounted on /home"),
    ]


def test_a_disk_that_is_opened_exclusively_is_refused(host: FakeHost) -> None:
    host.behaviour.claimed.add("nvme0n1")
    refusal = only(host)
    assert (refusal.rule, refusal.evidence) == ("S1", "/dev/nvme0n1 is claimed exclusively")
    assert "lsblk /dev/nvme0n1" in refusal.hint


def test_a_partition_that_is_opened_exclusively_is_named(host: FakeHost) -> None:
    # ZFS shows neither mounts by number nor holders; the kernel's own claim does.
    host.behaviour.claimed |= {"nvme0n1", "nvme0n1p2"}
    assert only(host).evidence == "/dev/nvme0n1p2 is claimed exclusively"


def test_a_disk_without_a_device_node_is_not_taken_for_free(host: FakeHost) -> None:
    (host.dev / "nvme0n1").unlink()
    refusal = only(host)
    assert refusal.rule == "S1"
    assert "cannot be asked whether it is free: No such file" in refusal.evidence


def test_a_multipath_disk_is_found_through_its_subsystem(host: FakeHost) -> None:
    controller = (host.sys / "bus/pci/devices" / SSD).resolve() / "nvme/nvme0"
    host.add_block(controller, "nvme0c0n2", "259:9", hidden="1")
    subsystem = host.sys / "devices/virtual/nvme-subsystem/nvme-subsys0"
    host.add_block(subsystem, "nvme0n2", "259:3")
    (subsystem / "nvme0").symlink_to(controller)
    host.add_mount(1, "mnt:[1]", "259:3", "/shared", "/dev/nvme0n2")
    assert only(host).evidence == "/dev/nvme0n2 is mounted on /shared"


def test_every_reason_is_given_at_once_with_what_to_type(host: FakeHost) -> None:
    host.add_function("0000:04:00.1", "ahci", group=7)
    host.add_mount(1, "mnt:[1]", "259:1", "/boot", "/dev/nvme0n1p1")
    host.add_mount(1, "mnt:[1]", "259:2", "/home", "/dev/nvme0n1p2")
    with pytest.raises(ConfigError) as caught, claims.claimed(SSD, host):
        pytest.fail("it was about to be taken")
    assert caught.value.message == (
        "0000:04:00.0 is not free: it shares IOMMU group 7 with 0000:04:00.1, which is driven by "
        "ahci [S8]; /dev/nvme0n1p1 is mounted on /boot [S3]; "
        "/dev/nvme0n1p2 is mounted on /home [S3]"
    )
    assert caught.value.hint.endswith("; umount /boot; umount /home")


def test_a_claimed_disk_is_held_until_the_end_and_then_let_go(host: FakeHost) -> None:
    def held() -> int:
        fds = Path("/proc/self/fd").iterdir()
        disk = str(host.dev / "nvme0n1")
        return [str(fd.readlink()) for fd in fds if fd.is_symlink()].count(disk)

    with claims.claimed(SSD, host):
        assert held() == 1
    assert held() == 0


# -- network cards


def test_an_address_is_refused(host: FakeHost) -> None:
    host.behaviour.uses["eth0"] = Uses(("192.0.2.7/24", "2001:db8::7/64"), ())
    found = claims.check(NIC, host)
    assert [one.evidence for one in found] == [
        "eth0 has the address 192.0.2.7/24",
        "eth0 has the address 2001:db8::7/64",
    ]
    assert {(one.rule, one.hint) for one in found} == {("S6", "ip address flush dev eth0")}


def test_a_route_is_refused(host: FakeHost) -> None:
    host.behaviour.uses["eth0"] = Uses((), ("default",))
    assert only(host, NIC).evidence == "eth0 has a route to default"


def test_a_port_of_a_bridge_is_refused(host: FakeHost) -> None:
    (host.sys / "class/net/eth0/upper_br0").mkdir()
    assert only(host, NIC).evidence == "br0 is on top of eth0"


def test_an_interface_out_of_sight_is_refused(host: FakeHost) -> None:
    (host.sys / "class/net/eth0").unlink()
    refusal = only(host, NIC)
    assert refusal.rule == "S6"
    assert "another network namespace" in refusal.evidence


def test_a_card_without_a_driver_has_no_interface_to_lose(host: FakeHost) -> None:
    host.add_function("0000:06:00.0", "", group=9, **ETHERNET)
    assert claims.check("0000:06:00.0", host) == []


# -- the rest


def test_the_display_the_machine_booted_on_is_refused(host: FakeHost) -> None:
    vga = {"class": "0x030000"}
    host.add_function("0000:01:00.0", "nouveau", group=1, boot_vga="1", **vga)
    host.add_function("0000:02:00.0", "nouveau", group=2, boot_vga="0", **vga)
    assert rules(host, "0000:01:00.0") == ["S7"]
    assert rules(host, "0000:02:00.0") == []


def test_a_function_without_an_iommu_is_refused(host: FakeHost) -> None:
    host.add_function("0000:0a:00.0", "nvme")
    assert rules(host, "0000:0a:00.0") == ["S9"]
    (host.sys / "kernel/iommu_groups/7/name").write_text("vfio-noiommu\n")
    assert rules(host) == ["S9"]


def test_a_bridge_is_refused(host: FakeHost) -> None:
    host.add_function("0000:00:1c.0", "pcieport", group=5, **{"class": "0x060400"})
    with pytest.raises(ConfigError, match="is a bridge"):
        claims.check("0000:00:1c.0", host)


def test_the_networks_of_this_machine_can_be_read() -> None:
    uses = MACHINE.network_uses()
    assert set(uses) == {name for _, name in socket.if_nameindex()}
    for use in uses.values():
        for text in (*use.addresses, *use.routes):
            assert text == "default" or not ipaddress.ip_network(text, strict=False).is_link_local
