"""One device that an instance holds, and everything that hangs on it: undone together.

What has to be undone is written down before it is done (`on_change` saves the state), so that
whoever is left can do it: this process, its guardian, or `redbear-host down`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from kernel_shim.bind import restore
from kernel_shim.device import Device
from kernel_shim.undo import process_started


class Holding:
    """A device by its address; `undo` takes what else hangs on it, such as its daemon."""

    def __init__(self, address: str, scratch: Path, on_change: Callable[[], None]) -> None:
        self.address: Final = address
        self.device: Device | None = None
        self.undo: Final = ExitStack()
        self._folder: Final = scratch / address.replace(":", "-")
        self._on_change: Final = on_change
        self._bound: dict[str, Any] | None = None
        self._processes: Final[list[dict[str, Any]]] = []
        self._files: Final[list[str]] = []

    def keep(self, device: Device) -> None:
        """Keep the claimed device, which is given back at the end."""
        self.device = device
        self.undo.callback(device.release)

    def note_binding(self, record: dict[str, Any]) -> None:
        """Write down a driver change before it is made.

        It is undone by us as well: a Ctrl-C may come after the change and before `keep`.
        """
        self._bound = record
        self._on_change()
        self.undo.callback(restore, record)

    def note_process(self, name: str, pid: int) -> None:
        """Write down a helper process (a lab's QEMU) that must not outlive the instance."""
        self._processes.append({"name": name, "pid": pid, "started": process_started(pid)})
        self._on_change()

    def note_files(self, files: Sequence[Path]) -> None:
        """Write down files that whoever makes them removes, unless it is killed."""
        if files:
            self._files.extend(map(os.fspath, files))
            self._on_change()

    def scratch(self) -> Path:
        """Make a folder that goes with the device."""
        self._folder.mkdir(parents=True, mode=0o700)
        self.undo.callback(shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def describe(self) -> dict[str, Any]:
        """Return what `kernel_shim.undo` needs."""
        return {"address": self.address, "bound": self._bound, "files": self._files}

    @property
    def processes(self) -> Sequence[dict[str, Any]]:
        """The helper processes, as `kernel_shim.undo` takes them."""
        return self._processes
