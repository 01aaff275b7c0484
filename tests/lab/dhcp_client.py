"""dhcpd's machine on Linux's own sockets and addresses, for servers nobody here wrote.

Run as `python dhcp_client.py INTERFACE [LEASE]`, in a network namespace.  It says in lines of JSON
what happens; `stop` and `renew` on its standard input are commands.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from random import Random

from daemons.dhcpd.lease import Lease
from daemons.dhcpd.machine import Machine, Outcome
from daemons.dhcpd.message import CLIENT_PORT, SERVER_PORT


class PlainHost:
    """The adapter is an interface of Linux's."""

    def __init__(self, interface):
        self.interface = interface
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.socket.bind(("0.0.0.0", CLIENT_PORT))

    def send(self, data, server):
        self.socket.sendto(data, (str(server or "255.255.255.255"), SERVER_PORT))
        tell("sent", kind=data[242], to=str(server or ""))

    def configure(self, lease, before):
        ip("address", "replace", f"{lease.address}/{lease.prefix}", "dev", self.interface)
        for route in lease.routes:
            way = ["via", str(route.gateway)] if int(route.gateway) else []
            ip("route", "replace", str(route.target), *way, "dev", self.interface)
        tell("configured", lease=lease.to_wire(), again=lease.same_settings(before))
        return Outcome.USED

    def remove(self, lease):
        ip("address", "delete", f"{lease.address}/{lease.prefix}", "dev", self.interface)
        tell("removed", address=str(lease.address))


def ip(*words):
    subprocess.run(["ip", *words], check=True, timeout=10)


def tell(event, **facts):
    print(json.dumps({"event": event, "at": time.monotonic(), **facts}), flush=True)


def main():
    interface = sys.argv[1]
    remembered = Lease.from_wire(json.loads(sys.argv[2])) if len(sys.argv) > 2 else None
    host = PlainHost(interface)
    mac = bytes.fromhex(Path("/sys/class/net", interface, "address").read_text().replace(":", ""))
    machine = Machine(host, mac, Random(), "rb-client")
    machine.start(time.monotonic(), remembered)
    while True:
        left = min(max(0.0, machine.deadline - time.monotonic()), 3600.0)
        ready, _, _ = select.select([host.socket, sys.stdin], [], [], left)
        if host.socket in ready:
            machine.on_message(host.socket.recv(65536), time.monotonic())
        if sys.stdin in ready:
            command = sys.stdin.readline().strip()
            if command != "renew":
                machine.stop(time.monotonic())
                return
            machine.renew(time.monotonic())
        machine.tick(time.monotonic())


if __name__ == "__main__":
    main()
