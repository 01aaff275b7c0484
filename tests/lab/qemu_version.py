"""Which QEMU this machine has: a few of its faults are of one version only."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache

from redbear_host.lab.qemu import BINARY

QEMU_BUFFER = 2048  # frames: 8 KiB of a codec's own


@cache
def qemu_version() -> tuple[int, ...]:
    if shutil.which(BINARY) is None:
        return ()  # the rig says so, or fails in CI
    said = subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.(\d+)", said.stdout)
    assert found, said.stdout
    return tuple(map(int, found.groups()))


def replays() -> bool:
    """Tell whether a card that has no DMA any more plays QEMU's buffer again; 7.2 is silent."""
    return qemu_version() >= (10,)
