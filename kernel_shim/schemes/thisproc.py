"""The scheme `thisproc`: `current` is whoever asks; see `kernel_shim.schemes.proc`."""

from __future__ import annotations

from typing import Final

from kernel_shim.schemes.kernel import Kernel
from kernel_shim.schemes.proc import process_node
from kernel_shim.schemes.snapshots import Folder, Node, Snapshots
from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller

_CURRENT: Final = "current"


def build(kernel: Kernel) -> ThisProcScheme:
    """Make the scheme."""
    return ThisProcScheme(kernel)


class ThisProcScheme(Snapshots):
    """One folder, which shows each caller its own process."""

    name = "thisproc"

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self._run_dir: Final = kernel.run_dir

    def find(self, path: str, caller: Caller) -> Node:
        """Return the folder `current`, or a file of the caller's process."""
        if not path:
            return Folder(lambda caller: (_CURRENT,), frozenset((_CURRENT,)))
        head, _, name = path.partition("/")
        if head != _CURRENT:
            raise Refused(e.ENOENT)
        return process_node(caller.pid, name, caller, self._run_dir)
