"""The schemes `proc` and `thisproc`: processes, as text and records.

```
/scheme/proc/ps                 every context of the instance, a line each
/scheme/proc/PID/NAME           one process: a daemon's, or one of the caller's own
/scheme/thisproc/current/NAME   the caller itself

NAME: addrspace exe fds gid memory meta name ns restarts sched-affinity session_id status uid
```

Redox serves `ps` and process handles from its process manager (`procmgr`), older Redox the files
below a PID from the kernel.  Registers, signal masks and memory cannot be had here: they are not
ours to show or to poke; Linux's own ptrace decides about that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from kernel_shim.schemes import processes
from kernel_shim.schemes.contexts import Context, contexts
from kernel_shim.schemes.kernel import Kernel
from kernel_shim.schemes.processes import Process
from kernel_shim.schemes.snapshots import File, Folder, Node, Snapshots, fixed
from redbear_host.abi import errno as e
from redbear_host.abi.proc import GrantDesc, GrantFlags, ProcMeta
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller

_ROOT_UID: Final = 0
_STATUS: Final = {"R": "R", "S": "S", "B": "S", "Z": "E"}  # procmgr's letters
_COLUMNS: Final = ["PID", "PGID", "PPID", "SID", "RUID", "RGID", "EUID", "EGID", "NTHRD"]
_RIGHTS: Final = (("r", GrantFlags.READ), ("w", GrantFlags.WRITE), ("x", GrantFlags.EXEC))
_NAMESPACES: Final = ("mnt", "pid", "net", "ipc", "user", "uts")
_MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) \S+ (\d+)\s*(.*)")


def build(kernel: Kernel) -> ProcScheme:
    """Make the scheme `proc`."""
    return ProcScheme(kernel)


def _row(cells: Iterable[object], status: str, name: str) -> str:
    """Set a line out as procmgr does; a cell too wide for its column still ends with a blank."""
    return "".join(f"{cell!s:<5} " for cell in cells) + f"{status:<8}{name}\n"


class ProcScheme(Snapshots):
    """Everyone sees who there is; files of a process are for root and for its one user."""

    name = "proc"

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self._run_dir: Final = kernel.run_dir

    def find(self, path: str, caller: Caller) -> Node:
        """Return `ps`, a process's folder, or one of its files."""
        if not path:
            return Folder(self._names, frozenset(self._names(caller)[1:]))
        if path == "ps":
            return File(lambda caller: self._ps())
        pid, _, name = path.partition("/")
        if not pid.isdecimal():
            raise Refused(e.ENOENT)
        return process_node(int(pid), name, caller, self._run_dir)

    def _names(self, caller: Caller) -> list[str]:
        return ["ps", *(str(one.process.pid) for one in contexts(self._run_dir))]

    def _ps(self) -> bytes:
        lines = [_row(_COLUMNS, "STATUS", "NAME")]
        for context in contexts(self._run_dir):
            process = context.process
            cells = (
                process.pid,
                process.pgid,
                process.ppid,
                process.sid,
                process.uids[0],
                process.gids[0],
                process.uids[1],
                process.gids[1],
                process.threads,
            )
            lines.append(_row(cells, _STATUS[process.state], context.name))
        return "".join(lines).encode()


def process_node(pid: int, name: str, caller: Caller, run_dir: Path) -> Node:
    """Return a process's folder, or its file `name`; `Refused`(ENOENT) if it is not there."""
    process = processes.look(pid)
    if process is None:
        raise Refused(e.ENOENT)
    if not name:
        return fixed({each: File() for each in _FILES})
    make = _FILES.get(name)
    if make is None:
        raise Refused(e.ENOENT)
    owners = _owners(process)
    if caller.uid != _ROOT_UID and owners != {caller.uid}:
        raise Refused(e.EACCES)
    known = next((one for one in contexts(run_dir) if one.process.pid == process.pid), None)

    def text(caller: Caller) -> bytes:
        """Look again: it may be read long after it was opened, when the process is another's."""
        found = processes.look(process.pid)
        if found is None:
            raise Refused(e.ESRCH)
        if caller.uid != _ROOT_UID and _owners(found) != owners:
            raise Refused(e.EACCES)
        return make(found, known)

    return File(text, mode=0o400)


def _owners(process: Process) -> set[int]:
    """Return the users a process acts as.

    Root is one of them where Linux shows what is in a process to root only: when it has, or had,
    more rights than who started it (set-user-id programs), or keeps secrets.  See proc(5),
    `/proc/PID`, and PR_SET_DUMPABLE.
    """
    return {*process.uids, processes.owner(process.pid)}


def _line(value: object) -> bytes:
    return f"{value}\n".encode("utf-8", "surrogateescape")


def _exe(process: Process, context: Context | None) -> bytes:
    return _line(processes.link(process.pid, "exe"))


def _name(process: Process, context: Context | None) -> bytes:
    return _line(process.name if context is None else context.name)


def _uid(process: Process, context: Context | None) -> bytes:
    return _line(process.uids[1])


def _gid(process: Process, context: Context | None) -> bytes:
    return _line(process.gids[1])


def _session_id(process: Process, context: Context | None) -> bytes:
    return _line(process.sid)


def _affinity(process: Process, context: Context | None) -> bytes:
    return _line(f"{process.affinity:x}")


def _restarts(process: Process, context: Context | None) -> bytes:
    return _line(0 if context is None else context.restarts)


def _status(process: Process, context: Context | None) -> bytes:
    """Say what it does, and of a daemon what it serves."""
    lines = [
        f"name: {process.name if context is None else context.name}",
        f"state: {process.state}",
        f"threads: {process.threads}",
        f"seconds: {process.seconds:.2f}",
    ]
    if context is not None:
        lines.append(f"service: {context.state}")
        lines.append(f"schemes: {' '.join(context.schemes)}")
        if context.device:
            lines.append(f"device: {context.device}")
    return _line("\n".join(lines))


def _memory(process: Process, context: Context | None) -> bytes:
    return _line(f"private: {process.private}\nshared: {process.shared}")


def _fds(process: Process, context: Context | None) -> bytes:
    return "".join(f"{n}: {what}\n" for n, what in processes.descriptors(process.pid)).encode(
        "utf-8", "surrogateescape"
    )


def _ns(process: Process, context: Context | None) -> bytes:
    """Name its Linux namespaces; the mount namespace is its Redox namespace."""
    kinds = ((kind, processes.link(process.pid, f"ns/{kind}")) for kind in _NAMESPACES)
    return "".join(f"{kind}: {found}\n" for kind, found in kinds).encode()


def _meta(process: Process, context: Context | None) -> bytes:
    """Return what a process handle reads on Redox; the namespace is the inode of the mount one."""
    found = re.search(r"\d+", processes.link(process.pid, "ns/mnt"))
    namespace = int(found[0]) if found else 0
    (ruid, euid, suid), (rgid, egid, sgid) = process.uids, process.gids
    return bytes(
        ProcMeta(
            pid=process.pid,
            pgid=process.pgid,
            ppid=process.ppid,
            ruid=ruid,
            euid=euid,
            suid=suid,
            rgid=rgid,
            egid=egid,
            sgid=sgid,
            ens=namespace,
            rns=namespace,
        )
    )


def _addrspace(process: Process, context: Context | None) -> bytes:
    """Return its mappings, a GrantDesc each."""
    out = b""
    for line in processes.text(process.pid, "maps").splitlines():
        found = _MAPPING.match(line)
        if found is None:
            continue
        start, end, rights, offset, inode, _ = found.groups()
        flags = GrantFlags(0)
        for letter, flag in _RIGHTS:
            if letter in rights:
                flags |= flag
        if "s" in rights:
            flags |= GrantFlags.SHARED
        if inode != "0":
            flags |= GrantFlags.SCHEME
        base = int(start, 16)
        out += bytes(
            GrantDesc(
                base=base, length=int(end, 16) - base, flags=int(flags), offset=int(offset, 16)
            )
        )
    return out


_FILES: Final[dict[str, Callable[[Process, Context | None], bytes]]] = {
    "addrspace": _addrspace,
    "exe": _exe,
    "fds": _fds,
    "gid": _gid,
    "memory": _memory,
    "meta": _meta,
    "name": _name,
    "ns": _ns,
    "restarts": _restarts,
    "sched-affinity": _affinity,
    "session_id": _session_id,
    "status": _status,
    "uid": _uid,
}
