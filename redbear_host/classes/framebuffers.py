"""Frame buffers: memory that a client draws in and maps, and that outlives the daemon.

Each is a sealed memfd of its own, so that a client that maps one sees no other.  The shim keeps a
duplicate by a name that says all about it, `VT.NUMBER.WIDTH.HEIGHT`, and `.SCREEN` behind it for
that of a v1 file; the daemon's next life finds them so.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.abi.display import WORD
from redbear_host.errors import Refused

log = logging.getLogger(__name__)

SIDE_MOST: Final = 16384  # pixels
EACH_MOST: Final = 256 << 20  # bytes of one: so far apart lie their map offsets
BYTES_MOST: Final = 512 << 20  # of all
COUNT_MOST: Final = 48  # of all; the shim keeps 64 things
TERMINAL_MOST: Final = 16  # of one VT

_PAGE: Final = mmap.PAGESIZE
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_NAME: Final = re.compile(
    r"(\d{1,9})\.(\d{1,18})\.([1-9]\d{0,4})\.([1-9]\d{0,4})(?:\.(\d\d?))?", re.ASCII
)

Keep = Callable[[str, int], object]
Forget = Callable[[str], object]


class Framebuffer:
    """`width` by `height` words, rows one after the other; at most one v1 file's."""

    __slots__ = (
        "_memory", "fd", "height", "number", "orphan", "pixels", "screen", "stride", "vt", "width",
    )  # fmt: skip

    def __init__(
        self, vt: int, number: int, width: int, height: int, screen: int = -1, fd: int = -1
    ) -> None:
        """Make one, or take over `fd`; `OSError` when there is no memory, or less than it says."""
        self.vt: Final = vt
        self.number: Final = number
        self.width: Final = width
        self.height: Final = height
        self.screen: Final = screen  # of the v1 file whose it is, or -1
        self.stride: Final = width * WORD
        self.orphan = False  # nobody can name it any more: it goes when it is not shown
        if fd < 0:
            fd = os.memfd_create("display", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                os.ftruncate(fd, self.room)
                # No client can pull the memory from under us, or from under another.
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
                memory = mmap.mmap(fd, self.room)
            except OSError:
                os.close(fd)
                raise
        else:
            try:
                memory = mmap.mmap(fd, self.room)
            except ValueError as error:
                raise OSError(str(error)) from error
        self.fd: Final = fd
        self._memory: Final = memory
        self.pixels: Final = memoryview(memory)[: self.size]

    @property
    def size(self) -> int:
        """Bytes of pixels."""
        return self.stride * self.height

    @property
    def room(self) -> int:
        """Bytes that can be mapped: whole pages."""
        return -(-self.size // _PAGE) * _PAGE

    @property
    def name(self) -> str:
        """What the shim keeps it by."""
        screen = "" if self.screen < 0 else f".{self.screen}"
        return f"{self.vt}.{self.number}.{self.width}.{self.height}{screen}"

    def close(self) -> None:
        """Let go of the memory; who has mapped it keeps it."""
        self.pixels.release()
        self._memory.close()
        os.close(self.fd)


class Framebuffers:
    """All there are, by their numbers, which are never given twice in an instance's life."""

    def __init__(self, keep: Keep, forget: Forget) -> None:
        """Call `keep(name, fd)` for each that is made, `forget(name)` when it goes."""
        self._all: Final[dict[int, Framebuffer]] = {}
        self._keep: Final = keep
        self._forget: Final = forget
        self._next = 1

    def __iter__(self) -> Iterator[Framebuffer]:
        return iter(list(self._all.values()))

    def restore(self, kept: Mapping[str, int]) -> None:
        """Take over what earlier lives had kept; what cannot be is let go of."""
        for name, fd in kept.items():
            found = _NAME.fullmatch(name)
            if found is None:
                continue
            vt, number, width, height = map(int, found.groups()[:4])
            screen = -1 if found[5] is None else int(found[5])
            try:
                made = Framebuffer(vt, number, width, height, screen, fd)
            except OSError as error:
                log.warning("frame buffer %s is lost: %s", name, error)
                with suppress(OSError):
                    os.close(fd)
                self._forget(name)
                continue
            self._all[number] = made
            self._next = max(self._next, number + 1)

    def make(self, vt: int, width: int, height: int, screen: int = -1) -> Framebuffer:
        """Make one of zeroes, for VT `vt`.

        EINVAL for a size that cannot be, ENFILE where there are too many, ENOMEM where they are too
        large together.
        """
        if not (0 < width <= SIDE_MOST and 0 < height <= SIDE_MOST):
            raise Refused(e.EINVAL)
        size = width * height * WORD
        if size > EACH_MOST:
            raise Refused(e.EINVAL)
        mine = sum(one.vt == vt for one in self._all.values())
        if len(self._all) >= COUNT_MOST or mine >= TERMINAL_MOST:
            raise Refused(e.ENFILE)
        if sum(one.room for one in self._all.values()) + size > BYTES_MOST:
            raise Refused(e.ENOMEM)
        try:
            made = Framebuffer(vt, self._next, width, height, screen)
        except OSError as error:
            log.warning("no frame buffer of %d by %d: %s", width, height, error)
            raise Refused(e.ENOMEM) from None
        self._next += 1
        self._all[made.number] = made
        self._keep(made.name, made.fd)
        return made

    def of(self, vt: int, number: int) -> Framebuffer:
        """Return one that a client of VT `vt` may name; ENOENT for all others."""
        found = self._all.get(number)
        if found is None or found.vt != vt or found.orphan:
            raise Refused(e.ENOENT)
        return found

    def get(self, number: int) -> Framebuffer | None:
        """Return one by its number."""
        return self._all.get(number)

    def drop(self, framebuffer: Framebuffer) -> None:
        """Let go of one that is not shown."""
        del self._all[framebuffer.number]
        self._forget(framebuffer.name)
        framebuffer.close()

    def close(self) -> None:
        """Let go of all, for our successor."""
        for framebuffer in self._all.values():
            framebuffer.close()
        self._all.clear()
