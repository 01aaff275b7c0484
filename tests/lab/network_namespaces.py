"""Network namespaces of a test's own, and what its programs do in them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import contextmanager
from itertools import count

_numbers = count()


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def namespace():
    """Make one that goes with the block; yield its name."""
    name = f"rb-net-{os.getpid()}-{next(_numbers)}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        ip("netns", "delete", name)


def interface(name, where):
    """Describe an interface as `ip` does, None if there is none."""
    found = {one["ifname"]: one for one in json.loads(ip("-n", where, "-j", "address", "show"))}
    return found.get(name)


def has_carrier(name, where):
    found = interface(name, where)
    return found is not None and "LOWER_UP" in found["flags"]


def inside(where, *words, timeout=30):
    """Run a program in a namespace."""
    return subprocess.run(
        ["ip", "netns", "exec", where, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def until(done, within=30.0, between=lambda: time.sleep(0.005)):
    """Wait for a condition, which is returned."""
    deadline = time.monotonic() + within
    while not (found := done()):
        assert time.monotonic() < deadline, "it did not come to that"
        between()
    return found
