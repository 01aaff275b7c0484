"""A daemon that says what it is told to, with descriptors, and writes down what it hears.

Options: `says`, a list of messages and of how many descriptors go with each (of memory, or of the
file that a message calls "fd"), and `notes`, a file in
which each line is what a life was set up with or told later; a descriptor is noted as what it leads
to.
"""

from __future__ import annotations

import json
import os
import socket

from redbear_host.daemon import Daemon
from tests.lab.odd_daemon import Empty


def main() -> None:
    with Daemon.receive() as daemon:
        notes = os.open(daemon.options["notes"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def note(message, fds):
            links = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
            os.write(notes, (json.dumps([message, links]) + "\n").encode())
            for fd in fds:
                os.close(fd)

        def babble():
            for message, count in daemon.options.get("says", ()) if daemon.life == 1 else ():
                path = message.get("fd") if isinstance(message, dict) else None
                fds = [
                    os.open(path, os.O_RDWR) if path else os.memfd_create(f"wire {index}")
                    for index in range(count)
                ]
                if isinstance(message, dict) and isinstance(message.get("id"), int):
                    daemon._asking[message["id"]] = note
                socket.send_fds(daemon._control, [json.dumps(message).encode()], fds)
                for fd in fds:
                    os.close(fd)

        setup = daemon._setup
        held = [entry["fd"] for entry in setup.get("joins", ())] + [*setup.get("kept", {}).values()]
        told = {key: setup[key] for key in ("joins", "kept") if key in setup}
        fds = [os.dup(daemon._fds[index]) for index in held]
        note({"life": daemon.life, "with": daemon.facts.get("with"), **told}, fds)
        daemon.on_told = note
        for name in daemon.scheme_names:
            daemon.serve(name, Empty())
        daemon.loop.soon(babble)
        daemon.run()


if __name__ == "__main__":
    main()
