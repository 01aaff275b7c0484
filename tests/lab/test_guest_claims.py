"""The in-use check on a real kernel, where it needs another machine than tests/vm has."""

from __future__ import annotations

import io
import json
import sys

import pytest
from guest_needs import require_guest

from redbear_host.lab.guest import GuestOptions, run
from redbear_host.lab.spares import spare

pytestmark = pytest.mark.timeout(300)  # a guest is up in 5 s, or in a minute on a busy machine


@pytest.fixture(autouse=True)
def _bootable() -> None:
    require_guest()


TELL = """
import json, subprocess, sys
from kernel_shim import claims
ADDRESS = sys.argv[1]
def sh(command):
    subprocess.run(command, shell=True, check=True)
def tell():
    print(json.dumps([(one.rule, one.evidence, one.hint) for one in claims.check(ADDRESS)]))
"""

NETWORK = """
tell()
sh("ip link set eth0 up")
tell()
sh("ip address add 192.0.2.1/24 dev eth0 && ip route add default via 192.0.2.2")
tell()
sh("ip address flush dev eth0 && ip link add br0 type bridge && ip link set eth0 master br0")
tell()
sh("ip link delete br0 && ip netns add elsewhere && ip link set eth0 netns elsewhere")
tell()
"""


def answers(device: str, script: str, cmdline: str = "") -> list[list[list[str]]]:
    """Run `script` in a guest with that device; return what it told, one list of refusals each."""
    output, errors = io.BytesIO(), io.BytesIO()
    command = [sys.executable, "-c", TELL + script, spare(device).address]
    options = GuestOptions(devices=(device,), cmdline=cmdline, timeout=250)
    assert run(command, options, output, errors) == 0, errors.getvalue().decode()
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_a_network_card_in_use_is_refused() -> None:
    free, up, routed, bridge, elsewhere = answers("e1000", NETWORK)
    assert free == []
    assert up == []  # a link-local address is the kernel's own doing
    assert [(rule, evidence) for rule, evidence, _ in routed] == [
        ("S6", "eth0 has the address 192.0.2.1/24"),
        ("S6", "eth0 has a route to default"),
        ("S6", "eth0 has a route to 192.0.2.0/24"),
    ]
    assert routed[0][2] == "ip address flush dev eth0"
    assert bridge[0][:2] == ["S6", "br0 is on top of eth0"]
    assert "another network namespace" in elsewhere[0][1]


def test_a_machine_whose_iommu_is_switched_off_says_where() -> None:
    ((refusal,),) = answers("nvme", "tell()", cmdline="intel_iommu=off")
    rule, evidence, hint = refusal
    assert rule == "S9"
    assert evidence == "the IOMMU is switched off on the kernel's command line (intel_iommu=off)"
    assert hint.startswith("take intel_iommu=off out of GRUB_CMDLINE_LINUX")
