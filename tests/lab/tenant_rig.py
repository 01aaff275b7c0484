"""What a hostile tenant would like to reach, and the tenant let loose, outside and inside."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from up_rig import COMMAND, Up

from kernel_shim.mounted import _listen
from redbear_host import linux
from schemefs.mount import all_mounts

TENANT = Path(__file__).with_name("tenant.py").read_text()
# Listens at a name that means something to itself only, and in a network of its own.
NEIGHBOUR = """
import ctypes, os, socket, sys
os.chdir(sys.argv[1])
kept = []
for name, flags in ("relative", 0), (sys.argv[1] + "/elsewhere", 0x4000_0000):
    assert ctypes.CDLL(None).unshare(flags) == 0
    one = socket.socket(socket.AF_UNIX)
    one.bind(name)
    one.listen(8)
    kept.append(one)
print(flush=True)
sys.stdin.read()
"""
PYTHON = str(Path(sys.executable).resolve())  # the machine's: a checkout may lie below /tmp
GRANTED, SECRET = "rand", "pci"


class Bait(ExitStack):
    """An instance, an outsider, and listeners, as long as the context lasts."""

    def __init__(self, up: Up) -> None:
        super().__init__()
        self.up = up
        self.outsider = subprocess.Popen(["sleep", "600"], start_new_session=True)
        self.callback(self._end_outsider)
        # On the root file system, which stays visible: /tmp does not.
        folder = tempfile.TemporaryDirectory(dir="/var/lib", prefix="redbear-test-")
        self.folder = Path(self.enter_context(folder))
        number, name = tempfile.mkstemp(dir="/tmp")
        os.close(number)
        self.temporary = Path(name)
        self.callback(self.temporary.unlink)
        tcp = self.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._keep_neighbour()
        os.mkfifo(self.folder / "fifo")
        fifo = os.open(self.folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        self.callback(os.close, fifo)
        (self.folder / "ring").mkdir()
        other = _listen(self.folder / "ring" / "odd")
        self.callback(other.close)
        abstract = self._listen(f"\0redbear-test-{os.getpid()}")
        daemon = self._listen(str(self.folder / "socket"))
        connections = Path("/sys/fs/fuse/connections")
        if not any(connections.iterdir()):
            linux.mount("none", connections, "fusectl", 0)
        self.inherited = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        self.callback(os.close, self.inherited)
        self.facts = {
            "mount": str(up.mount),
            "secret": SECRET,
            "socket": str(up.run_dir / "ring" / SECRET),
            "state": str(up.run_dir / "state.json"),
            "logs": str(up.run_dir / "log"),
            "minor": next(m.minor for m in all_mounts() if m.point == up.mount / SECRET),
            "outsider": self.outsider.pid,
            "disk": next(f"/dev/{p.name}" for p in sorted(Path("/sys/block").iterdir())),
            "port": tcp.getsockname()[1],
            "abstract": abstract[1:],
            "daemon": daemon,
            "relative": str(self.folder / "relative"),
            "elsewhere": str(self.folder / "elsewhere"),
            "other": str(self.folder / "ring" / "odd"),
            "fifo": str(self.folder / "fifo"),
            "folder": str(self.folder),
            "temporary": str(self.temporary),
            "inherited": self.inherited,
        }

    def _keep_neighbour(self) -> None:
        neighbour = subprocess.Popen(
            [PYTHON, "-I", "-c", NEIGHBOUR, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.callback(neighbour.communicate)
        assert neighbour.stdout is not None
        assert neighbour.stdout.readline()

    def _end_outsider(self) -> None:
        self.outsider.kill()
        self.outsider.wait()

    def _listen(self, address: str) -> str:
        listener = self.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(address)
        listener.listen(8)
        return address

    def loose(self, *before: str) -> dict[str, str]:
        """Run the tenant behind the words `before`; return what it reached."""
        done = subprocess.run(
            [*before, PYTHON, "-I", "-c", TENANT, json.dumps(self.facts)],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            stdin=subprocess.DEVNULL,
            pass_fds=(self.inherited,),
            cwd="/",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, str] = json.loads(done.stdout)
        return found

    def loose_inside(self) -> dict[str, str]:
        run = [*COMMAND, "run", "--run-dir", str(self.up.run_dir), "--schemes", GRANTED]
        return self.loose(*run, "--")
