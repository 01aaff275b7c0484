"""The scheme `namespace`: how a program gets a scheme of its own to serve.

```
/scheme/namespace/scheme-creation-cap       who may be root may ask it for a scheme
```

On Redox a namespace manager serves this; its verbs are kept where they have a meaning here:

1. `dup` of `scheme-creation-cap` with "create-scheme" gives a scheme that has no name yet (EACCES
   but for root).
2. `call` of that with metadata (2, flags) and a name as payload registers it (2 is IssueRegister;
   bit 0 of the flags: its root is a file).  EEXIST, EINVAL.
3. `recvfd` of that gives five descriptors: its FUSE connection, its journal, the listener of its
   socket, its meter, and its lifeline.  When the last is closed everywhere, the scheme goes.

Linux programs see the names and can open them; descriptors travel over the ring door only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kernel_shim.schemes.handles import Handles
from kernel_shim.schemes.kernel import Kernel
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR, Stat
from redbear_host.errors import Refused
from redbear_host.namespace.names import check
from redbear_host.scheme.request import LATER, Later, Request
from redbear_host.scheme.scheme import Bytes, Entry, Opened, Scheme

CAP: Final = "scheme-creation-cap"
CREATE: Final = b"create-scheme"
ISSUE_REGISTER: Final = 2  # NsDup, redox_rt
ROOT_IS_FILE: Final = 1


class _Directory:
    """The root."""


class _Cap:
    """`scheme-creation-cap`, opened or looked at."""


class _Made:
    """A scheme somebody makes: `fds` once it is registered, until they are fetched."""

    def __init__(self) -> None:
        self.asked = False
        self.closed = False
        self.fds: list[int] = []


class NamespaceScheme(Scheme):
    """See the module."""

    name = "namespace"

    def __init__(self, kernel: Kernel) -> None:
        self._kernel: Final = kernel
        self._handles: Final[Handles[_Directory | _Cap | _Made]] = Handles()

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open the directory, or `scheme-creation-cap`."""
        above = self._handles[parent] if parent else None
        if above is not None and not isinstance(above, _Directory):
            raise Refused(e.ENOTDIR)
        name = path.strip("/")
        if name not in ("", CAP):
            raise Refused(e.ENOENT)
        if name and flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        item = _Cap() if name else _Directory()
        return Opened(self._handles.add(item, request.caller))

    def dup(self, handle: int, name: Bytes, request: Request) -> Opened:
        """Begin to make a scheme."""
        if not isinstance(self._handles[handle], _Cap) or bytes(name) != CREATE:
            raise Refused(e.EINVAL)
        if request.caller.uid != 0:
            raise Refused(e.EACCES)
        return Opened(self._handles.add(_Made(), request.caller))

    def fpath(self, handle: int) -> str:
        """Return the canonical path."""
        is_root = isinstance(self._handles[handle], _Directory)
        return f"/scheme/{self.name}/{'' if is_root else CAP}"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the one name."""
        if not isinstance(self._handles[handle], _Directory):
            raise Refused(e.ENOTDIR)
        return [Entry(CAP, f.DT_CHR)]

    def on_close(self, handle: int) -> None:
        """Forget the handle; a scheme whose descriptors nobody fetched goes with it."""
        item = self._handles.remove(handle)
        if isinstance(item, _Made):
            item.closed = True
            _close(item.fds)

    # -- making ------------------------------------------------------------------------------------

    def call(
        self, handle: int, payload: memoryview, metadata: Sequence[int], request: Request
    ) -> Later:
        """Register the name in `payload`; answered when the scheme is mounted."""
        made = self._handles[handle]
        if not isinstance(made, _Made) or len(metadata) < 2 or metadata[0] != ISSUE_REGISTER:
            raise Refused(e.EINVAL)
        if made.asked:
            raise Refused(e.EEXIST, "a handle makes one scheme")
        try:
            name = check(str(payload, "utf-8"))
        except UnicodeDecodeError:
            raise Refused(e.EINVAL) from None
        made.asked = True

        def then(answer: Mapping[str, Any], fds: list[int]) -> None:
            if "errno" in answer:
                made.asked = False
                request.refuse(answer["errno"])
                return
            made.fds = list(fds)
            if made.closed:  # while it was being mounted
                _close(made.fds)
            request.answer(0)

        question = {
            "create": name,
            "is_file": bool(metadata[1] & ROOT_IS_FILE),
            "pid": request.caller.pid,
        }
        self._kernel.ask(question, then)
        return LATER

    def on_recvfd(
        self, handle: int, count: int, flags: int, metadata: Sequence[int], request: Request
    ) -> Sequence[int]:
        """Hand over what the scheme is served with, all at once."""
        made = self._handles[handle]
        if not isinstance(made, _Made) or not made.fds or count < len(made.fds):
            raise Refused(e.EINVAL)
        fds, made.fds = made.fds, []
        return fds

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe the directory or the file."""
        if isinstance(self._handles[handle], _Directory):
            return Stat(st_mode=MODE_DIR | 0o555, st_nlink=2)
        return Stat(st_mode=MODE_CHR | 0o600, st_nlink=1)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
    fds.clear()


def build(kernel: Kernel) -> NamespaceScheme:
    """Make the scheme."""
    return NamespaceScheme(kernel)
