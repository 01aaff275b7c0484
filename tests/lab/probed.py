"""A daemon as it is, that tries all forbidden things once it is locked in, and then serves.

Run by the supervisor in the daemon's place (`Probed` in sandbox_rig.py): the daemon's own module
runs as it is, with its own set-up, its own policy and its own lock.  Only where its loop would
begin, the probes come first; what they found is the line `PROBED {…}` of its log.
"""

from __future__ import annotations

import json
import os
import runpy
import socket
import sys

import tests.lab.probes as probes
from redbear_host.scheme.loop import Loop


def _name() -> str:
    """Read from the set-up, without taking it, which daemon this is."""
    control = socket.socket(fileno=os.dup(int(sys.argv[1])))
    with control:
        setup = json.loads(control.recv(1 << 20, socket.MSG_PEEK))
    return setup["name"].partition(".")[0]


def main() -> None:
    run, parent = Loop.run, os.getppid()

    def probe_then_run(loop: Loop) -> None:
        outcome = probes.run(parent)
        os.write(2, f"PROBED {json.dumps(outcome)}\n".encode())
        run(loop)

    Loop.run = probe_then_run
    name = _name()
    module = name if name == "orbital" else f"daemons.{name}"  # as `Manifest.module` has it
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
