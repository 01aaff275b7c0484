"""A wire between two network namespaces, DHCP servers at one end, and what tshark makes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, Queue

from network_namespaces import ip, namespace, until

CLIENT = Path(__file__).with_name("dhcp_client.py")
SERVER = "192.0.2.1"


class Program:
    """A program in a namespace, whose lines are read; it ends with the block."""

    def __init__(self, where, *words, **options):
        self.lines = Queue()
        self.said = []
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", where, *map(str, words)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.PIPE,
            text=True, **options,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self._reader.join(10)
        self.process.stdin.close()
        self.process.stdout.close()

    def wait_for(self, found, within=15.0):
        """Return the first line, of those not seen before, that `found` likes."""

        def look():
            try:
                line = self.lines.get(timeout=0.05)
            except Empty:
                assert self.process.poll() is None or not self.lines.empty(), "".join(self.said)
                return None
            self.said.append(line)
            return line if found(line) else None

        try:
            return until(look, within, lambda: None)
        except AssertionError as error:
            raise AssertionError("".join(self.said)) from error


class Client(Program):
    """`dhcp_client.py`."""

    def __init__(self, wire, *words):
        tree = Path(__file__).parents[2]
        super().__init__(
            wire.client, sys.executable, CLIENT, "eth0", *words,
            env={**os.environ, "PYTHONPATH": str(tree)},
        )  # fmt: skip

    def event(self, name, within=15.0, **facts):
        """Wait for an event with these facts."""

        def wanted(line):
            if not line.startswith("{"):
                return False
            said = json.loads(line)
            return said["event"] == name and facts.items() <= said.items()

        return json.loads(self.wait_for(wanted, within))

    def say(self, command):
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()


class Wire(ExitStack):
    """Namespaces `server` (interface wire0, 192.0.2.1/24) and `client` (eth0, nothing)."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.server = self.enter_context(namespace())
        self.client = self.enter_context(namespace())
        ip("-n", self.server, "link", "add", "wire0", "type", "veth",
           "peer", "name", "eth0", "netns", self.client)  # fmt: skip
        ip("-n", self.server, "address", "add", f"{SERVER}/24", "dev", "wire0")
        for where, name in ((self.server, "wire0"), (self.client, "eth0")):
            ip("-n", where, "link", "set", name, "up")

    def dnsmasq(self, *words, name="dnsmasq", first=10, interface="wire0"):
        """Start a dnsmasq that gives 192.0.2.FIRST and the 20 after it, for two minutes."""
        leases = self.folder / f"{name}.leases"
        program = self.enter_context(
            Program(
                self.server, "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0",
                "--bind-interfaces", f"--interface={interface}", "--except-interface=lo",
                f"--dhcp-range=192.0.2.{first},192.0.2.{first + 20},255.255.255.0,2m",
                f"--dhcp-leasefile={leases}", "--pid-file=", "--user=root", "--log-dhcp",
                "--no-ping", *words,
            )
        )  # fmt: skip
        program.leases = leases
        program.wait_for(lambda line: "DHCP, sockets bound" in line or "DHCP, IP range" in line)
        return program

    def isc(self, text):
        """Start ISC's dhcpd with these declarations of the network."""
        conf, leases = self.folder / "isc.conf", self.folder / "isc.leases"
        leases.touch()
        conf.write_text(f"authoritative;\nping-check false;\n{text}\n")
        program = self.enter_context(
            Program(self.server, "dhcpd", "-4", "-f", "-d", "--no-pid", "-user", "root",
                    "-cf", conf, "-lf", leases, "wire0")
        )  # fmt: skip
        program.wait_for(lambda line: "Server starting service" in line)
        return program

    def capture(self):
        """Start to write down what passes; `judge` reads it."""
        file = self.folder / "wire.pcap"
        program = self.enter_context(
            Program(self.server, "tcpdump", "-i", "wire0", "-U", "-w", file, "port 67 or port 68")
        )
        program.wait_for(lambda line: "listening on" in line)
        program.file = file
        return program

    def start(self, *words):
        """Start the client."""
        return self.enter_context(Client(self, *words))

    def addresses(self):
        """List the client's addresses."""
        found = json.loads(ip("-n", self.client, "-4", "-j", "address", "show", "dev", "eth0"))
        return [f"{one['local']}/{one['prefixlen']}" for link in found for one in link["addr_info"]]


def judge(file):
    """Have tshark say of each message its type, and whether anything is wrong with it."""
    done = subprocess.run(
        ["tshark", "-r", file, "-n", "-T", "fields", "-E", "separator=;", "-e", "dhcp.option.dhcp",
         "-e", "ip.dst", "-e", "_ws.malformed", "-e", "_ws.expert.message"],
        capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "HOME": "/nonexistent"},
    )  # fmt: skip
    return [line.split(";") for line in done.stdout.splitlines()]
