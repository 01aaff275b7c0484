"""smolnetd over the lab's e1000, with strangers in a network namespace at the far end."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path

from network_namespaces import ip, namespace, until
from up_rig import Up

NEAR, FAR = "192.0.2.2", "192.0.2.1"
NEAR6, FAR6 = "2001:db8::2", "2001:db8::1"
CONFIG = "[daemon.dhcpd]\nauto = false\n"


class Net(Up):
    """An instance with one adapter, whose far end is `far` in the namespace `where`."""

    def __init__(self, folder: Path, where: str, *arguments, config=CONFIG):
        file = folder / "net.toml"
        file.write_text(config)
        wire = f"e1000:peer=netns:{where}/far,peer_address={FAR}/24 {FAR6}/64"
        super().__init__(folder, "--config", file, "--lab", wire, *arguments)
        self.far = where
        self._stack = ExitStack()

    def __enter__(self):
        super().__enter__()
        # Linux asks the wire for a second whether somebody has the far end's address already.
        until(lambda: not ip("-n", self.far, "-6", "address", "show", "tentative"))
        self.configure(f"{NEAR}/24", "eth0")
        self.configure(f"{NEAR6}/64", "eth0", "add")
        return self

    def __exit__(self, *error):
        self._stack.close()
        super().__exit__(*error)

    @property
    def netcfg(self) -> Path:
        return self.mount / "netcfg"

    @property
    def socks(self) -> Path:
        return self.run_dir / "socks"

    def configure(self, address, adapter, how="set"):
        (self.netcfg / "ifaces" / adapter / "addr" / how).write_text(f"{address}\n")

    def addresses(self, adapter="eth0"):
        return (self.netcfg / "ifaces" / adapter / "addr/list").read_text().split()

    def stranger(self, *words, **options):
        """Start a program in the far namespace; it is ended with the instance."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.far, *map(str, words)], stdin=subprocess.DEVNULL, **options
        )
        self._stack.callback(process.wait, 10)
        self._stack.callback(process.terminate)
        return process

    def listens(self, place, kind="-ltn"):
        """Wait until somebody listens in the far namespace, at `PORT` or `ADDRESS:PORT`."""
        ss = ["ip", "netns", "exec", self.far, "ss", kind, "-H"]
        here = f"{place} " if ":" in str(place) else f":{place} "
        until(lambda: here in subprocess.run(ss, capture_output=True, text=True).stdout)


@contextmanager
def networked(folder, *arguments, **options):
    with namespace() as where, Net(folder, where, *arguments, **options) as net:
        yield net
