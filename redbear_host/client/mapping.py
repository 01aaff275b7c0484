"""fmap: memory of a scheme, or anonymous memory, in this process."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Self

from redbear_host.abi import flags as f
from redbear_host.client.fd import AnyFd, fd_of
from redbear_host.client.file import cannot

_PROT: Final = (
    (f.PROT_READ, mmap.PROT_READ),
    (f.PROT_WRITE, mmap.PROT_WRITE),
    (f.PROT_EXEC, mmap.PROT_EXEC),
)
_KINDS: Final = {f.MAP_SHARED: mmap.MAP_SHARED, f.MAP_PRIVATE: mmap.MAP_PRIVATE}
_KNOWN: Final = f.PROT_READ | f.PROT_WRITE | f.PROT_EXEC | f.MAP_SHARED | f.MAP_PRIVATE | f.MAP_LAZY


class Mapping:
    """Mapped memory, `memory`, a `mmap.mmap`; unmapped at the end of a `with` or by `funmap`."""

    def __init__(self, fd: int, at: int, length: int, flags: int) -> None:
        """Map `length` bytes of `fd` from `at`, and close it; -1 for anonymous memory."""
        try:
            kind, prot = check(length, flags)
            if fd < 0:
                kind |= mmap.MAP_ANONYMOUS
            self.memory: Final = mmap.mmap(fd, length, flags=kind, prot=prot, offset=at)
        except ValueError as err:  # longer than the file, or an offset between pages
            raise OSError(errno.EINVAL, str(err)) from err
        finally:
            if fd >= 0:
                os.close(fd)
        self.tell: Callable[[], Any] | None = None  # tells the scheme that it is unmapped

    @property
    def view(self) -> memoryview:
        """The bytes; views of it have to be released before unmapping."""
        return memoryview(self.memory)

    def unmap(self) -> None:
        """Unmap here; `OSError(EBUSY)` while somebody holds a view."""
        try:
            self.memory.close()
        except BufferError:
            raise cannot(errno.EBUSY) from None

    def close(self) -> None:
        """Unmap, and tell the scheme."""
        self.unmap()
        tell, self.tell = self.tell, None
        if tell is not None:
            tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check(length: int, flags: int) -> tuple[int, int]:
    """Return Linux's flags and protection; `OSError(EINVAL)` for what cannot be mapped."""
    kind = _KINDS.get(flags & (f.MAP_SHARED | f.MAP_PRIVATE))
    if kind is None or length <= 0 or flags & ~_KNOWN:
        raise OSError(errno.EINVAL, f"a mapping of {length} bytes with flags {flags:#x}")
    return kind, sum(linux for redox, linux in _PROT if flags & redox)


def fmap(
    fd: AnyFd | None,
    length: int,
    flags: int = f.PROT_READ | f.PROT_WRITE | f.MAP_SHARED,
    offset: int = 0,
) -> Mapping:
    """Map `length` bytes of a file from `offset`; `None` for anonymous memory."""
    check(length, flags)
    if fd is None:
        return Mapping(-1, 0, length, flags)
    file = fd_of(fd).file
    given, at = file.mmap_prep(length, flags, offset)
    if given < 0:
        raise OSError(errno.EPROTO, "the scheme sent nothing to map")
    mapping = Mapping(given, at, length, flags)
    mapping.tell = partial(file.munmap, length, 0, offset)
    return mapping


def funmap(mapping: Mapping) -> None:
    """Unmap."""
    mapping.close()
