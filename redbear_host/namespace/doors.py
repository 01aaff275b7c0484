"""Where processes of the machine can be called: sockets and FIFOs in its folders.

Who may connect to a socket's path, or write into a FIFO, is a question of permissions alone:
neither namespaces nor a read-only mount matter.  So a room covers each (`confine`).

Ref: proc(5), /proc/PID/{fd,cwd,root,ns,net}; unix(7).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from schemefs.mount import all_mounts

_PROC: Final = Path("/proc")
_SELF: Final = "/proc/self/"
_SOCKET: Final = "socket:["
_SLOW: Final = ("fuse", "nfs", "cifs", "smb", "ceph", "afs")  # to ask about a file there may hang


def find() -> list[Path]:
    """List them, as paths in this mount namespace; some may not exist in it."""
    processes = [Path(entry) for entry in os.scandir(_PROC) if entry.name.isdecimal()]
    names = _bound(processes)
    found = {name for name in names.values() if name.startswith("/")}
    slow = [f"{mount.point}/" for mount in all_mounts() if mount.kind.startswith(_SLOW)]
    for process in processes:
        for fd, target in _descriptors(process):
            if target.startswith(_SOCKET):
                name = names.get(target[len(_SOCKET) : -1])
                if name is not None:
                    found.add(_seen_by(process, name))
            elif target.startswith("/") and not any(map(target.startswith, slow)) and _is_fifo(fd):
                found.add(target)
    return [Path(path) for path in found if path.startswith("/")]


def _bound(processes: list[Path]) -> dict[str, str]:
    """Return what sockets are bound to, by inode, of all network namespaces."""
    names = {}
    seen = set()
    for process in processes:
        try:
            namespace = os.readlink(process / "ns/net")
            if namespace in seen:
                continue
            table = (process / "net/unix").read_bytes()
        except OSError:
            continue  # it has ended
        seen.add(namespace)
        for line in table.splitlines()[1:]:
            fields = line.split(None, 7)
            if len(fields) == 8 and not fields[7].startswith(b"@"):  # one with a path
                names[os.fsdecode(fields[6])] = os.fsdecode(fields[7])
    return names


def _descriptors(process: Path) -> Iterator[tuple[Path, str]]:
    try:
        fds = list(os.scandir(process / "fd"))
    except OSError:
        return
    for fd in fds:
        try:
            yield Path(fd), os.readlink(fd)
        except OSError:
            continue  # closed meanwhile


def _seen_by(process: Path, name: str) -> str:
    """Return where a process has bound a socket by a name that means something to it."""
    if name.startswith(_SELF):
        first, second, rest = [*name[len(_SELF) :].split("/", 2), "", ""][:3]
        link, rest = process / first / second, rest
    elif name.startswith("/"):
        link, rest = process / "root", name[1:]
    else:
        link, rest = process / "cwd", name
    try:
        return os.path.normpath(os.path.join(os.readlink(link), rest))
    except OSError:
        return ""


def _is_fifo(fd: Path) -> bool:
    try:
        return stat.S_ISFIFO(fd.stat().st_mode)
    except OSError:
        return False
