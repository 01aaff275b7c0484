"""What clients do at the schemes, from the schemes' meters and journals.

```
schemes    SCHEME DAEMON PID STATE RESTARTS CALLS PENDING HANDLES RECORDED LATENCY_NS
clients    SCHEME PID UID NAME HANDLES PENDING RECORDED LATENCY_NS
requests   SCHEME UNIQUE PID UID OPERATION PATH
iostat     PID: NAME, then a line for each handle
```

CALLS counts all; RECORDED those of them whose latency (LATENCY_NS: the sum) was measured, which is
one in 64 unless somebody traces the scheme.  Columns are separated by blanks, the last may hold
some itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from kernel_shim.schemes import processes
from kernel_shim.schemes.contexts import contexts
from kernel_shim.schemes.kernel import Kernel, SchemeNote
from redbear_host.abi.sqe import Opcode
from redbear_host.scheme.request import Caller
from schemefs import protocol as p
from schemefs import view

_OPERATIONS: Final = {
    vars(p)[name]: name
    for name in [
        "LOOKUP",
        "FORGET",
        "GETATTR",
        "SETATTR",
        "READLINK",
        "SYMLINK",
        "MKNOD",
        "MKDIR",
        "UNLINK",
        "RMDIR",
        "RENAME",
        "LINK",
        "OPEN",
        "READ",
        "WRITE",
        "STATFS",
        "RELEASE",
        "FSYNC",
        "SETXATTR",
        "GETXATTR",
        "LISTXATTR",
        "REMOVEXATTR",
        "FLUSH",
        "OPENDIR",
        "READDIR",
        "RELEASEDIR",
        "FSYNCDIR",
        "ACCESS",
        "CREATE",
        "INTERRUPT",
        "DESTROY",
        "IOCTL",
        "POLL",
        "BATCH_FORGET",
        "FALLOCATE",
        "READDIRPLUS",
        "RENAME2",
        "LSEEK",
        "STATX",
    ]
    if name in vars(p)
}
_SQE_OPCODES: Final = frozenset(int(one) for one in Opcode)
_ROOT_UID: Final = 0
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_REMEMBERED: Final = 4096  # processes that are remembered; the oldest is forgotten first


def operation(opcode: int, door: int = 0) -> str:
    """Return the name of an opcode in lower case: FUSE's, or at door 1 that of an Sqe."""
    if door:
        return Opcode(opcode).name.lower() if opcode in _SQE_OPCODES else f"opcode-{opcode}"
    return _OPERATIONS.get(opcode, f"opcode-{opcode}").lower()


class Client:
    """What one process has done at one scheme since we first looked."""

    __slots__ = ("latency", "recorded")

    def __init__(self) -> None:
        self.recorded = 0
        self.latency = 0


class Traffic:
    """Reads the meters; what it has seen of clients it adds up."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel: Final = kernel
        self._seen: Final[dict[str, int]] = {}  # records looked at, by scheme
        self._clients: Final[dict[tuple[str, int], Client]] = {}  # by scheme and process
        self._leaders: Final[dict[int, int]] = {}  # the processes of threads that called

    def schemes(self, caller: Caller) -> bytes:
        """Return a line for each scheme."""
        daemons = {one.name: one for one in contexts(self._kernel.run_dir)}
        lines = ["SCHEME DAEMON PID STATE RESTARTS CALLS PENDING HANDLES RECORDED LATENCY_NS"]
        for note in self._notes():
            daemon = daemons.get(note.service)
            pid, state, restarts = (
                (daemon.process.pid, daemon.state, daemon.restarts) if daemon else (0, "dead", 0)
            )
            meter = note.meter
            pending, opened = len(view.pending(note.journal)), len(view.opened(note.journal))
            lines.append(
                f"{note.name} {note.service} {pid} {state} {restarts} {meter.calls} {pending} "
                f"{opened} {meter.recorded} {meter.latency}"
            )
        return _text(lines)

    def clients(self, caller: Caller) -> bytes:
        """Return a line for each process at each scheme it uses, or did use and still lives."""
        self._learn()
        lines = ["SCHEME PID UID NAME HANDLES PENDING RECORDED LATENCY_NS"]
        for note in self._notes():
            opened = Counter(self._leader(one.pid) for one in view.opened(note.journal))
            waiting = Counter(self._leader(one.pid) for one in view.pending(note.journal))
            known = {pid for name, pid in self._clients if name == note.name}
            for pid in sorted(known | set(opened) | set(waiting)):
                process = processes.look(pid)
                if process is None:
                    self._clients.pop((note.name, pid), None)
                    continue
                client = self._clients.get((note.name, pid)) or Client()
                lines.append(
                    f"{note.name} {pid} {process.uids[1]} {process.name.replace(' ', '_')} "
                    f"{opened[pid]} {waiting[pid]} {client.recorded} {client.latency}"
                )
        return _text(lines)

    def requests(self, caller: Caller) -> bytes:
        """Return a line for each request in hand; to who is not root, of the caller's own."""
        lines = ["SCHEME UNIQUE PID UID OPERATION PATH"]
        for note in self._notes():
            lines += [
                f"{note.name} {one.unique} {self._leader(one.pid)} {one.uid} "
                f"{operation(one.opcode)} "
                f"/{view.path(note.journal, one.node)}"
                for one in view.pending(note.journal)
                if caller.uid in (_ROOT_UID, one.uid)
            ]
        return _text(lines)

    def iostat(self, caller: Caller) -> bytes:
        """Return, for each process, its handles: flags as Redox's kernel would print them.

        Who is not root sees those of the caller's own: names in others' folders are theirs.
        """
        by_pid: dict[int, list[str]] = {}
        for number, note in enumerate(self._notes(), 1):
            for one in view.opened(note.journal):
                if caller.uid not in (_ROOT_UID, one.uid):
                    continue
                where = f"/scheme/{note.name}/{view.path(note.journal, one.node)}".rstrip("/")
                by_pid.setdefault(self._leader(one.pid), []).append(
                    f"[ U] {one.fh:>4}: {number:>8} {one.fh:>8} {one.flags:08X}: {where}"
                )
        lines = []
        for pid in sorted(by_pid):
            process = processes.look(pid)
            lines.append(f"{pid}: {process.name if process else '(gone)'}")
            lines += by_pid[pid]
        return _text(lines)

    def _notes(self) -> Iterator[SchemeNote]:
        yield from self._kernel.schemes.values()

    def _leader(self, pid: int) -> int:
        """Return the process of a thread that called; remembered, since threads end soon."""
        found = self._leaders.get(pid)
        if found is None:
            if len(self._leaders) >= _REMEMBERED:
                del self._leaders[next(iter(self._leaders))]
            found = self._leaders[pid] = processes.leader(pid)
        return found

    def _learn(self) -> None:
        """Add up what was recorded since the last look."""
        for note in self._notes():
            records, _ = note.meter.since(self._seen.get(note.name, 0))
            self._seen[note.name] = note.meter.recorded
            for record in records:
                key = (note.name, self._leader(record.pid))
                client = self._clients.get(key)
                if client is None:
                    client = self._clients[key] = Client()
                    if len(self._clients) > _REMEMBERED:
                        del self._clients[next(iter(self._clients))]
                client.recorded += 1
                client.latency += record.latency


def _text(lines: list[str]) -> bytes:
    # Names are their makers': none may forge a line, or speak to the reader's terminal.
    safe = (line.translate(_CONTROLS) for line in lines)
    return "".join(f"{line}\n" for line in safe).encode("utf-8", "backslashreplace")
