"""What the contract suite needs of a landing: a machine with one NVMe controller in it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from redbear_host.hw.ports import PciFunction

CRASH = Path(__file__).with_name("crash_child.py")


class Rig(Protocol):
    """A machine whose function can be opened by one daemon after the other."""

    def open(self) -> PciFunction:
        """Open the function as a new daemon would; the caller closes it."""
        ...

    def crash(self) -> None:
        """Let a daemon open the function, do `nvme_probe.leave_running` and be killed."""
        ...

    def pull(self) -> None:
        """Take the device out of the machine without a word."""
        ...


def crash_in_child(grant: dict[str, Any], fds: Sequence[int]) -> None:
    """Do what `Rig.crash` promises, for a landing whose functions travel as grants."""
    child = subprocess.run(
        [sys.executable, CRASH, json.dumps(grant), json.dumps(list(fds))],
        pass_fds=fds,
        timeout=60,
        check=False,
        capture_output=True,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
