"""`redbear-host up` as a user types it, on a mount point and a run directory of the test's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMAND = [sys.executable, "-m", "redbear_host"]


def redbear(*arguments, timeout=60, **options):
    """Run one verb; return the finished process with its output as text."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
        **options,
    )


class Up:
    """One instance; `with Up(tmp_path, "--lab", …) as up`."""

    patience = 60  # seconds for it to be up, and to be down again

    def __init__(self, folder: Path, *arguments):
        self.mount = folder / "scheme"
        self.run_dir = folder / "run"
        self.arguments = arguments
        self.options = {}  # of subprocess.run, for `up`

    def __enter__(self):
        words = ("up", "--detach", *self.where, *self.arguments)
        done = redbear(*words, timeout=self.patience, **self.options)
        assert done.returncode == 0, done.stdout + done.stderr
        self.output = done.stdout + done.stderr
        return self

    def __exit__(self, *_):
        done = redbear("down", "--run-dir", self.run_dir, timeout=self.patience)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not self.mount.exists()
        assert leftovers(self.run_dir) == []

    @property
    def where(self):
        return ("--mount", self.mount, "--run-dir", self.run_dir)

    @property
    def status(self):
        done = redbear("status", "--json", "--run-dir", self.run_dir)
        assert done.returncode in (0, 3), done.stderr
        return json.loads(done.stdout)

    def daemon(self, prefix):
        return next(d for d in self.status["daemons"] if d["name"].startswith(prefix))

    @property
    def disk(self) -> Path:
        """The folder of the first disk scheme."""
        names = [s for d in self.status["daemons"] for s in d["schemes"] if s.startswith("disk.")]
        return self.mount / names[0]

    def log(self, name) -> str:
        return "".join(p.read_text() for p in (self.run_dir / "log").glob(f"{name}*.log"))

    def _written(self, prefix):
        state = json.loads((self.run_dir / "state.json").read_text())
        return next(d for d in state["daemons"] if d["name"].startswith(prefix))

    def kill(self, prefix, number=signal.SIGKILL):
        """Kill a daemon by its own pid and wait until its successor is ready; return seconds."""
        before = self._written(prefix)
        began = time.monotonic()
        os.kill(before["pid"], number)
        deadline = began + 20
        while True:
            now = self._written(prefix)
            if now["state"] == "ready" and now["restarts"] > before["restarts"]:
                return time.monotonic() - began
            assert now["state"] != "failed", now["why"] + self.log(prefix)
            assert time.monotonic() < deadline, self.log(prefix)
            time.sleep(0.002)


def leftovers(run_dir: Path) -> list[str]:
    """Name processes that belong to an instance and still live, and its mounts."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            state = (entry / "stat").read_text().rsplit(") ", 1)[1][0]
        except (OSError, IndexError):
            continue
        if state != "Z" and any(os.fsencode(str(run_dir)) in word for word in words):
            found.append(b" ".join(words).decode(errors="replace"))
    mounts = Path("/proc/self/mountinfo").read_text()
    found += [line for line in mounts.splitlines() if str(run_dir.parent) + "/" in line]
    return found
