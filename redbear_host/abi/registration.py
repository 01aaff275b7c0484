"""What making and finding schemes takes (redox_syscall, src/data.rs)."""

from __future__ import annotations

from redbear_host.bits import Struct, at


class NewFdParams(Struct, size=32):
    """What a scheme's socket makes a handle of, its root for one; `flags` are NewFdFlags."""

    offset: int = at(0, "Q")
    number: int = at(8, "Q")  # the scheme's own, as in an answer to an open
    flags: int = at(16, "Q")
    internal_flags: int = at(24, "B")


class KernelSchemeInfo(Struct, size=16):
    """One scheme of the kernel's, as it is handed to the first process."""

    scheme_id: int = at(0, "B")
    fd: int = at(8, "Q")
