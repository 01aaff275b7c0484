"""Records about processes (redox_syscall, src/data.rs and src/flag.rs; relibc, redox-rt)."""

from __future__ import annotations

from enum import IntFlag

from redbear_host.bits import Struct, at


class ProcMeta(Struct, size=44):
    """What a process handle reads: ids, and the namespaces for opening and for passing on."""

    pid: int = at(0, "I")
    pgid: int = at(4, "I")
    ppid: int = at(8, "I")
    ruid: int = at(12, "I")
    euid: int = at(16, "I")
    suid: int = at(20, "I")
    rgid: int = at(24, "I")
    egid: int = at(28, "I")
    sgid: int = at(32, "I")
    ens: int = at(36, "I")
    rns: int = at(40, "I")


class GrantFlags(IntFlag):
    """What a mapping allows and is."""

    READ = 1
    WRITE = 2
    EXEC = 4
    SHARED = 8
    LAZY = 16
    SCHEME = 32  # a scheme's memory, not the process's own
    PHYS = 64
    PINNED = 128
    PHYS_CONTIGUOUS = 256


class GrantDesc(Struct, size=32):
    """One mapping of an address space; sizes in bytes."""

    base: int = at(0, "Q")
    length: int = at(8, "Q")  # Redox calls it `size`, which is the record's own here
    flags: int = at(16, "I")
    offset: int = at(24, "Q")


class ProcSchemeAttrs(Struct, size=48):
    """What the process manager tells the kernel about a thread."""

    pid: int = at(0, "I")
    euid: int = at(4, "I")
    egid: int = at(8, "I")
    prio: int = at(12, "I")
    debug_name: bytes = at(16, "32s")  # filled up with NULs
