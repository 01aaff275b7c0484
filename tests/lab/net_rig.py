"""Two namespaces of Linux's with our driver between them, and strangers who talk through it.

near: Linux's TCP/IP, `net tap`  |  e1000d, QEMU's card  |  far: Linux's TCP/IP, a TAP of QEMU's
"""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

from network_namespaces import has_carrier, inside, namespace, until
from up_rig import COMMAND, Up

NEAR, FAR = "192.0.2.2", "192.0.2.1"
HASHED = "curl -sS --fail --max-time 60 {url} | sha256sum"


class Wired(Up):
    """An instance with one card; `near` and `far` are the namespaces at the two ends of it."""

    def __init__(self, folder: Path, kind: str):
        self._stack = ExitStack()
        self.near = self._stack.enter_context(namespace())
        self.far = self._stack.enter_context(namespace())
        super().__init__(folder, "--lab", f"{kind}:peer=netns:{self.far}/far,peer_address={FAR}/24")

    def __enter__(self):
        with self._stack as unless_it_comes_up:
            super().__enter__()
            self._stack.push(super().__exit__)
            tap = ("net", "tap", *self.where, "--netns", self.near, "--address", f"{NEAR}/24")
            words = [*COMMAND, *map(str, tap)]
            unless_it_comes_up.enter_context(Stranger(words))
            until(lambda: has_carrier("rb0", self.near))
            assert self.in_near("ping", "-q", "-c", 1, "-w", 20, FAR).returncode == 0
            self._undo = unless_it_comes_up.pop_all()
        return self

    def __exit__(self, *error):
        self._undo.close()

    def in_near(self, *words, timeout=60):
        return inside(self.near, *words, timeout=timeout)

    def in_far(self, *words, timeout=60):
        return inside(self.far, *words, timeout=timeout)

    def stranger(self, where, *words, **options):
        """Run a program in a namespace for as long as a block runs."""
        return Stranger(["ip", "netns", "exec", where, *map(str, words)], **options)

    def hash_of(self, url):
        """Download in `near`; return what sha256sum says."""
        done = self.in_near("sh", "-c", HASHED.format(url=url), timeout=90)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout.split()[0]

    def iperf(self, *options):
        """Run iperf3 from `near` to the server in `far`; return its report."""

        def asked():  # the server is with the client before for a moment longer than that is
            done = self.in_near("iperf3", "-c", FAR, "-J", *options)
            report = json.loads(done.stdout)
            return None if "server is busy" in report.get("error", "") else (done, report)

        done, report = until(asked)
        assert done.returncode == 0, report.get("error")
        return report


class Stranger:
    """A program that runs for as long as a block does."""

    def __init__(self, words, **options):
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        self.process = subprocess.Popen(words, **{**quiet, **options})

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def listens(where, port, kind="-ltn"):
    """Wait until somebody listens."""
    until(lambda: f":{port} " in inside(where, "ss", kind, "-H").stdout)


def gaps(pcap: Path, pattern: str) -> list[float]:
    """Return the seconds between the captured frames that a display filter lets through."""
    fields = ["-Y", pattern, "-T", "fields", "-e", "frame.time_delta_displayed"]
    done = subprocess.run(
        ["tshark", "-n", "-r", pcap, *fields],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [float(line) for line in done.stdout.split()]
