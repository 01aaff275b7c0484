"""The scheme `memory`: zeroed memory, physical memory, and where one's own memory is.

```
[zeroed|physical|translation|scheme-root][@wb|@uc|@wc|@dev][?phys_contiguous]       "" is zeroed
```

Who is not root may have `zeroed@wb` and nothing else (EACCES).  What is mapped is mapped at the
ring door; of a file of FUSE two programs would see the same pages.  There physical memory can be
read instead, and `df` tells of the machine's memory.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

from kernel_shim.schemes.handles import Handles
from kernel_shim.schemes.kernel import Kernel
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR, Stat, StatVfs
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import POSITIONED, ROOT, Entry, Mapped, Opened, Scheme

log = logging.getLogger(__name__)

PAGE: Final = 4096
_PATH_MOST: Final = 64  # characters, as on Redox
_KINDS: Final = ("zeroed", "physical", "translation", "scheme-root")
_TYPES: Final = ("wb", "uc", "wc", "dev")
_PHYSICAL_END: Final = 1 << 52
_ROOT_KIND: Final = "scheme-root"
_PAGEMAP_PRESENT: Final = 1 << 63  # Linux, Documentation/admin-guide/mm/pagemap.rst
_PAGEMAP_FRAME: Final = (1 << 55) - 1


class _File(NamedTuple):
    kind: str  # one of _KINDS
    type: str  # one of _TYPES
    contiguous: bool
    looks: bool  # opened with O_STAT


class MemoryScheme(Scheme):
    """See the module."""

    name = "memory"
    reopens: ClassVar[bool] = True
    replays: ClassVar[bool] = True  # all it does is look

    def __init__(self, loop: Loop, dev: Path = Path("/dev"), proc: Path = Path("/proc")) -> None:
        self._loop: Final = loop
        self._dev: Final = dev
        self._proc: Final = proc
        self._handles: Final[Handles[_File]] = Handles()
        self._mems: Final[dict[int, int]] = {}  # /dev/mem, by flags, once it was needed

    def close(self) -> None:
        """Let go of physical memory."""
        while self._mems:
            os.close(self._mems.popitem()[1])

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open one kind of memory; "" is zeroed, or with O_DIRECTORY or O_STAT the directory."""
        if parent != ROOT and self._handles[parent].kind != _ROOT_KIND:
            raise Refused(e.EACCES)
        looks = bool(flags & f.O_STAT)
        path = path.strip("/")
        if not path and (looks or flags & f.O_DIRECTORY):
            opened = _File(_ROOT_KIND, "wb", False, looks)
        else:
            opened = _parsed(path, looks)
            if flags & f.O_DIRECTORY and opened.kind != _ROOT_KIND:
                raise Refused(e.ENOTDIR)
            if request.caller.uid != 0 and not looks and not _harmless(opened):
                raise Refused(e.EACCES)
        return Opened(self._handles.add(opened, request.caller), POSITIONED)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/memory/`, as Redox does for all of them."""
        self._handles[handle]
        return f"/scheme/{self.name}/"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the kinds."""
        if self._handles[handle].kind != _ROOT_KIND:
            raise Refused(e.ENOTDIR)
        return [Entry(kind, f.DT_CHR) for kind in _KINDS if kind != _ROOT_KIND]

    def on_close(self, handle: int) -> None:
        """Forget the handle; what is mapped stays its user's."""
        self._handles.remove(handle)

    # -- memory ------------------------------------------------------------------------------------

    def mmap_prep(
        self, handle: int, offset: int, size: int, flags: int, request: Request
    ) -> Mapped:
        """Say what to map: fresh memory, or physical memory from address `offset` on."""
        opened = self._opened(handle)
        if not size or offset % PAGE:
            raise Refused(e.EINVAL)
        if opened.kind == "zeroed":
            if opened.contiguous:
                shared = flags & f.MAP_SHARED
                raise Refused(
                    e.EOPNOTSUPP if shared else e.ENOMEM,
                    "Linux gives no program memory that is contiguous: DMA is a driver's arena",
                )
            return Mapped(self._zeroed(size), 0)
        if opened.kind == "physical":
            if size % PAGE or offset + size > _PHYSICAL_END:
                raise Refused(e.EINVAL)
            return Mapped(self._mem(opened.type), offset)
        raise Refused(e.EBADF)

    def _zeroed(self, size: int) -> int:
        """Make fresh memory, which lives as long as somebody maps it; ENOMEM past all there is."""
        if size > self._counts()["MemTotal"]:
            raise Refused(e.ENOMEM)
        try:
            fd = os.memfd_create("redbear-zeroed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError as err:
            raise Refused(e.ENOMEM) from err
        self._loop.soon(lambda: os.close(fd))  # the door has sent its duplicate by then
        os.ftruncate(fd, -(-size // PAGE) * PAGE)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        return fd

    def _mem(self, kind: str) -> int:
        """Open /dev/mem, where the kernel has it: with O_SYNC it maps uncached.

        Opened plainly and not by python-periphery, whose MMIO reads and writes by itself: here only
        a descriptor is handed on.
        """
        if kind == "wc":
            raise Refused(e.EOPNOTSUPP, "/dev/mem maps no memory write-combining")
        flags = os.O_RDWR | os.O_CLOEXEC | (0 if kind == "wb" else os.O_SYNC)
        if flags not in self._mems:
            path = self._dev / "mem"
            try:
                self._mems[flags] = os.open(path, flags)
            except FileNotFoundError as err:
                why = f"physical memory is refused: this kernel has no {path} (CONFIG_DEVMEM)"
                log.warning("%s", why)
                raise Refused(e.ENODEV, why) from err
            except OSError as err:
                why = f"physical memory is refused: {path}: {err.strerror} (lockdown, see dmesg)"
                log.warning("%s", why)
                raise Refused(e.EPERM, why) from err
        return self._mems[flags]

    # -- bytes and calls ---------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Read physical memory: not on Redox, and here for programs that have only files."""
        opened = self._opened(handle)
        if opened.kind != "physical":
            raise Refused(e.EBADF)
        try:
            return os.pread(self._mem(opened.type), size, offset)
        except OSError as err:
            # CONFIG_STRICT_DEVMEM: RAM and what a driver has is the kernel's own.
            log.info("physical memory at %#x cannot be read: %s", offset, err.strerror)
            raise Refused(e.EPERM if err.errno == e.EPERM else e.EFAULT) from err

    def call(
        self, handle: int, payload: memoryview, metadata: Sequence[int], request: Request
    ) -> int:
        """Turn the caller's virtual address, 8 bytes, into a physical one; ENOENT if unmapped."""
        opened = self._opened(handle)
        if opened.kind != "translation":
            raise Refused(e.EOPNOTSUPP)
        if len(payload) != 8:
            raise Refused(e.EINVAL)
        address = int.from_bytes(payload, "little")
        payload[:] = self._translate(request.caller.pid, address).to_bytes(8, "little")
        return 0

    def _translate(self, pid: int, address: int) -> int:
        """Ask the caller's pagemap, which shows frames to root only (CAP_SYS_ADMIN)."""
        page, rest = divmod(address, PAGE)
        if address >= 1 << 63:
            raise Refused(e.ENOENT)
        try:
            fd = os.open(self._proc / str(pid) / "pagemap", os.O_RDONLY | os.O_CLOEXEC)
            try:
                entry = os.pread(fd, 8, page * 8)
            finally:
                os.close(fd)
        except OSError as err:
            log.info("the pagemap of process %d cannot be read: %s", pid, err.strerror)
            raise Refused(e.EPERM) from err
        (word,) = struct.unpack("<Q", entry.ljust(8, b"\0"))
        if not word & _PAGEMAP_PRESENT:
            raise Refused(e.ENOENT)
        frame: int = word & _PAGEMAP_FRAME
        if not frame:
            raise Refused(e.EPERM, "Linux hides frame numbers from this process")
        return frame * PAGE + rest

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe one kind of memory, or the directory."""
        opened = self._handles[handle]
        if opened.kind == _ROOT_KIND:
            return Stat(st_mode=MODE_DIR | 0o555, st_nlink=2, st_blksize=PAGE)
        mode = 0o666 if _harmless(opened) else 0o600
        return Stat(st_mode=MODE_CHR | mode, st_nlink=1, st_blksize=PAGE)

    def fstatvfs(self, handle: int) -> StatVfs:
        """Say how much memory the machine has and has free, in pages."""
        self._handles[handle]
        counts = self._counts()
        total, free = counts["MemTotal"] // PAGE, counts["MemFree"] // PAGE
        return StatVfs(f_bsize=PAGE, f_blocks=total, f_bfree=free, f_bavail=free)

    def _counts(self) -> dict[str, int]:
        """Read Linux's own counts, in bytes."""
        counts = {}
        for line in (self._proc / "meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            counts[name] = int(rest.split()[0]) * 1024
        return counts

    def fsize(self, handle: int) -> int:
        """Return 0: memory has no end to seek from."""
        self._handles[handle]
        return 0

    def _opened(self, handle: int) -> _File:
        opened = self._handles[handle]
        if opened.looks:
            raise Refused(e.EBADF)
        return opened


def _parsed(path: str, looks: bool) -> _File:
    if len(path) > _PATH_MOST:
        raise Refused(e.ENOENT)
    before, _, flags = path.partition("?")
    kind, at, memory_type = before.partition("@")
    wanted = set(flags.split(",")) if flags else set()
    kind = kind or "zeroed"
    if kind not in _KINDS or (at and memory_type not in _TYPES) or wanted - {"phys_contiguous"}:
        raise Refused(e.ENOENT)
    return _File(kind, memory_type or "wb", bool(wanted), looks)


def _harmless(opened: _File) -> bool:
    """Whether anyone may have it."""
    return opened.kind == _ROOT_KIND or (
        opened.kind == "zeroed" and opened.type == "wb" and not opened.contiguous
    )


def build(kernel: Kernel) -> MemoryScheme:
    """Make the scheme."""
    return MemoryScheme(kernel.loop)
