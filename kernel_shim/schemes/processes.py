"""Facts about processes, read from Linux's /proc (proc(5)); a process that is gone has none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGESIZE")
_PROC: Final = Path("/proc")

# Linux's states as Redox's `context` shows them.
_STATES: Final = {"R": "R", "S": "S", "D": "B", "T": "B", "t": "B", "Z": "Z", "X": "Z", "I": "S"}


@dataclass(frozen=True)
class Process:
    """One process as it was a moment ago."""

    pid: int  # of the process, also when a thread of it was asked for
    ppid: int
    pgid: int
    sid: int
    name: str
    state: str  # R, S, B or Z
    running: bool  # on a processor right now, as far as Linux tells
    cpu: int
    affinity: int  # a mask of processors
    seconds: float  # of processor time
    private: int  # bytes
    shared: int  # bytes
    threads: int
    uids: tuple[int, int, int]  # real, effective, saved
    gids: tuple[int, int, int]


def look(pid: int) -> Process | None:
    """Read what there is to know of a process; None if it is not there.

    `pid` may be that of any thread, which is what FUSE tells of a caller.
    """
    folder = _PROC / str(leader(pid))
    try:
        stat = (folder / "stat").read_text(errors="replace")
        pages = (folder / "statm").read_text().split()
        lines = (folder / "status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    opened, closed = stat.index("("), stat.rindex(")")
    fields = stat[closed + 2 :].split()
    uids, gids = status["Uid"].split(), status["Gid"].split()
    shared = int(pages[2]) * _PAGE
    return Process(
        pid=int(status["Tgid"]),
        ppid=int(fields[1]),
        pgid=int(fields[2]),
        sid=int(fields[3]),
        name=stat[opened + 1 : closed],
        state=_STATES.get(fields[0], "B"),
        running=fields[0] == "R",
        cpu=int(fields[36]),
        affinity=int(status["Cpus_allowed"].replace(",", ""), 16),
        seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
        private=int(pages[1]) * _PAGE - shared,
        shared=shared,
        threads=int(fields[17]),
        uids=(int(uids[0]), int(uids[1]), int(uids[2])),
        gids=(int(gids[0]), int(gids[1]), int(gids[2])),
    )


def leader(pid: int) -> int:
    """Return the process a thread belongs to; the number itself if there is no such thread."""
    for line in text(pid, "status").splitlines():
        if line.startswith("Tgid:"):
            return int(line.split()[1])
    return pid


def owner(pid: int) -> int:
    """Return the user whom Linux lets look into a process: root's number for one that is gone."""
    try:
        return os.stat(_PROC / str(pid) / "fd").st_uid
    except OSError:
        return 0


def link(pid: int, name: str) -> str:
    """Return where a link of /proc/PID leads, or an empty text."""
    try:
        return os.readlink(_PROC / str(pid) / name)
    except OSError:
        return ""


def text(pid: int, name: str) -> str:
    """Return a file of /proc/PID, or an empty text."""
    try:
        return (_PROC / str(pid) / name).read_text(errors="replace")
    except OSError:
        return ""


def descriptors(pid: int) -> list[tuple[int, str]]:
    """List (number, what it is) of a process's descriptors; empty if it is gone."""
    folder = _PROC / str(pid) / "fd"
    found = []
    try:
        numbers = sorted(int(name) for name in os.listdir(folder))
    except OSError:
        return []
    for number in numbers:
        try:
            found.append((number, os.readlink(folder / str(number))))
        except OSError:
            continue  # closed meanwhile
    return found


def mounted_below(pid: int, mount: Path) -> list[str]:
    """List the names directly below `mount` on which something is mounted, as `pid` sees it."""
    below = f"{mount}/"
    names = []
    for line in text(pid, "mountinfo").splitlines():
        point = line.split(" ")[4]
        if point.startswith(below) and "/" not in point[len(below) :]:
            names.append(point[len(below) :])
    return sorted(set(names))
