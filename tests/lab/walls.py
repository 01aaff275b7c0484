"""A process behind all walls but the filter, and what it still cannot do."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

from redbear_host import linux
from redbear_host.sandbox import landlock, seccomp
from redbear_host.sandbox.enter import enter
from redbear_host.sandbox.policy import Policy


def refused(act, *expected):
    number = 0
    try:
        act()
    except OSError as error:
        number = error.errno
    assert number in expected, number


def main() -> None:
    parent = os.getppid()
    held = os.open("/etc/passwd", os.O_RDONLY)
    outside = socket.socket(socket.AF_UNIX)
    seccomp.install = lambda rules: None
    enter(Policy(rules=()))

    refused(lambda: os.open("/etc/passwd", os.O_RDONLY), errno.ENOENT)
    refused(lambda: os.open("/proc/self/mem", os.O_RDWR), errno.ENOENT)
    refused(lambda: os.open("/x", os.O_CREAT | os.O_WRONLY), errno.EACCES, errno.EROFS)
    refused(lambda: os.mkdir("/x"), errno.EACCES, errno.EROFS)
    refused(lambda: os.mknod("/x", 0o20600, 0x101), errno.EPERM, errno.EACCES, errno.EROFS)
    refused(lambda: os.chroot("/"), errno.EPERM)
    refused(lambda: linux.unshare(linux.CLONE_NEWNS), errno.EPERM)
    refused(lambda: os.setuid(0), errno.EPERM)
    refused(lambda: os.setgroups([0]), errno.EPERM)
    refused(lambda: os.kill(parent, 0), errno.EPERM)
    refused(lambda: os.fork(), errno.EAGAIN)
    refused(lambda: os.execv("/bin/true", ["true"]), errno.ENOENT, errno.EACCES)
    refused(lambda: socket.sethostname("x"), errno.EPERM)
    refused(lambda: os.nice(-1), errno.EPERM, errno.EACCES)
    refused(lambda: outside.connect("/run/systemd/notify"), errno.ENOENT)
    with socket.socket(socket.AF_INET) as inet:
        refused(lambda: inet.connect(("127.0.0.1", 22)), errno.ENETUNREACH, errno.EACCES)
    refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1), errno.EPERM)
    refused(lambda: linux.mount("x", Path("/"), "tmpfs", 0), errno.EPERM)
    refused(lambda: linux.prctl(23, 99), errno.EINVAL)
    if landlock.version() >= 1:
        refused(lambda: os.open("/", os.O_RDONLY | os.O_DIRECTORY), errno.EACCES)
    assert linux.prctl(39) == 1  # PR_GET_NO_NEW_PRIVS
    assert linux.prctl(3) == 0  # PR_GET_DUMPABLE
    assert os.read(held, 4) == b"root"  # what is held stays held
    sys.stdout.write("walls stand\n")


if __name__ == "__main__":
    main()
