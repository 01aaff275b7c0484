"""Namespaces for programs: getns, mkns, setns, setrens and register_scheme_to_ns of libredox.

A namespace is a descriptor, as in Redox since 2026: here of a Linux mount namespace, which `setns`
enters, so that plain system calls and child processes see what the library sees.  The scheme `sudo`
hands out another kind, a folder with `scheme/` and `ring/`: it needs no privilege to use, but only
the library follows it (and children that inherit the descriptor and the environment).

The null namespace is 0.  There is no way out of it, and nothing to open in it by name but the
schemes memory and pipe; what is held goes on working.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from redbear_host import linux
from redbear_host.client import connection, paths
from redbear_host.client.deadline import deadline
from redbear_host.errors import Refused
from redbear_host.namespace import build, filter, names
from redbear_host.namespace.build import Instance
from redbear_host.sandbox import landlock
from schemefs.errno import to_linux

KEEP: Final = -1
NULL: Final = 0

_PR_SET_NO_NEW_PRIVS: Final = 38
_GREETING_S: Final = 5.0


class _State:
    """What Redox's kernel keeps for a process: whether it has given its namespaces up."""

    rns_null = False
    ens_null = False


def _instance() -> Instance:
    return Instance(Path(paths.mount()).resolve(), Path(paths.rings()).resolve().parent)


def getns() -> int:
    """Return a descriptor of the namespace this process is in."""
    return os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


def mkns(wanted: Sequence[str], flags: int = 0) -> int:
    """Make a namespace that holds the schemes `wanted` of this one; return its descriptor.

    A trailing `*` stands for all that begin so.  `OSError`: EACCES but for root, EPERM in a room of
    `redbear-host run`, ENODEV for an unknown name, EEXIST for one given twice, EINVAL for what
    cannot be one (or any flag).
    """
    if os.geteuid() != 0:
        raise _error(errno.EACCES)
    if flags:
        raise _error(errno.EINVAL)
    if len(set(wanted)) < len(wanted):
        raise _error(errno.EEXIST)
    try:
        for name in wanted:
            if name != "*":
                names.check(name.removesuffix("*"))
        return build.make(_instance(), wanted)
    except Refused as refusal:
        raise _error(to_linux(refusal.errno, False)) from refusal


def setns(namespace: int) -> None:
    """Enter a namespace; the descriptor stays the caller's.

    For a mount namespace the process must be root outside of any room, and have one thread (EPERM,
    EINVAL); its working directory is looked up again, and is `/` where it does not exist.  A folder
    of `sudo` must stay open as long as it is used.
    """
    if _State.ens_null:
        raise _error(errno.EPERM)
    if stat.S_ISDIR(os.fstat(namespace).st_mode):
        os.environ["REDBEAR_SCHEME"] = f"/proc/self/fd/{namespace}/scheme"
        os.environ["REDBEAR_RINGS"] = f"/proc/self/fd/{namespace}/ring"
    else:
        folder = os.getcwd()
        linux.setns(namespace, linux.CLONE_NEWNS)
        with suppress(OSError):
            os.chdir(folder)
    connection.forget()


def setrens(rns: int, ens: int) -> None:
    """Change the namespaces of this process, by Redox's rules; look-ups use `ens`.

    -1 keeps one.  0 is the null namespace, for good: EPERM for anything else after it.  Any other
    number is a namespace's descriptor, for `setns`.
    """
    for number, is_null in ((rns, _State.rns_null), (ens, _State.ens_null)):
        if is_null and number not in (KEEP, NULL):
            raise _error(errno.EPERM)
        if number < KEEP:
            raise _error(errno.EINVAL)
    if ens > NULL:
        setns(ens)
    if ens == NULL and not _State.ens_null:
        _enter_null()
        _State.ens_null = True
    if rns == NULL:
        _State.rns_null = True


def _enter_null() -> None:
    """Let no name lead anywhere.  What may still be wanted is called at before."""
    for name in names.NULL:
        with suppress(OSError), deadline(_GREETING_S):
            connection.connect(name)
    linux.prctl(_PR_SET_NO_NEW_PRIVS, 1)
    landlock.restrict(None)
    filter.install(null=True)


def register_scheme_to_ns(namespace: int, name: str, cap: int) -> None:
    """Show a scheme under `name` in another namespace; `cap` is its root, opened (O_PATH will do).

    Linux programs there find it; its socket for libredox programs does not come with it.
    `OSError`: EACCES but for root, EEXIST when the name is taken there, EINVAL for what cannot be
    one.
    """
    if os.geteuid() != 0:
        raise _error(errno.EACCES)
    try:
        build.add(_instance(), namespace, names.check(name), cap)
    except Refused as refusal:
        raise _error(to_linux(refusal.errno, False)) from refusal


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
