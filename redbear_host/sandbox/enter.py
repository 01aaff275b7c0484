"""Into the null namespace: setrens(0, 0) with teeth.

The order matters: each step may take what a later one would need, so those that need root come
first, and the filter, which would forbid all of them, comes last.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from redbear_host import linux
from redbear_host.errors import TransportError
from redbear_host.sandbox import capabilities, imports, landlock, namespaces, seccomp
from redbear_host.sandbox.policy import Policy

_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38

_KEYCTL: Final = {"x86_64": 250, "aarch64": 219}
_KEYCTL_JOIN_SESSION_KEYRING: Final = 1

_HINT: Final = "`redbear-host up --no-sandbox` starts without confinement, to find out more"


def enter(policy: Policy, readable: Sequence[int] = ()) -> None:
    """Give everything up but what is held and what `policy` allows; there is no way back.

    Below the directories behind the descriptors `readable`, files can still be opened and read.
    `TransportError` names the step that failed: the process is half locked in then, and must end.
    """
    beneath = None if policy.root is None else "/"
    steps: list[tuple[str, Callable[[], object]]] = [
        ("one thread", _check_alone),
        ("imports", imports.close),
        ("keyring", _join_empty_keyring),
        ("limits", _limit),
        ("namespaces", partial(namespaces.leave, policy.root, policy.network)),
        ("no_new_privs", partial(linux.prctl, _PR_SET_NO_NEW_PRIVS, 1)),
        ("bounding set", partial(capabilities.empty_bounding_set, policy.keeps)),
        ("user and capabilities", partial(capabilities.become, policy.uid, policy.keeps)),
        ("dumpable", partial(linux.prctl, _PR_SET_DUMPABLE, 0)),
        ("Landlock", partial(landlock.restrict, beneath, readable, policy.network)),
        ("seccomp", partial(seccomp.install, policy.rules)),
    ]
    for name, step in steps:
        try:
            step()
        except OSError as err:
            raise TransportError(
                f"the daemon cannot be locked in, step {name!r}: {err.strerror}", _HINT
            ) from err


def _check_alone() -> None:
    """Credentials and Landlock are a thread's own: another would stay free.

    To leave a thread group that has no other member is nothing; one that has cannot be left.
    """
    try:
        linux.unshare(linux.CLONE_THREAD)
    except OSError as err:
        raise TransportError("the daemon cannot be locked in: it has more than one thread") from err


def _join_empty_keyring() -> None:
    """Leave the keyring of whoever typed `up`."""
    try:
        linux.syscall(_KEYCTL[os.uname().machine], _KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
    except OSError as err:
        if err.errno != errno.ENOSYS:  # a kernel without keys has none to hide
            raise


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold clients' bytes
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # of its own user: no child, no thread
