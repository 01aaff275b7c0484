"""dhcpd, static files and netctl in an instance: a card of QEMU's, dnsmasq at its far end."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest
from dhcp_rig import Program, judge
from network_namespaces import inside, ip, namespace, until
from up_rig import Up, redbear

pytestmark = pytest.mark.timeout(120)

FAR = "192.0.2.1"
WITHIN_S = 2.0  # from the end of `up` to an address
HOME = f"""Interface=eth0
Connection=ethernet
IP=static
Address=('192.0.2.100/24' '192.0.2.101/24')
Gateway={FAR}
DNS=('192.0.2.53' '192.0.2.54')
"""
CABLE = "Interface=eth0\nConnection=ethernet\nIP=dhcp\nDNS=9.9.9.9\n"


class Net(Up):
    """An instance with the lab's card, and a namespace with DHCP servers at the other end."""

    def __init__(self, folder, where, environment):
        super().__init__(folder, "--lab", f"e1000:peer=netns:{where}/far,peer_address={FAR}/24")
        self.far, self.folder = where, folder
        self.leases = folder / "leases"
        for name in ("netctl", "net"):
            (folder / name).mkdir()
        environment("REDBEAR_NETCTL_PROFILE_DIR", str(folder / "netctl"))
        environment("REDBEAR_NET_DIR", str(folder / "net"))
        environment("REDBEAR_SCHEME", str(self.mount))

    def __enter__(self):
        super().__enter__()
        self.began = time.monotonic()
        return self

    def read(self, path):
        return (self.mount / path).read_text()

    def facts(self, adapter="eth0"):
        """What dhcpd says of an adapter; nothing, while there is none."""
        try:
            lines = self.read(f"dhcp/{adapter}").splitlines()
        except FileNotFoundError:
            return {}
        return dict(line.split("=", 1) for line in lines)

    def addresses(self, adapter="eth0"):
        return self.read(f"netcfg/ifaces/{adapter}/addr/list").split()

    def bound(self, adapter="eth0", within=10.0):
        """Wait for a lease."""
        until(lambda: self.facts(adapter).get("state") == "bound", within)
        return self.facts(adapter)

    def say(self, command, adapter="eth0"):
        (self.mount / "dhcp" / adapter).write_text(f"{command}\n")

    def answers(self, address):
        return inside(self.far, "ping", "-c1", "-w10", address).returncode == 0

    def dnsmasq(self, *words):
        """A server that waits for the far end of the card to come."""
        return Program(
            self.far, "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0",
            "--except-interface=lo", "--no-ping",
            "--dhcp-range=192.0.2.10,192.0.2.30,255.255.255.0,2m", "--pid-file=", "--user=root",
            f"--dhcp-leasefile={self.leases}", "--log-dhcp",
            "--dhcp-option=option:dns-server,192.0.2.53,192.0.2.54", *words,
        )  # fmt: skip

    def netctl(self, *words):
        done = redbear("netctl", *words)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def net(tmp_path, monkeypatch):
    with namespace() as where:
        yield Net(tmp_path, where, monkeypatch.setenv)


def test_up_has_an_address_of_a_dhcp_server_at_once_and_down_gives_it_back(net):
    with net.dnsmasq():
        with net:
            facts = net.bound()
            took = time.monotonic() - net.began
            print(f"an address {took:.2f} s after up")
            assert took < WITHIN_S
            assert net.addresses() == [facts["address"]]
            assert (facts["how"], facts["server"]) == ("dhcp", FAR)
            assert (facts["route"], facts["dns"]) == (
                f"0.0.0.0/0 via {FAR}",
                "192.0.2.53 192.0.2.54",
            )
            assert f"default via {FAR} dev eth0" in net.read("netcfg/route/list")
            assert net.read("netcfg/resolv/nameserver").split() == ["192.0.2.53", "192.0.2.54"]
            address = facts["address"].partition("/")[0]
            assert net.answers(address)
            until(lambda: address in net.leases.read_text())
            line = f"profile=none enabled=no address={facts['address']}\n"
            assert net.netctl("status") == (0, line, "")
        until(lambda: address not in net.leases.read_text())


def test_a_card_that_waits_for_its_server_costs_nothing_and_gets_one_when_it_comes(net):
    with net:
        until(lambda: net.facts().get("state") == "selecting")
        pid = net.daemon("dhcpd")["pid"]

        def used():
            with open(f"/proc/{pid}/stat") as file:
                words = file.read().rsplit(") ", 1)[1].split()
            return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

        def used_in_a_second():
            before = used()
            time.sleep(1)  # what is measured
            return used() - before

        assert any(used_in_a_second() <= 0.03 for _ in range(3))
        with net.dnsmasq():
            assert net.bound(within=20)["state"] == "bound"


def test_what_passes_on_the_wire_is_well_formed(net):
    with net.dnsmasq("--dhcp-option=option:T1,1", "--dhcp-option=option:T2,3"), net:
        net.bound()
        file = net.folder / "wire.pcap"
        with Program(net.far, "tcpdump", "-i", "far", "-U", "-w", file,
                     "udp port 67 or udp port 68 or arp") as capture:  # fmt: skip
            capture.wait_for(lambda line: "listening on" in line)
            net.say("stop")
            net.say("start")
            first = net.bound()
            # T1 is two seconds away: the server is asked alone, through smolnetd, and answers.
            until(
                lambda: [kind for kind, *_ in judge(file)].count("5") >= 2,
                30,
                lambda: time.sleep(0.2),
            )
            assert net.facts()["address"] == first["address"]
        found = judge(file)
    while found[0][0] != "7":  # T1 of the first lease may have come just before the stop
        del found[0]
    kinds = [kind for kind, *_ in found if kind]
    assert kinds[:5] == ["7", "1", "2", "3", "5"]
    assert [FAR for kind, to, *_ in found[5:] if (kind, to) == ("3", FAR)]
    assert [wrong for _, _, *wrong in found if any(wrong)] == []


def test_killed_daemons_come_back_with_the_same_address(net):
    with net.dnsmasq(), net:
        address = net.bound()["address"]
        for name in ("dhcpd", "smolnetd"):
            lives = net.daemon("dhcpd")["restarts"]
            net.kill(name)
            until(lambda lives=lives: net.daemon("dhcpd")["restarts"] > lives, 20)
            until(lambda: net.daemon("dhcpd")["state"] == "ready", 20)
            assert net.bound()["address"] == address
            assert net.addresses() == [address]
            assert net.answers(address.partition("/")[0])
        assert "Traceback" not in net.log("dhcpd")


def test_the_scheme_takes_commands_of_root_only(net):
    with net.dnsmasq(), net:
        address = net.bound()["address"]
        file = net.mount / "dhcp" / "eth0"
        net.say("stop nobody")
        assert (net.facts()["state"], net.facts()["why"]) == ("stopped", "nobody")
        assert net.addresses() == ["Not", "configured"]
        until(lambda: address.partition("/")[0] not in net.leases.read_text())
        net.kill("dhcpd")
        assert until(net.facts)["state"] == "stopped"  # that was said to an earlier life
        net.say("start")
        assert net.bound()["address"] == address
        for wrong in ("", "sotp", "x" * 600, "stop \x1b[2J"):
            with pytest.raises(OSError, match="Invalid argument"):
                file.write_text(f"{wrong}\n")
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c",
             "cat dhcp/eth0 && echo stop > dhcp/eth0"],
            capture_output=True, text=True, check=False, timeout=20, cwd=net.mount,
        )  # fmt: skip
        assert done.returncode != 0
        assert f"address={address}" in done.stdout
        assert "Permission denied" in done.stderr
        with pytest.raises(FileNotFoundError):
            net.say("stop", "eth7")


def test_static_files_are_used_instead_of_a_server(net):
    for name, value in {"ip": "192.0.2.77", "ip_subnet": "255.255.255.0", "ip_router": FAR,
                        "dns": "192.0.2.9"}.items():  # fmt: skip
        (net.folder / "net" / name).write_text(f"{value}\n")
    with net.dnsmasq() as server, net:
        until(lambda: net.facts().get("how") == "static")
        assert net.facts()["why"] == str(net.folder / "net")
        assert net.addresses() == ["192.0.2.77/24"]
        assert net.read("netcfg/resolv/nameserver") == "192.0.2.9\n"
        assert net.answers("192.0.2.77")
        net.kill("dhcpd")
        assert until(net.facts)["state"] == "stopped"
        assert net.addresses() == ["192.0.2.77/24"]
    lines = [*server.said, *server.lines.queue]
    assert not [line for line in lines if "DHCPDISCOVER" in line]


def test_a_static_file_that_makes_no_sense_leaves_the_adapter_alone_and_says_why(net):
    (net.folder / "net" / "ip").write_text("192.0.2\n")
    with net:
        until(lambda: "net/ip" in net.facts().get("why", ""))
        assert net.addresses() == ["Not", "configured"]


def test_the_enabled_profile_comes_before_static_files_and_profiles_change_by_netctl(net):
    (net.folder / "netctl" / "home").write_text(HOME)
    (net.folder / "netctl" / "cable").write_text(CABLE)
    (net.folder / "net" / "ip").write_text("192.0.2.77/24\n")
    assert net.netctl("enable", "home") == (0, "enabled home\n", "")
    with net.dnsmasq(), net:
        until(lambda: net.addresses() == ["192.0.2.100/24", "192.0.2.101/24"])
        assert net.facts()["why"] == "profile home"
        assert net.answers("192.0.2.101")
        shown = "connection=ethernet interface=eth0 address=192.0.2.100/24,192.0.2.101/24"
        assert net.netctl("status")[1] == f"profile=home enabled=yes {shown}\n"

        status, said, shown = net.netctl("start", "cable")
        assert (status, said) == (0, "started cable\n"), shown
        facts = net.facts()
        assert (facts["why"], facts["state"]) == ("profile cable", "bound")
        assert net.addresses() == [facts["address"]]
        assert net.read("netcfg/resolv/nameserver") == "9.9.9.9\n"  # the profile's own
        assert f"default via {FAR}" in net.read("netcfg/route/list")
        assert net.netctl("is-enabled", "home")[1] == "yes\n"
        net.kill("dhcpd")
        assert net.bound()["why"] == "profile cable"
        assert net.read("netcfg/resolv/nameserver") == "9.9.9.9\n"

        assert net.netctl("stop", "cable")[1] == "stopped cable\n"
        assert net.addresses() == ["Not", "configured"]
        assert net.netctl("start", "home")[1] == "started home\n"
        assert net.addresses() == ["192.0.2.100/24", "192.0.2.101/24"]
        assert net.facts()["why"] == "profile home"
        assert net.netctl("stop", "home")[1] == "stopped home\n"
        assert net.addresses() == ["Not", "configured"]
        assert "default" not in net.read("netcfg/route/list")
        assert json.loads(net.netctl("status", "--json")[1])["addresses"] == []


def test_a_profile_without_a_server_fails_after_its_time_and_says_how_far_it_came(net, monkeypatch):
    (net.folder / "netctl" / "cable").write_text(CABLE)
    monkeypatch.setenv("REDBEAR_DHCPD_WAIT_MS", "300")
    with net:
        until(lambda: net.facts().get("state") == "selecting")
        status, _, said = net.netctl("start", "cable")
        assert status == 3
        assert "eth0 has no address after 0.3 s" in said
        assert "dhcpd is selecting" in said


def test_a_card_that_comes_later_gets_an_address_and_one_that_leaves_is_forgotten(net):
    with net.dnsmasq("--dhcp-range=198.51.100.10,198.51.100.30,255.255.255.0,2m"), net:
        net.bound()
        wire = f"e1000:peer=netns:{net.far}/far1,peer_address=198.51.100.1/24"
        done = redbear("add", "--run-dir", net.run_dir, "--lab", wire)
        assert done.returncode == 0, done.stderr
        facts = net.bound("eth1")
        assert facts["address"].startswith("198.51.100.")
        assert net.answers(facts["address"].partition("/")[0])
        assert sorted(os.listdir(net.mount / "dhcp")) == ["eth0", "eth1"]
        (second,) = (d for d in net.status["daemons"] if "1ab1" in d["name"])
        done = redbear("remove", "--run-dir", net.run_dir, second["device"])
        assert done.returncode == 0, done.stderr
        until(lambda: os.listdir(net.mount / "dhcp") == ["eth0"])
        assert net.bound()["state"] == "bound"
        assert ip("-n", net.far, "link", "show", "far")


def test_a_cable_that_was_pulled_and_plugged_in_has_the_server_asked_again(net):
    def cable(state):
        pid = net.daemon("smolnetd")["pid"]
        words = ["nsenter", "-t", str(pid), "-n", "ip", "link", "set", "eth0", "carrier", state]
        subprocess.run(words, check=True, timeout=10)

    with net.dnsmasq() as server, net:
        address = net.bound()["address"]
        server.wait_for(lambda line: "DHCPACK(far)" in line)
        cable("off")
        until(lambda: net.facts()["link"] == "down")
        assert net.facts()["state"] == "bound"
        cable("on")
        server.wait_for(lambda line: "DHCPREQUEST(far)" in line)
        assert net.bound()["address"] == address
        assert net.facts()["link"] == "up"
        assert net.answers(address.partition("/")[0])


@pytest.mark.parametrize("moment", ["at once", "with IPv6"])
def test_qemus_own_network_gives_an_address_that_outlives_dhcpd(tmp_path, monkeypatch, moment):
    monkeypatch.setenv("REDBEAR_NETCTL_PROFILE_DIR", str(tmp_path))
    monkeypatch.setenv("REDBEAR_NET_DIR", str(tmp_path))
    with Up(tmp_path, "--lab", "e1000") as up:
        addresses = up.mount / "netcfg" / "ifaces" / "eth0" / "addr" / "list"
        until(lambda: "10.0.2.15/24" in addresses.read_text(), between=lambda: None)
        if moment == "with IPv6":  # by router advertisement; it is no reason to leave eth0 alone
            until(lambda: "fec0::" in addresses.read_text())
        up.kill("dhcpd")
        state = up.mount / "dhcp" / "eth0"
        until(lambda: state.exists() and "address=10.0.2.15/24" in state.read_text())
