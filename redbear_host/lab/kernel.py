"""Debian's kernel for the guest lab: finding it, and unpacking it so that it boots fast.

Ref: Linux, Documentation/arch/x86/boot.rst (the bzImage header: setup_sects, payload_offset,
payload_length).

A `vmlinuz` unpacks itself at boot, which takes four seconds on an emulated processor and one on
the host; QEMU starts the unpacked ELF file directly, through its PVH entry point.
"""

from __future__ import annotations

import contextlib
import gzip
import lzma
import os
import re
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from redbear_host.errors import ConfigError

NEEDED: Final = ("vfio-pci", "vfio_iommu_type1", "9p", "9pnet_virtio", "overlay", "virtio_console")
HINT: Final = "apt install linux-image-amd64"


class Kernel(NamedTuple):
    """A kernel image and the modules that belong to it."""

    version: str  # as `uname -r` says it
    image: Path
    modules: Path


def find_kernel(boot: Path = Path("/boot"), modules: Path = Path("/lib/modules")) -> Kernel:
    """Return the newest kernel that has an image and every module the guest lab stands on.

    The cloud flavour and kernels whose module package is gone are passed over; `ConfigError`
    when nothing is left.
    """
    passed_over = []
    for image in sorted(boot.glob("vmlinuz-*-amd64"), key=_age, reverse=True):
        version = image.name.removeprefix("vmlinuz-")
        kernel = Kernel(version, image, modules / version)
        try:
            known = dependencies(kernel).keys()
        except OSError:
            passed_over.append(f"{version} has no modules below {modules}")
            continue
        missing = [name for name in NEEDED if name.replace("-", "_") not in known]
        if missing:
            passed_over.append(f"{version} lacks {', '.join(missing)}")
        elif not os.access(image, os.R_OK):
            passed_over.append(f"{image} may not be read by this user")
        else:
            return kernel
    why = "; ".join(passed_over) or f"there is no {boot}/vmlinuz-*-amd64"
    raise ConfigError(f"no kernel to boot the guest lab with: {why}", HINT)


def _age(image: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", image.name)]


def dependencies(kernel: Kernel) -> dict[str, list[Path]]:
    """Return every module's file followed by the files of the modules it needs (modules.dep(5)).

    The names are the kernel's own, with underscores; a module that is built in needs no file.
    """
    table: dict[str, list[Path]] = {}
    for line in (kernel.modules / "modules.builtin").read_text(encoding="ascii").splitlines():
        table[_name(line)] = []
    for line in (kernel.modules / "modules.dep").read_text(encoding="ascii").splitlines():
        own, _, needed = line.partition(":")
        table[_name(own)] = [kernel.modules / file for file in (own, *needed.split())]
    return table


def _name(file: str) -> str:
    return Path(file).name.split(".", 1)[0].replace("-", "_")


def load_order(kernel: Kernel, names: Sequence[str]) -> list[Path]:
    """Return the files to load, in order, so that `names` and all they need are there."""
    table = dependencies(kernel)
    order: dict[Path, None] = {}
    for name in names:
        if name.replace("-", "_") not in table:
            raise ConfigError(f"kernel {kernel.version} has no module {name}")
        # modules.dep lists the direct need first and its own needs after it.
        for file in reversed(table[name.replace("-", "_")]):
            order.setdefault(file)
    return list(order)


def decompress(data: bytes, what: str) -> bytes:
    """Unpack what Debian packs kernels and modules with: xz, gzip or zstd; else return `data`."""
    if data.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(data)
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        try:
            done = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ConfigError(f"cannot unpack {what}: {error}", "apt install zstd") from error
        return done.stdout
    return data


def unpacked(kernel: Kernel, cache: Path | None = None) -> Path:
    """Return the kernel as an ELF file, kept in `cache` (default: below `~/.cache`).

    Where the payload is packed in a way we do not know, the image itself is returned: it boots
    too, only later.
    """
    folder = cache or cache_folder()
    try:
        return _unpacked(kernel, folder)
    except OSError as error:
        raise ConfigError(
            f"{kernel.image} cannot be unpacked in {folder}: {error.strerror}",
            "set XDG_CACHE_HOME to a folder that you can write",
        ) from error


def _unpacked(kernel: Kernel, folder: Path) -> Path:
    stat = kernel.image.stat()
    elf = folder / f"vmlinux-{kernel.version}-{stat.st_size:x}-{stat.st_mtime_ns:x}"
    if elf.exists():
        return elf
    image = kernel.image.read_bytes()
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[(setup_sectors + 1) * 512 + offset :][:length]
    if not payload.startswith(b"\x1f\x8b"):
        payload = payload[:-4]  # the unpacked size, which gzip alone has inside its own format
    data = decompress(payload, str(kernel.image))
    if not data.startswith(b"\x7fELF"):
        return kernel.image
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"vmlinux-{kernel.version}-*"):
        old.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, elf)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    return elf


def cache_folder() -> Path:
    """Where unpacked kernels are kept: `$XDG_CACHE_HOME/redbear-host`, else `~/.cache/…`."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "redbear-host"
