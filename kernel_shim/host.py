"""The machine as the shim sees it: sysfs, procfs, device nodes, modules, the network.

Everything that looks at Linux or changes a binding goes through one `Host`, whose roots may be a
made-up tree.
"""

from __future__ import annotations

import errno
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from redbear_host.bdf import Bdf
from redbear_host.errors import ConfigError
from redbear_host.hostpci import HostFunction, host_function

_MODPROBE_S: Final = 30.0


class Uses(NamedTuple):
    """What the kernel's network stack has on one interface, in words `ip` understands."""

    addresses: tuple[str, ...]  # as in `192.0.2.1/24`
    routes: tuple[str, ...]  # as in `default`, `192.0.2.0/24`


@dataclass(frozen=True)
class Host:
    """Where the three trees are mounted."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    dev: Path = Path("/dev")

    def function(self, address: str) -> HostFunction:
        """Look at a PCI function; `ConfigError` if there is none."""
        found = host_function(Bdf.parse(address), self.sys)
        if found is None:
            raise ConfigError(
                f"there is no PCI function {address}", "see which there are: redbear-host devices"
            )
        return found

    def folder(self, address: str) -> Path:
        """Return where sysfs keeps a function."""
        return self.sys / "bus/pci/devices" / address

    def read(self, path: Path) -> str:
        """Return what a file says, stripped; "" if there is no such file."""
        try:
            return path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, sorted; none if there is no such folder."""
        try:
            return sorted(entry.name for entry in folder.iterdir())
        except OSError:
            return []

    def write(self, path: Path, text: str, within: float) -> None:
        """Tell the kernel something; `OSError` if it refuses or takes more than `within` seconds.

        A driver may block its unbinding for good, and whoever asked for it cannot be killed then.
        So it is a child that asks, and it holds nothing of ours that the driver could wait for.
        """
        with subprocess.Popen(
            ["tee", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        ) as child:
            try:
                _, said = child.communicate(text, timeout=within)
            except subprocess.TimeoutExpired:
                child.returncode = 0  # nobody can end it: leaving this block must not wait for it
                raise TimeoutError(errno.ETIMEDOUT, f"no answer within {within:.1f} s") from None
            if child.returncode:
                raise OSError(errno.EIO, said.strip().rpartition(": ")[2] or "tee failed")

    def open_exclusively(self, path: Path) -> int:
        """Open a block device as its only user; `OSError` with EBUSY if it has one."""
        return os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)

    def modprobe(self, module: str) -> str:
        """Load a module; return why that failed, or ""."""
        try:
            done = subprocess.run(
                ["modprobe", module], capture_output=True, text=True, timeout=_MODPROBE_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return done.stderr.strip() or "modprobe failed" if done.returncode else ""

    def driver(self, address: str) -> str:
        """Return the driver a function is bound to, or ""."""
        try:
            return (self.folder(address) / "driver").readlink().name
        except OSError:
            return ""

    def network_uses(self) -> dict[str, Uses]:
        """Return what is configured on each interface, whatever of it the user may have typed.

        What the kernel does by itself on an interface that is up (the link-local address and its
        routes, multicast) is left out.
        """
        # Here and not above: the import takes most of a second.
        from kernel_shim.network import uses

        return uses()


MACHINE: Final = Host()
"""The one we run on."""
