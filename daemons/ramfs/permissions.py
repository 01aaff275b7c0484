"""Unix permissions, by the caller's user and group (POSIX.1-2017, 4.5 File Access Permissions).

A call brings one group; the supplementary groups of a process are not known here.
"""

from __future__ import annotations

import stat
from typing import Final

from daemons.ramfs.nodes import Directory, Node
from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller

READ: Final = 4
WRITE: Final = 2
SEARCH: Final = 1
EXECUTE: Final = SEARCH


def check(node: Node, wanted: int, caller: Caller) -> None:
    """Raise EACCES unless the caller may READ, WRITE and SEARCH, as `wanted` says."""
    if caller.uid == 0:
        return
    if caller.uid == node.uid:
        granted = node.mode >> 6
    elif caller.gid == node.gid:
        granted = node.mode >> 3
    else:
        granted = node.mode
    if wanted & ~granted:
        raise Refused(e.EACCES)


def check_owner(node: Node, caller: Caller) -> None:
    """Raise EPERM unless the caller is the owner or root."""
    if caller.uid not in (0, node.uid):
        raise Refused(e.EPERM)


def check_removal(parent: Directory, node: Node, caller: Caller) -> None:
    """Raise unless the caller may take a name of `node` out of `parent`, which may be sticky."""
    check(parent, WRITE | SEARCH, caller)
    if parent.mode & stat.S_ISVTX and caller.uid not in (0, parent.uid, node.uid):
        raise Refused(e.EPERM)


def mode_by(node: Node, mode: int, caller: Caller) -> int:
    """Return the permissions that this caller's chmod sets: no set-group-id of a foreign group."""
    if caller.uid != 0 and caller.gid != node.gid:
        return mode & ~stat.S_ISGID
    return mode


def without_set_id(mode: int) -> int:
    """Return the permissions after someone else than root changed the file or its owner."""
    mode &= ~stat.S_ISUID
    return mode & ~stat.S_ISGID if mode & stat.S_IXGRP else mode
