"""A Redox namespace: a Linux mount namespace that holds some of an instance's schemes.

Below the instance's mount point stand the granted schemes and nothing else, and in its run
directory `ring/` with their sockets and nothing else.  The other schemes are not hidden: their
mounts are not in the namespace, so there is nothing to uncover.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple, NoReturn

from redbear_host import linux
from redbear_host.abi import errno as e
from redbear_host.errors import Refused, TransportError
from redbear_host.namespace import mounts
from redbear_host.namespace.names import select
from schemefs.mount import FSTYPE, HARMLESS, all_mounts, unmount

_OURS: Final = "redbear"  # the source of our tmpfs mounts
_OPTIONS: Final = "mode=0755,size=1m"
_RING: Final = "ring"
_ERRNO: Final = Struct("=i")


class Instance(NamedTuple):
    """Where one `redbear-host up` has its schemes and its run directory; both without links."""

    mount: Path
    run_dir: Path


class Held(NamedTuple):
    """One scheme, held by detached copies of its mount and (else -1) of its socket."""

    name: str
    is_file: bool
    mount_fd: int
    ring_fd: int


def schemes(instance: Instance) -> dict[str, bool]:
    """List the schemes in this namespace, each with whether its root is a file.

    The types are those of the mount points, so no scheme is asked.
    """
    try:
        with os.scandir(instance.mount) as entries:
            return {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    except FileNotFoundError:
        return {}


def hold(instance: Instance, names: Sequence[str]) -> list[Held]:
    """Take copies of the granted schemes' mounts; the caller has its own mount namespace."""
    there = schemes(instance)
    held = []
    for name in names:
        try:
            mount_fd = mounts.clone(instance.mount / name)
        except FileNotFoundError:
            raise Refused(e.ENODEV, f"the scheme {name!r} has just left") from None
        try:
            ring_fd = mounts.clone(instance.run_dir / _RING / name)
        except FileNotFoundError:
            ring_fd = -1
        held.append(Held(name, there[name], mount_fd, ring_fd))
    return held


def drop_schemes() -> None:
    """Take all schemes of all instances out of this namespace."""
    for mount in reversed(all_mounts()):
        if mount.kind == FSTYPE or (mount.kind == "tmpfs" and mount.source == _OURS):
            unmount(mount.point)


def place(instance: Instance, held: Sequence[Held]) -> None:
    """Put the granted schemes where the instance has its own."""
    _tree(instance.mount)
    for one in held:
        _put(one.mount_fd, instance.mount / one.name, one.is_file)
    mounts.restrict(instance.mount, mounts.ATTR_RDONLY)
    _tree(instance.run_dir)
    rings = instance.run_dir / _RING
    rings.mkdir(mode=0o755)
    for one in held:
        if one.ring_fd >= 0:
            _put(one.ring_fd, rings / one.name, True)
    mounts.restrict(instance.run_dir, mounts.ATTR_RDONLY)


def _tree(point: Path) -> None:
    point.mkdir(mode=0o755, parents=True, exist_ok=True)
    mounts.tmpfs(point, _OPTIONS, HARMLESS)


def _put(fd: int, target: Path, is_file: bool) -> None:
    if is_file:
        target.touch()
    else:
        target.mkdir()
    mounts.attach(fd, target)


def make(instance: Instance, wanted: Sequence[str]) -> int:
    """Make a namespace with the schemes of the list `wanted`; return a descriptor that names it.

    It is the mount namespace's file (see setns(2)), and the namespace lives as long as that is
    open or a process is in it.  ENODEV for an unknown name.  Needs CAP_SYS_ADMIN: EPERM.
    """
    names = select(wanted, schemes(instance))

    def build() -> int:
        linux.unshare(linux.CLONE_NEWNS)
        mounts.keep_private()
        held = hold(instance, names)
        drop_schemes()
        place(instance, held)
        return os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    return _in_child(build)


def tree(instance: Instance, wanted: Sequence[str]) -> int:
    """Make a folder with `scheme/` and `ring/` in it that hold the schemes of the list `wanted`.

    It is mounted nowhere: who has the descriptor reaches the schemes through it, by openat(2), and
    needs no privilege for that.  Errors as for `make`.
    """
    names = select(wanted, schemes(instance))

    def build() -> int:
        linux.unshare(linux.CLONE_NEWNS)
        mounts.keep_private()
        held = hold(instance, names)
        root = Path("/proc")  # exists everywhere; what is mounted on it is seen by nobody else
        mounts.tmpfs(root, _OPTIONS, HARMLESS)
        (root / "scheme").mkdir(mode=0o755)
        (root / _RING).mkdir(mode=0o755)
        for one in held:
            _put(one.mount_fd, root / "scheme" / one.name, one.is_file)
            if one.ring_fd >= 0:
                _put(one.ring_fd, root / _RING / one.name, True)
        mounts.restrict(root, mounts.ATTR_RDONLY)
        return mounts.clone(root, recursive=True)

    return _in_child(build)


def add(instance: Instance, namespace: int, name: str, root: int) -> None:
    """Show the scheme whose root was opened as `root` under `name` in another namespace.

    EEXIST if the name is taken there.  The scheme's socket does not come with it.
    """

    def build() -> int:
        fd = mounts.clone_opened(root)
        is_file = not stat.S_ISDIR(os.fstat(root).st_mode)
        linux.setns(namespace, linux.CLONE_NEWNS)
        target = instance.mount / name
        mounts.restrict(instance.mount, 0, lift=mounts.ATTR_RDONLY)
        try:
            _make_point(target, is_file)
            mounts.attach(fd, target)
        finally:
            mounts.restrict(instance.mount, mounts.ATTR_RDONLY)
        return os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    os.close(_in_child(build))


def _make_point(target: Path, is_file: bool) -> None:
    if is_file:
        target.touch(exist_ok=False)
    else:
        target.mkdir()


def _in_child(build: Callable[[], int]) -> int:
    """Run `build` in a child, whose namespaces it may change; return the descriptor it returns."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        pid = os.fork()
        if pid == 0:
            _child(build, theirs)
        theirs.close()
        try:
            said, fds, _, _ = socket.recv_fds(ours, _ERRNO.size, 1)
        finally:
            os.waitpid(pid, 0)
    if fds:
        os.set_inheritable(fds[0], False)
        return fds[0]
    if len(said) == _ERRNO.size:
        (number,) = _ERRNO.unpack(said)
        raise Refused(number, f"a namespace cannot be made: {os.strerror(number)}")
    raise TransportError("the process that was to make a namespace died")


def _child(build: Callable[[], int], answer: socket.socket) -> NoReturn:
    """Build, answer, and end: nothing of the parent's may run here."""
    try:
        try:
            socket.send_fds(answer, [_ERRNO.pack(0)], [build()])
        except OSError as error:
            answer.send(_ERRNO.pack(error.errno or e.EIO))
        except Refused as refusal:
            answer.send(_ERRNO.pack(refusal.errno))
    finally:
        os._exit(0)
