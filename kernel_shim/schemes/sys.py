"""The scheme `sys`: what there is and what it does, as text files.

Formats are Redox's (kernel, src/scheme/sys/): one file a subject, generated when a handle is first
read.  `schemes`, `clients` and `requests` are ours: Redox has nothing of the kind.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from kernel_shim.schemes import processes
from kernel_shim.schemes.contexts import Context, contexts
from kernel_shim.schemes.kernel import Kernel
from kernel_shim.schemes.snapshots import File, Node, Snapshots, fixed
from kernel_shim.schemes.traffic import Traffic
from redbear_host import __version__
from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller

log = logging.getLogger(__name__)

_KSTOP: Final = (b"shutdown", b"reset", b"emergency_reset")
_OFFSET_BYTES: Final = 16  # update_time_offset: nanoseconds, 128 bits
_IRQS: Final = 224
_MAX_FREQUENCY: Final = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")  # kHz


def build(kernel: Kernel) -> SysScheme:
    """Make the scheme."""
    return SysScheme(kernel)


class SysScheme(Snapshots):
    """Read-only but for `kstop` and `update_time_offset`, which are root's."""

    name = "sys"

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self._kernel: Final = kernel
        traffic = Traffic(kernel)
        self._files: Final[dict[str, Node]] = {
            name: File(make)
            for name, make in (
                ("block", self._block),
                ("clients", traffic.clients),
                ("context", self._context),
                ("cpu", lambda caller: _cpu(Path("/proc/cpuinfo").read_text())),
                ("env", self._env),
                ("exe", _exe),
                ("iostat", traffic.iostat),
                ("irq", self._irq),
                ("log", lambda caller: kernel.log.read()),
                ("requests", traffic.requests),
                ("scheme", self._scheme),
                ("scheme_num", self._scheme_num),
                ("schemes", traffic.schemes),
                ("spurious_irq", lambda caller: _spurious()),
                ("stat", self._stat),
                ("syscall", self._syscall),
                ("uname", lambda caller: _uname()),
            )
        }
        self._files["kstop"] = File(take=self._kstop, mode=0o200, root_only=True)
        self._files["update_time_offset"] = File(take=_set_time, mode=0o200, root_only=True)

    def find(self, path: str, caller: Caller) -> Node:
        """Return the file of that name, or the root."""
        if not path:
            return fixed(self._files)
        node = self._files.get(path)
        if node is None:
            raise Refused(e.ENOENT)
        return node

    # -- processes -------------------------------------------------------------------------------

    def _contexts(self) -> list[Context]:
        return contexts(self._kernel.run_dir)

    def _context(self, caller: Caller) -> bytes:
        rows = [_CONTEXT_HEADER]
        rows += [_context_row(context) for context in self._contexts()]
        return "".join(rows).encode()

    def _block(self, caller: Caller) -> bytes:
        return self._each(lambda pid: processes.text(pid, "wchan").strip("0\n"))

    def _syscall(self, caller: Caller) -> bytes:
        """Tell who is not root the number only: arguments are addresses in root's processes."""
        if caller.uid == 0:
            return self._each(_in_syscall)
        return self._each(lambda pid: _in_syscall(pid).partition("(")[0])

    def _each(self, tell: Callable[[int], str]) -> bytes:
        """Return `PID: NAME`, and indented what `tell` says of it, for each context."""
        lines = []
        for context in self._contexts():
            lines.append(f"{context.process.pid}: {context.name}\n")
            said = tell(context.process.pid)
            if said:
                lines.append(f"  {said}\n")
        return "".join(lines).encode()

    # -- schemes ---------------------------------------------------------------------------------

    def _scheme(self, caller: Caller) -> bytes:
        """Return the names in the caller's namespace, one a line."""
        names = processes.mounted_below(caller.pid, self._kernel.mount)
        return "".join(f"{name}\n" for name in names).encode()

    def _scheme_num(self, caller: Caller) -> bytes:
        """Return `NUMBER: NAME`, numbered as they were mounted."""
        seen = set(processes.mounted_below(caller.pid, self._kernel.mount))
        lines = [
            f"{number:>4}: {name}\n"
            for number, name in enumerate(self._kernel.schemes, 1)
            if name in seen
        ]
        return "".join(lines).encode()

    # -- the machine -----------------------------------------------------------------------------

    def _env(self, caller: Caller) -> bytes:
        """Return what a bootloader would have passed: where this instance lives."""
        pairs = {
            "REDBEAR_VERSION": __version__,
            "REDBEAR_SCHEME": str(self._kernel.mount),
            "REDBEAR_RUN_DIR": str(self._kernel.run_dir),
            "REDBEAR_RINGS": str(self._kernel.run_dir / "ring"),
        }
        return "".join(f"{key}={value}\n" for key, value in pairs.items()).encode()

    def _irq(self, caller: Caller) -> bytes:
        counts = self._kernel.irq_counts()
        return "".join(f"{number}: {counts.get(number, 0)}\n" for number in range(_IRQS)).encode()

    def _stat(self, caller: Caller) -> bytes:
        alive = self._contexts()
        counts = self._kernel.irq_counts()
        lines = _cpu_times(Path("/proc/stat").read_text())
        total = sum(counts.values())
        each = " ".join(str(counts.get(number, 0)) for number in range(_IRQS))
        lines.append(f"IRQs {total} {each}")
        linux = dict(
            line.split(" ", 1) for line in Path("/proc/stat").read_text().splitlines() if line
        )
        lines += [
            f"boot_time: {linux['btime']}",
            f"context_switches: {linux['ctxt']}",
            f"contexts_created: {sum(1 + one.restarts for one in alive)}",
            f"contexts_alive: {len(alive)}",
            f"contexts_running: {sum(one.process.running for one in alive)}",
            f"contexts_blocked: {sum(not one.process.running for one in alive)}",
        ]
        return "".join(f"{line}\n" for line in lines).encode()

    # -- orders ----------------------------------------------------------------------------------

    def _kstop(self, data: bytes, caller: Caller) -> None:
        """Take the instance down.  It has no machine to reset, so every word means the same."""
        word = data.strip()
        if word not in _KSTOP:
            raise Refused(e.EINVAL)
        log.info("process %d asks for %s", caller.pid, word.decode())
        self._kernel.ask({"kstop": word.decode()})


def _set_time(data: bytes, caller: Caller) -> None:
    """Refuse: the clock is the host's, and other things than this instance live by it."""
    if len(data) != _OFFSET_BYTES:
        raise Refused(e.EINVAL)
    log.warning("process %d wants to set the clock, which is the host's own", caller.pid)
    raise Refused(e.EOPNOTSUPP)


_WIDTHS: Final = (6, 6, 6, 6, 6, 11, 12, 8, 8)


def _row(cells: Iterable[object]) -> str:
    *fixed_cells, name = cells
    widths = zip(fixed_cells, _WIDTHS, strict=True)
    # A cell too wide for its column (a daemon's own user) still ends with a blank.
    return "".join(f"{cell!s:<{width - 1}} " for cell, width in widths) + f"{name}\n"


_CONTEXT_HEADER: Final = _row(
    ("PID", "EUID", "EGID", "STAT", "CPU", "AFFINITY", "TIME", "PRIVATE", "SHARED", "NAME")
)


def _context_row(context: Context) -> str:
    process = context.process
    minutes, seconds = divmod(process.seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return _row(
        (
            process.pid,
            process.uids[1],
            process.gids[1],
            f"U{process.state}{'+' if process.running else ''}",
            process.cpu,
            f"{process.affinity:#x}",
            f"{hours:02}:{minutes:02}:{seconds:05.2f}",
            _size(process.private),
            _size(process.shared),
            context.name,
        )
    )


def _size(size: int) -> str:
    """Write a size as Redox does: `512 B`, `1.23 MB` (powers of 1024)."""
    for power, unit in ((30, "GB"), (20, "MB"), (10, "KB")):
        if size >= 1 << power:
            return f"{size / (1 << power):.3g} {unit}"
    return f"{size} B"


def _in_syscall(pid: int) -> str:
    """Tell which system call a process is in, by number, with its arguments; proc(5)."""
    words = processes.text(pid, "syscall").split()
    if len(words) < 7:
        return ""  # running, or gone
    return f"syscall {words[0]}({', '.join(words[1:7])})"


def _exe(caller: Caller) -> bytes:
    return f"{processes.link(processes.leader(caller.pid), 'exe')}\n".encode()


def _uname() -> bytes:
    linux = os.uname()
    return f"Redox\n{__version__}\n{linux.machine}\n{linux.sysname} {linux.release}\n".encode()


def _cpu(cpuinfo: str) -> bytes:
    """Turn Linux's /proc/cpuinfo into Redox's `cpu`."""
    blocks = [block for block in cpuinfo.split("\n\n") if block.strip()]
    split = (line.partition(":") for line in blocks[0].splitlines())
    first = {key.strip(): value.strip() for key, _, value in split}
    lines = [f"CPUs: {len(blocks)}"]
    for title, key in (("Vendor", "vendor_id"), ("Model", "model name")):
        if key in first:
            lines.append(f"{title}: {first[key]}")
    if _MAX_FREQUENCY.exists():
        lines.append(f"CPU Max MHz: {int(_MAX_FREQUENCY.read_text()) // 1000}")
    lines.append(f"Features: {first.get('flags', first.get('Features', ''))}")
    return "".join(f"{line}\n" for line in lines).encode()


def _spurious() -> bytes:
    """Return the spurious interrupts Linux has counted (ERR and MIS of /proc/interrupts)."""
    total = 0
    for line in Path("/proc/interrupts").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name.strip() in ("ERR", "MIS"):
            total += int(rest.split()[0])
    return f"0\tIRQ7\n0\tIRQ15\n{total}\ttotal\n".encode()


def _cpu_times(stat: str) -> list[str]:
    """Return `cpu user nice kernel idle irq`, total and per processor, from /proc/stat."""
    lines = []
    for line in stat.splitlines():
        name, *times = line.split()
        if name.startswith("cpu"):
            user, nice, system, idle, iowait, irq, softirq = (int(time) for time in times[:7])
            numbers = (user, nice, system, idle + iowait, irq + softirq)
            gap = "  " if name == "cpu" else " "
            lines.append(name + gap + " ".join(map(str, numbers)))
    return lines
