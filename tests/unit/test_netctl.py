"""`redbear-host netctl` with Red Bear's hooks: its roots are folders of the test's."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from redbear_host.cli import main, netctl

HOME = """Description='at home'
Interface=eth0
Connection=ethernet
IP=static
Address=('10.0.0.2/24' '10.0.0.3/24')
Gateway=10.0.0.1
DNS=('10.0.0.1' '9.9.9.9')
"""
CABLE = "Interface=eth0\nConnection=ethernet\nIP=dhcp\n"
AIR = "Interface=wlan0\nConnection=wifi\nIP=bounded\nSSID=net\nSecurity=wpa2-psk\nKey=secretive\n"
CLIENT = """#!/bin/sh
# A DHCP client: what netctl gives it is the adapter.
mkdir -p {root}/ifaces/$1/addr
sleep 0.2
echo 192.0.2.9/24 > {root}/ifaces/$1/addr/list
"""


class Room:
    """Profiles, and folders in the places of the schemes."""

    def __init__(self, folder, capsys):
        self.folder, self.capsys = folder, capsys
        self.profiles = folder / "profiles"
        self.netcfg = folder / "netcfg"
        self.dhcp = folder / "mount" / "dhcp"
        for name, text in (("home", HOME), ("cable", CABLE), ("air", AIR)):
            self.put(f"profiles/{name}", text)
        self.environment = {
            "REDBEAR_NETCTL_PROFILE_DIR": str(self.profiles),
            "REDBEAR_NETCTL_ACTIVE": str(folder / "chosen"),
            "REDBEAR_NETCFG_ROOT": str(self.netcfg),
            "REDBEAR_WIFICTL_ROOT": str(folder / "wifictl"),
            "REDBEAR_SCHEME": str(folder / "mount"),
            "REDBEAR_DHCPD_WAIT_MS": "3000",
            "REDBEAR_DHCPD_POLL_MS": "5",
        }

    def put(self, path, text):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def run(self, *words):
        """Return the exit status and what was printed, to both streams."""
        status = main(["netctl", *words])
        said = self.capsys.readouterr()
        return status, said.out + said.err

    def written(self):
        """What netcfg was told, by its files."""
        files = (path for path in self.netcfg.rglob("*") if path.is_file())
        return {str(path.relative_to(self.netcfg)): path.read_text() for path in files}

    def client(self, text=CLIENT):
        script = self.put("client", text.format(root=self.netcfg))
        script.chmod(0o755)
        return {**os.environ, **self.environment, "REDBEAR_DHCPD_CMD": str(script)}


@pytest.fixture
def room(tmp_path, capsys, monkeypatch):
    made = Room(tmp_path, capsys)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("REDBEAR_DHCPD_CMD", raising=False)
    return made


def in_process(environment, *words):
    return subprocess.run(
        [sys.executable, "-m", "redbear_host", "netctl", *words],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_red_bears_name_for_it_is_a_command(room, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["redbear-netctl", "list"])
    assert netctl.main() == 0
    assert room.capsys.readouterr().out == "air\ncable\nhome\n"


def test_profiles_are_listed_by_name(room):
    assert room.run("list") == (0, "air\ncable\nhome\n")
    room.run("enable", "home")
    status, said = room.run("list", "--json")
    assert status == 0
    assert [entry["name"] for entry in json.loads(said) if entry["enabled"]] == ["home"]


def test_a_static_profile_writes_its_addresses_route_and_nameservers(room):
    assert room.run("start", "home") == (0, "started home\n")
    assert room.written() == {
        "ifaces/eth0/addr/set": "10.0.0.2/24\n",
        "ifaces/eth0/addr/add": "10.0.0.3/24\n",
        "route/add": "default via 10.0.0.1\n",
        "resolv/nameserver": "10.0.0.1\n9.9.9.9\n",
    }


def test_stop_takes_them_away_and_leaves_the_profile_enabled(room):
    room.run("enable", "home")
    room.run("start", "home")
    assert room.run("stop", "home") == (0, "stopped home\n")
    written = room.written()
    assert written["route/rm"] == "default\n"
    assert written["ifaces/eth0/addr/rm"] == "10.0.0.3/24\n"
    assert room.run("is-enabled", "home") == (0, "yes\n")


def test_enable_and_disable_say_what_they_did(room):
    assert room.run("is-enabled") == (1, "no\n")
    assert room.run("enable", "home") == (0, "enabled home\n")
    assert (room.folder / "chosen").read_text() == "home\n"
    assert room.run("is-enabled") == (0, "yes\n")
    assert room.run("is-enabled", "cable") == (1, "no\n")
    assert room.run("disable") == (0, "disabled home\n")
    assert room.run("disable") == (0, "no profile was enabled\n")
    assert not (room.folder / "chosen").exists()


def test_what_is_not_enabled_cannot_be_disabled(room):
    room.run("enable", "home")
    status, said = room.run("disable", "cable")
    assert (status, said) == (2, "redbear-host: cable is not enabled\nhint: home is enabled\n")
    assert room.run("is-enabled", "home") == (0, "yes\n")


def test_a_broken_profile_is_not_enabled(room):
    room.put("profiles/broken", CABLE.replace("IP=dhcp\n", ""))
    status, said = room.run("enable", "broken")
    assert status == 2
    assert "profile broken is missing IP=" in said
    assert not (room.folder / "chosen").exists()


def test_status_is_red_bears_line(room):
    assert room.run("status") == (0, "profile=none enabled=no address=unconfigured\n")
    room.run("enable", "home")
    shown = "profile=home enabled=yes connection=ethernet interface=eth0"
    assert room.run("status") == (0, f"{shown} address=unconfigured\n")
    room.put("netcfg/ifaces/eth0/addr/list", "10.0.0.2/24\nfe80::1/64\n10.0.0.3/24\n")
    assert room.run("status") == (0, f"{shown} address=10.0.0.2/24,10.0.0.3/24\n")
    room.put("netcfg/ifaces/eth0/addr/list", "Not configured\n")
    shown = "profile=cable enabled=no connection=ethernet interface=eth0"
    assert room.run("status", "cable") == (0, f"{shown} address=unconfigured\n")


def test_status_as_json_has_more(room):
    room.run("enable", "home")
    room.put("netcfg/ifaces/eth0/addr/list", "10.0.0.2/24\n")
    room.put("netcfg/resolv/nameserver", "9.9.9.9\n")
    found = json.loads(room.run("status", "--json")[1])
    assert found["addresses"] == ["10.0.0.2/24"]
    assert (found["enabled"], found["dns"]) == (True, "9.9.9.9")


def test_the_client_of_the_hook_is_started_and_waited_for(room):
    done = in_process(room.client(), "start", "cable")
    assert (done.returncode, done.stdout) == (0, "started cable\n"), done.stderr
    assert "ok: wait for an address on eth0" in done.stderr


def test_it_is_not_started_where_there_is_an_address_but_when_booting(room):
    room.put("netcfg/ifaces/eth0/addr/list", "192.0.2.1/24\n")
    mark = room.folder / "mark"
    environment = room.client(f"#!/bin/sh\necho $1 > {mark}\n")
    assert in_process(environment, "start", "cable").returncode == 0
    assert not mark.exists()
    assert in_process(environment, "--boot").stdout == "no profile is enabled\n"
    room.run("enable", "cable")
    assert in_process(environment, "--boot").stdout == "started cable\n"
    deadline = 200
    while not mark.exists() and deadline:
        deadline -= 1
        subprocess.run(["sleep", "0.02"], check=True)
    assert mark.read_text() == "eth0\n"


def test_a_client_that_fails_is_told_of_at_once(room):
    done = in_process(room.client("#!/bin/sh\nexit 3\n"), "start", "cable")
    assert done.returncode == 3
    assert "the DHCP client of eth0 ended with status 3" in done.stderr


def test_an_address_that_does_not_come_is_a_failure(room):
    room.put("netcfg/ifaces/eth0/addr/list", "2001:db8::9/64\n")  # no server of DHCP gave it
    environment = room.client("#!/bin/sh\nexit 0\n") | {"REDBEAR_DHCPD_WAIT_MS": "50"}
    done = in_process(environment, "start", "cable")
    assert done.returncode == 3
    assert "eth0 has no address after 0.05 s" in done.stderr


def test_without_a_client_that_is_said(room):
    status, said = room.run("start", "cable")
    assert status == 3
    assert "there is no DHCP client" in said


def test_dhcpds_own_scheme_is_told_who_asks(room):
    state = room.put("mount/dhcp/eth0", "how=left alone\nstate=stopped\n")
    room.put("netcfg/ifaces/eth0/addr/list", "10.0.0.2/24\n")
    assert room.run("start", "cable")[0] == 0
    assert state.read_text().startswith("start profile cable\n")
    assert room.written()["ifaces/eth0/addr/rm"] == "10.0.0.2/24\n"  # another profile's
    room.put("mount/dhcp/eth0", "")
    assert room.run("start", "home")[0] == 0
    assert state.read_text() == "stop profile home\n"


def test_a_started_profile_is_shown_without_being_enabled(room):
    room.put("mount/dhcp/eth0", "how=left alone\nwhy=profile home\nstate=stopped\n")
    assert room.run("status")[1].startswith("profile=home enabled=no")


def test_retry_asks_the_server_again(room):
    state = room.put("mount/dhcp/eth0", "")
    (room.netcfg / "ifaces" / "eth0").mkdir(parents=True)
    assert room.run("retry", "cable") == (0, "retried eth0\n")
    assert state.read_text() == "renew\n"
    assert room.run("retry", "eth0") == (0, "retried eth0\n")
    status, said = room.run("retry", "eth7")
    assert status == 2
    assert "eth7 is no profile and no adapter" in said


def test_without_a_wifi_daemon_a_wifi_profile_says_so(room):
    for verb in ("start", "scan", "retry"):
        status, said = room.run(verb, "air")
        assert status == 3
        assert "there is no wifi daemon" in said
    room.run("enable", "air")
    line = room.run("status")[1]
    assert line.startswith("profile=air enabled=yes connection=wifi interface=wlan0 address=unconf")
    assert "secretive" not in line


def radio(room):
    folder = room.folder / "wifictl" / "ifaces" / "wlan0"
    folder.mkdir(parents=True)
    return folder


def test_with_one_it_is_told_everything_in_order(room):
    folder = radio(room)
    line = room.folder / "line"  # all its files are one pipe, so that the order is seen
    os.mkfifo(line)
    nodes = ["ssid", "security", "key", "prepare", "init-transport", "activate-nic", "connect"]
    for node in nodes:
        (folder / node).symlink_to(line)
    pipe = os.open(line, os.O_RDWR | os.O_NONBLOCK)
    try:
        assert room.run("start", "air")[0] == 0
        assert os.read(pipe, 4096).decode().split() == ["net", "wpa2-psk", "secretive", *"1111"]
    finally:
        os.close(pipe)
    assert sorted(path.name for path in folder.iterdir()) == sorted(nodes)


def test_a_radio_that_fails_says_why(room):
    folder = radio(room)
    (folder / "firmware-status").write_text("failed\n")
    (folder / "last-error").write_text("no firmware\n")
    status, said = room.run("start", "air")
    assert status == 3
    assert "wlan0: ssid failed (firmware-status): no firmware" in said


def test_a_scan_shows_what_the_radio_found(room):
    (radio(room) / "scan-results").write_text("net -40\nother -70\n")
    assert room.run("scan", "wlan0") == (0, "net -40\nother -70\n")
    room.put("netcfg/ifaces/eth0/mac", "52-54-00-12-34-56\n")
    assert room.run("scan", "eth0")[0] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "netctl needs an action"),
        (("strat", "home"), "hint: did you mean 'start'?"),
        (("start",), "netctl start needs a profile"),
        (("list", "home"), "netctl list takes no name"),
        (("start", "hmoe"), "hint: did you mean 'home'?"),
        (("start", "../home"), "cannot be the name of a profile"),
        (("--boot", "start"), "--boot and start cannot go together"),
        (("stop", "home", "--json"), "netctl stop prints no JSON"),
        (("start", "a", "b"), "unrecognized arguments: b"),
    ],
)
def test_what_is_typed_wrongly_is_said_in_one_sentence(room, words, said):
    status, output = room.run(*words)
    assert status == 2
    assert said in output


def test_a_hook_that_is_no_number_is_named(room, monkeypatch):
    monkeypatch.setenv("REDBEAR_DHCPD_WAIT_MS", "soon")
    status, said = room.run("list")
    assert (status, said) == (
        2,
        "redbear-host: REDBEAR_DHCPD_WAIT_MS=soon is no number of milliseconds\n",
    )


def test_boot_starts_the_enabled_profile(room):
    room.run("enable", "home")
    assert room.run("--boot") == (0, "started home\n")
    assert room.written()["ifaces/eth0/addr/set"] == "10.0.0.2/24\n"


def test_an_adapter_that_is_not_there_is_named(room, monkeypatch):
    monkeypatch.delenv("REDBEAR_NETCFG_ROOT")
    status, said = room.run("start", "home")
    assert status == 2
    assert "there is no adapter eth0" in said
    (room.folder / "mount" / "netcfg" / "ifaces" / "eth5").mkdir(parents=True)
    assert "hint: there are: eth5" in room.run("start", "home")[1]
