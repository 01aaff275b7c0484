"""Block devices behind a PCI function, and what the host does with them.

Ref: Linux, Documentation/ABI/stable/sysfs-block; proc(5) for mountinfo and swaps.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from kernel_shim.host import Host
from redbear_host.errors import ConfigError


class Block(NamedTuple):
    """One disk or partition."""

    name: str  # as in /dev, `/` written `!`
    number: str  # `major:minor`


def disks_of(address: str, host: Host) -> list[tuple[Block, list[Block]]]:
    """Return the disks of a function, each with its partitions."""
    function = host.folder(address).resolve()
    disks = [
        disk
        for disk in host.names(host.sys / "class/block")
        if not (_folder(disk, host) / "partition").exists()
        and (_is_below(_folder(disk, host), function) or _is_multipath(disk, function, host))
        # One path of a multipath disk has no device node; the disk itself has.
        and host.read(_folder(disk, host) / "hidden") != "1"
    ]
    return [
        (_block(disk, host), [_block(part, host) for part in _partitions(disk, host)])
        for disk in disks
    ]


def _folder(name: str, host: Host) -> Path:
    return host.sys / "class/block" / name


def _block(name: str, host: Host) -> Block:
    return Block(name, host.read(_folder(name, host) / "dev"))


def _partitions(disk: str, host: Host) -> list[str]:
    folder = _folder(disk, host)
    return [name for name in host.names(folder) if (folder / name / "partition").exists()]


def _is_below(folder: Path, function: Path) -> bool:
    return function in folder.resolve().parents


def _is_multipath(disk: str, function: Path, host: Host) -> bool:
    """Whether the disk is a namespace that several NVMe controllers share, ours among them.

    It hangs on the subsystem then, not on any controller.
    """
    subsystem = _folder(disk, host).resolve().parent
    if subsystem.parent.name != "nvme-subsystem":
        return False
    return any(
        _is_below(entry, function) for entry in subsystem.glob("nvme*") if entry.is_symlink()
    )


def holders(block: Block, host: Host) -> list[Block]:
    """Return what is built on a block device, and on that, and so on: device mapper, md, bcache."""
    found: dict[Block, None] = {}
    names = host.names(_folder(block.name, host) / "holders")
    while names:
        holder = _block(names.pop(0), host)
        if holder not in found:
            found[holder] = None
            names += host.names(_folder(holder.name, host) / "holders")
    return list(found)


def title(block: Block, host: Host) -> str:
    """Name a block device so that its owner knows it: `/dev/dm-0 (vg-root)`."""
    mapper = host.read(_folder(block.name, host) / "dm/name")
    return f"{_node(block)} ({mapper})" if mapper else _node(block)


def _node(block: Block) -> str:
    return f"/dev/{block.name.replace('!', '/')}"


def mounts(block: Block, host: Host) -> list[str]:
    """Return where a block device is mounted, in any mount namespace of the machine."""
    found: dict[str, None] = {}
    seen = set()
    for pid in host.names(host.proc):
        if not pid.isdigit():
            continue
        process = host.proc / pid
        try:
            namespace = os.readlink(process / "ns/mnt")
        except OSError:
            namespace = pid  # it has ended, or we may not know: look
        if namespace in seen:
            continue
        seen.add(namespace)
        for line in host.read(process / "mountinfo").splitlines():
            fields, _, rest = line.partition(" - ")
            words = fields.split()
            # btrfs shows a number of its own, and its device as the source.
            source = rest.split()[1:2]
            if len(words) > 4 and (words[2] == block.number or source == [_node(block)]):
                found[_unescape(words[4])] = None
    return list(found)


def _unescape(text: str) -> str:
    """Undo how mountinfo and swaps write blanks: `\\040`."""
    for code in ("040", "011", "012", "134"):
        text = text.replace(f"\\{code}", chr(int(code, 8)))
    return text


def is_swap(block: Block, host: Host) -> bool:
    """Whether the host swaps to a block device."""
    lines = host.read(host.proc / "swaps").splitlines()[1:]
    files = (_unescape(line.split()[0]) for line in lines if line)
    return any(os.path.realpath(file) == _node(block) for file in files)


def claim(block: Block, host: Host, held: ExitStack) -> str:
    """Claim a block device, as mounting it would, until `held` is closed.

    Return why that cannot be, in words that follow the device's name, or "".  A claimed disk covers
    its partitions: none of them can be claimed, or is.
    """
    path = host.dev / block.name.replace("!", "/")
    try:
        fd = host.open_exclusively(path)
    except PermissionError as error:
        raise ConfigError(f"cannot look at {path}: {error.strerror}", "use sudo") from error
    except OSError as error:
        if error.errno == errno.EBUSY:
            return "is claimed exclusively"
        if error.errno in (errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM):
            return ""  # nothing is in it, or it has left
        return f"cannot be asked whether it is free: {error.strerror}"
    held.callback(os.close, fd)
    return ""
