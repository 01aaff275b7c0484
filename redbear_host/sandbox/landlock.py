"""Landlock: no path, no port, nobody outside, whatever else should go wrong.

Ref: linux/landlock.h, Documentation/userspace-api/landlock.rst.  A rule set names the rights it
takes away; a right is given back for all below a directory.  What a kernel does not know yet cannot
be named, so the version it offers is asked first.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Sequence
from typing import Final

from redbear_host import linux

log = logging.getLogger(__name__)

_CREATE_RULESET: Final = 444  # on every architecture
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446

_CREATE_RULESET_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1

# Rights over files, by the version that brought them: LANDLOCK_ACCESS_FS_….
_FILE_RIGHTS: Final = {
    1: (1 << 13) - 1,  # EXECUTE … MAKE_SYM
    2: 1 << 13,  # REFER
    3: 1 << 14,  # TRUNCATE
    5: 1 << 15,  # IOCTL_DEV
}
_EXECUTE: Final = 1 << 0
_READ_FILE: Final = 1 << 2
_IOCTL_DEV: Final = 1 << 15

_BIND_AND_CONNECT_TCP: Final = 0b11
_NETWORK_SINCE: Final = 4
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 0b11
_SCOPES_SINCE: Final = 6


def version() -> int:
    """Return the version of the running kernel's interface; 0 where there is none, or it is off."""
    try:
        return linux.syscall(_CREATE_RULESET, 0, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def missing(offered: int) -> list[str]:
    """Say what a kernel that offers this version cannot forbid."""
    known = {
        1: "access to files by path",
        2: "moving files between folders",
        3: "truncating files",
        _NETWORK_SINCE: "TCP",
        5: "ioctl of devices",
        _SCOPES_SINCE: "abstract sockets and signals",
    }
    return [what for since, what in known.items() if offered < since]


def handled(offered: int) -> tuple[int, int, int]:
    """Return the rights to take away, of files and of the network, and the scopes."""
    files = sum(rights for since, rights in _FILE_RIGHTS.items() if since <= offered)
    network = _BIND_AND_CONNECT_TCP if offered >= _NETWORK_SINCE else 0
    scopes = _ABSTRACT_SOCKETS_AND_SIGNALS if offered >= _SCOPES_SINCE else 0
    return files, network, scopes


def restrict(beneath: str | None, readable: Sequence[int] = (), network: bool = False) -> None:
    """Take away all rights Landlock knows, but those over files below `beneath`, if given.

    Nothing there can be executed, nor a device file be sent an ioctl.  Below the open directories
    `readable`, files can be read.  With `network`, TCP stays as it is.  A kernel without Landlock,
    or with an old one, is told of in the log: the other walls stand without it.
    """
    offered = version()
    lacks = missing(offered)
    if lacks:
        log.warning(
            "this kernel's Landlock (version %d) cannot forbid %s", offered, ", ".join(lacks)
        )
    if not offered:
        return
    files, ports, scopes = handled(offered)
    attributes = struct.pack("=QQQ", files, 0 if network else ports, scopes)
    # Version 1 to 3 know the first word only, 4 and 5 two.
    size = 8 if offered < _NETWORK_SINCE else 16 if offered < _SCOPES_SINCE else 24
    rules = linux.syscall(_CREATE_RULESET, attributes, size, 0)
    try:
        if beneath is not None:
            folder = os.open(beneath, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                _allow(rules, folder, files & ~(_EXECUTE | _IOCTL_DEV))
            finally:
                os.close(folder)
        for folder in readable:
            _allow(rules, folder, _READ_FILE)
        linux.syscall(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, folder: int, rights: int) -> None:
    rule = struct.pack("=Qi", rights, folder)  # struct landlock_path_beneath_attr, packed
    linux.syscall(_ADD_RULE, rules, _RULE_PATH_BENEATH, rule, 0)
