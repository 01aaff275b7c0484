"""Daemons that are probed from inside, and looked at from outside."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import time
from pathlib import Path

import probes
from up_rig import Up

from redbear_host.manifest import installed
from redbear_host.sandbox.capabilities import mask
from redbear_host.sandbox.policy import FIRST_UID

UP_PROBED = Path(__file__).with_name("up_probed.py")
FEWEST = 80  # probes


class Probed(Up):
    """An instance whose daemons try everything forbidden before they serve."""

    def __enter__(self):
        argv = [sys.executable, UP_PROBED, "up", "--detach", *self.where, *self.arguments]
        done = subprocess.run(
            [*map(str, argv)], capture_output=True, text=True, timeout=240, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        for daemon in self.daemons():
            if daemon["state"] == "waiting":
                (self.mount / daemon["schemes"][0]).stat()  # its first use
        return self

    def daemons(self):
        return [d for d in self.status["daemons"] if d["name"] != "kernel"]

    def outcome(self, name) -> dict[str, int]:
        return outcome(self.run_dir / "log" / f"{name}.log")


def outcome(log: Path) -> dict[str, int]:
    """Return what a daemon found; it probes after it has said that it is ready."""
    deadline = time.monotonic() + 60
    while True:
        for line in log.read_text().splitlines():
            if line.startswith("PROBED "):
                return json.loads(line.removeprefix("PROBED "))
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def asked_for(folder: Path) -> list[str]:
    """Return the arguments that start every daemon there is, with their defaults."""
    config, served = folder / "all.toml", folder / "served"
    served.mkdir()
    tables = [
        f"[daemon.{m.name}]\n" + f'{m.sandbox.root} = "{served}"\n' * bool(m.sandbox.root)
        for m in installed()
        if m.match is None and m.start == "asked"
    ]
    config.write_text("".join(tables))
    return ["--config", str(config)]


# Of one that may open by a descriptor it holds: its root is empty and not to be read.
_MAY_OPEN = {
    "open /etc/passwd": errno.ENOENT,
    "open /etc/shadow": errno.ENOENT,
    "open /proc/self/mem": errno.ENOENT,
    "open /proc/1/environ": errno.ENOENT,
    "open /dev/mem": errno.ENOENT,
    "open /dev/null": errno.ENOENT,
    "open /dev/fuse": errno.ENOENT,
    "open /": errno.EACCES,
    "open .": 0,  # O_PATH: the empty root's name, and nothing in it
    "create a file": errno.ENOENT,
    "open a file without a name": errno.ENOENT,
}

# What a daemon's own list allows of the probes, and what Linux says then: never success, since
# what they name is not below its root, or not there.
GRANTED = {
    "filed": {
        "openat2": errno.ENOENT,
        "list a directory": errno.EBADF,
        "read a link": errno.ENOENT,
        "mkdirat": errno.ENOENT,
        "symlinkat": errno.ENOENT,
        "linkat": errno.ENOENT,
        "unlinkat": errno.ENOENT,
        "fchmodat": errno.ENOENT,
        "setgroups": errno.EINVAL,
        "setfsuid": 0,  # asks: no user has the number -1
        "setfsgid": 0,
    },
    "smolnetd": {  # calls of its sockets; those that the probes ask for it cannot make
        "connect": errno.EBADF,
        "bind": errno.EBADF,
        "listen": errno.EBADF,
    },
    "sudo": {  # it may read below its root, a folder that here is empty
        "open /etc/passwd": errno.ENOENT,
        "open /etc/shadow": errno.ENOENT,
        "open /proc/1/environ": errno.ENOENT,
        "open /dev/null": errno.ENOENT,
        "open /": 0,
        "open .": 0,
    },
    "audiod": _MAY_OPEN,  # its clients' names, by a descriptor of /proc
    "ramfs": _MAY_OPEN,  # a memfd once more, by /proc/self/fd
}


def check_from_inside(name: str, outcome: dict[str, int]) -> None:
    """Fail unless a daemon was denied everything but what its list names."""
    manifest = manifest_of(name)
    granted = GRANTED.get(manifest.name, {})
    all_of_them = probes.probes(0)
    assert outcome.keys() == {probe.name for probe in all_of_them}
    expected = {probe.name: probe.denial for probe in all_of_them} | granted
    wrong = {
        probe: errno.errorcode.get(found, str(found))
        for probe, found in outcome.items()
        if found != expected[probe]
    }
    assert not wrong, f"{name}: {wrong}"
    assert len(outcome) - len(granted) >= FEWEST


def manifest_of(name):
    return next(m for m in installed() if m.name == name.partition(".")[0])


def status_of(pid) -> dict[str, str]:
    """What /proc says of a process."""
    text = Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def check_from_outside(daemon):
    """Fail unless Linux says of a running daemon that it holds nothing."""
    pid = daemon["pid"]
    seen = status_of(pid)
    manifest = manifest_of(daemon["name"])
    assert seen["NoNewPrivs"] == "1"
    assert seen["Seccomp"] == "2"
    assert seen["Threads"] == "1"
    kept = mask(manifest.sandbox.keeps)
    for kind in ("CapEff", "CapPrm", "CapBnd"):
        assert int(seen[kind], 16) & ~kept == 0, f"{daemon['name']}: {kind} {seen[kind]}"
    assert int(seen["CapInh"], 16) == int(seen["CapAmb"], 16) == 0
    # The fourth is filed's file system user: whomever it has served last.
    uids = {int(word) for word in seen["Uid"].split()[: 3 if manifest.sandbox.keeps else 4]}
    assert len(uids) == 1
    assert uids.pop() >= FIRST_UID
    if not manifest.sandbox.keeps:
        assert seen["Groups"].strip() == ""
    if not manifest.sandbox.root:
        assert list(Path(f"/proc/{pid}/root").iterdir()) == []
    own = {kind: Path(f"/proc/{pid}/ns/{kind}").readlink() for kind in ("mnt", "net", "ipc", "uts")}
    for kind, link in own.items():
        assert link != Path(f"/proc/self/ns/{kind}").readlink()
