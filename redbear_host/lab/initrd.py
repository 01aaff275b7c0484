"""The first file system of a lab guest: busybox, a few modules and `init.sh`, packed as cpio.

Ref: Linux, Documentation/driver-api/early-userspace/buffer-format.rst (the "newc" format).
It is not compressed: the guest would take longer to unpack it than QEMU takes to copy it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from redbear_host.errors import ConfigError
from redbear_host.lab.kernel import NEEDED, Kernel, decompress, load_order

BUSYBOX: Final = Path("/bin/busybox")
# Those that bring the root file system and the console, before the root's own modprobe is there.
FIRST: Final = ("virtio_pci", *(name for name in NEEDED if not name.startswith("vfio")))

_DIRECTORY: Final = 0o040755
_PROGRAM: Final = 0o100755
_FILE: Final = 0o100644
_LINK: Final = 0o120777


def initrd(kernel: Kernel, modules: Sequence[str] = (), busybox: Path = BUSYBOX) -> bytes:
    """Return a cpio archive whose `/init` mounts the host's root and starts the session.

    `modules` are loaded once that is done; from here that is five times as fast as by modprobe
    from the shared root.
    """
    first = load_order(kernel, FIRST)
    later = [file for file in load_order(kernel, modules) if file not in first]
    archive = _Cpio()
    for folder in ("bin", "proc", "sys", "dev", "host", "writable", "root"):
        archive.add(folder, _DIRECTORY)
    archive.add("bin/busybox", _PROGRAM, _read_static(busybox))
    archive.add("bin/sh", _LINK, b"busybox")
    for folder, order in (("first", first), ("later", later)):
        archive.add(folder, _DIRECTORY)
        for number, file in enumerate(order):
            module = decompress(file.read_bytes(), str(file))
            archive.add(f"{folder}/{number:02}-{file.name.split('.', 1)[0]}.ko", _FILE, module)
    archive.add("init", _PROGRAM, Path(__file__).with_name("init.sh").read_bytes())
    return archive.finish()


def _read_static(busybox: Path) -> bytes:
    hint = "apt install busybox-static"
    try:
        data = busybox.read_bytes()
    except OSError as error:
        raise ConfigError(f"the guest lab needs {busybox}: {error.strerror}", hint) from error
    if b"/ld-linux" in data:
        raise ConfigError(f"{busybox} is not static: it cannot run before a root is there", hint)
    return data


class _Cpio:
    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._count = 0

    def add(self, name: str, mode: int, data: bytes = b"") -> None:
        """Append a file; `data` is the content, or where a link points."""
        self._count += 1
        raw = name.encode() + b"\0"
        # inode, mode, uid, gid, links, mtime, size, device, device it stands for, name, checksum
        fields = (self._count, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (header + raw, data):
            self._parts += (part, bytes(-len(part) % 4))

    def finish(self) -> bytes:
        """Return the archive, with its trailer."""
        self.add("TRAILER!!!", 0)
        return b"".join(self._parts)
