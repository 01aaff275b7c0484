"""dhcpd's client at servers nobody here wrote: dnsmasq and ISC's, in network namespaces."""

from __future__ import annotations

import json
import re

import pytest
from dhcp_rig import SERVER, Wire, judge
from network_namespaces import inside, ip, until

pytestmark = pytest.mark.timeout(90)

DISCOVER, OFFER, REQUEST, ACK, NAK, RELEASE = "1", "2", "3", "5", "6", "7"
ISC = """
subnet 192.0.2.0 netmask 255.255.255.0 {{
  range 192.0.2.60 192.0.2.70;
  default-lease-time {lease}; max-lease-time {lease}; min-lease-time {lease};
  option routers 192.0.2.1;
  {more}
}}
"""
OLD = {"prefix": 24, "routes": [], "nameservers": [], "domain": "", "mtu": 0, "broadcast": None}


@pytest.fixture
def wire(tmp_path):
    with Wire(tmp_path) as made:
        yield made


def test_dnsmasq_gives_everything_and_tshark_finds_nothing_wrong(wire):
    capture = wire.capture()
    wire.dnsmasq("--dhcp-option=option:dns-server,192.0.2.53,192.0.2.54",
                 "--domain=lab.example", "--dhcp-option=option:mtu,1400",
                 "--dhcp-option=121,198.51.100.0/24,192.0.2.7,0.0.0.0/0,192.0.2.1")  # fmt: skip
    client = wire.start()
    lease = client.event("configured")["lease"]
    assert lease["server"] == SERVER
    assert re.fullmatch(r"192\.0\.2\.[123]\d", lease["address"])
    assert lease["nameservers"] == ["192.0.2.53", "192.0.2.54"]
    assert lease["domain"] == "lab.example"
    assert lease["mtu"] == 1400
    assert sorted(lease["routes"]) == [["0.0.0.0/0", SERVER], ["198.51.100.0/24", "192.0.2.7"]]
    assert lease["broadcast"] == "192.0.2.255"
    renew, rebind, end = (moment - lease["times"][2] + 120 for moment in lease["times"])
    assert (round(renew), round(rebind), round(end)) == (60, 105, 120)
    assert wire.addresses() == [f"{lease['address']}/24"]
    assert inside(wire.client, "ping", "-c1", "-w10", SERVER).returncode == 0
    client.say("stop")
    client.event("removed")
    until(lambda: len(capture.file.read_bytes()) > 1500)
    found = until(lambda: (seen := judge(capture.file)) and len(seen) >= 5 and seen)
    kinds = [kind for kind, *_ in found]
    assert kinds == [DISCOVER, OFFER, REQUEST, ACK, RELEASE]
    assert [wrong for _, _, *wrong in found if any(wrong)] == []


def test_the_server_is_asked_again_at_t1_alone(wire):
    capture = wire.capture()
    # This server puts T1 a second before T2, whatever it was told.
    server = wire.dnsmasq("--dhcp-option=option:T1,1", "--dhcp-option=option:T2,3")
    client = wire.start()
    first = client.event("configured")
    again = client.event("configured", again=True)
    assert 0.9 <= again["at"] - first["at"] <= 3.5
    assert again["lease"]["times"][2] > first["lease"]["times"][2]
    assert again["lease"]["address"] == first["lease"]["address"]
    server.wait_for(lambda line: "DHCPREQUEST" in line)
    found = until(lambda: (seen := judge(capture.file)) and len(seen) >= 6 and seen)
    assert found[4][:2] == [REQUEST, SERVER]
    assert found[5][0] == ACK
    assert [wrong for _, _, *wrong in found if any(wrong)] == []


def test_iscs_server_with_its_own_times(wire):
    wire.isc(ISC.format(lease=30, more="option dhcp-renewal-time 2; option dhcp-rebinding-time 9;"))
    client = wire.start()
    lease = client.event("configured")["lease"]
    assert re.fullmatch(r"192\.0\.2\.(6\d|70)", lease["address"])
    assert [round(b - a) for a, b in zip(lease["times"], lease["times"][1:], strict=False)] == [
        7,
        21,
    ]
    assert client.event("configured", again=True)["lease"]["address"] == lease["address"]


def test_a_lease_that_ends_takes_its_address_along(wire):
    server = wire.isc(ISC.format(lease=4, more=""))
    client = wire.start()
    lease = client.event("configured")["lease"]
    server.__exit__()
    removed = client.event("removed", within=10)
    assert 0 <= removed["at"] - lease["times"][2] < 1
    assert wire.addresses() == []
    client.event("sent", kind=1)


def test_a_server_that_takes_two_seconds_is_waited_for(wire):
    wire.dnsmasq("--dhcp-reply-delay=2")
    client = wire.start()
    began = client.event("sent", kind=1)
    configured = client.event("configured", within=20)
    assert configured["at"] - began["at"] >= 2
    assert inside(wire.client, "ping", "-c1", "-w10", SERVER).returncode == 0


def second_server(wire, *words):
    """Another server on the same wire, by a bridge: 192.0.2.2."""
    ip("-n", wire.server, "link", "add", "br0", "type", "bridge")
    ip("-n", wire.server, "link", "set", "wire0", "master", "br0")
    ip("-n", wire.server, "address", "delete", f"{SERVER}/24", "dev", "wire0")
    ip("-n", wire.server, "address", "add", f"{SERVER}/24", "dev", "br0")
    ip("-n", wire.server, "link", "set", "br0", "up")
    other = wire.enter_context(Other(wire))
    return other.dnsmasq(*words, name="other", first=100)


class Other(Wire):
    """A third namespace on the bridge, that is a server as well."""

    def __init__(self, wire):
        super(Wire, self).__init__()
        from network_namespaces import namespace

        self.folder = wire.folder
        self.server = self.enter_context(namespace())
        ip("-n", wire.server, "link", "add", "port1", "type", "veth",
           "peer", "name", "wire0", "netns", self.server)  # fmt: skip
        ip("-n", wire.server, "link", "set", "port1", "master", "br0", "up")
        ip("-n", self.server, "address", "add", "192.0.2.2/24", "dev", "wire0")
        ip("-n", self.server, "link", "set", "wire0", "up")


def test_of_two_servers_the_quick_one_is_taken(wire):
    second_server(wire)
    wire.dnsmasq("--dhcp-reply-delay=2", interface="br0")
    client = wire.start()
    lease = client.event("configured")["lease"]
    assert lease["server"] == "192.0.2.2"
    assert wire.addresses() == [f"{lease['address']}/24"]


def test_the_server_that_had_us_is_preferred_and_another_takes_over_at_t2(wire):
    second_server(wire, "--dhcp-authoritative", "--dhcp-range=192.0.2.10,192.0.2.30,2m")
    times = ("--dhcp-option=option:T1,1", "--dhcp-option=option:T2,3")
    first = wire.dnsmasq(*times, "--dhcp-authoritative", interface="br0")
    old = OLD | {"address": "192.0.2.17", "server": SERVER, "times": [0, 0, 0]}
    client = wire.start(json.dumps(old))
    lease = client.event("configured")["lease"]
    assert (lease["server"], lease["address"]) == (SERVER, "192.0.2.17")
    first.__exit__()
    ip("-n", wire.server, "address", "delete", f"{SERVER}/24", "dev", "br0")
    taken_over = client.event("configured", within=20)["lease"]
    while taken_over["server"] == SERVER:  # it was still asked once at T1
        taken_over = client.event("configured", within=20)["lease"]
    assert taken_over["server"] == "192.0.2.2"
    assert taken_over["address"] == lease["address"]


def test_a_lease_of_another_network_is_refused_and_a_new_one_asked_for(wire):
    wire.dnsmasq("--dhcp-authoritative")
    old = OLD | {"address": "198.51.100.9", "server": "198.51.100.1", "times": [1e9, 1e9, 1e9]}
    client = wire.start(json.dumps(old))
    assert client.event("sent")["kind"] == 3  # INIT-REBOOT
    lease = client.event("configured", within=5)["lease"]
    assert re.fullmatch(r"192\.0\.2\.[123]\d", lease["address"])


def test_what_is_given_back_is_free_again(wire):
    server = wire.dnsmasq()
    client = wire.start()
    lease = client.event("configured")["lease"]
    until(lambda: lease["address"] in server.leases.read_text())
    client.say("stop")
    client.event("removed")
    until(lambda: lease["address"] not in server.leases.read_text())
    assert wire.addresses() == []
