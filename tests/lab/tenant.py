"""A hostile tenant: tries every way out of a room it can think of, as root.

`python tenant.py FACTS` prints a JSON object: for each way "out" if it led out, else the error.
Outside of any room every way leads out, which shows that the attempts are real; each is harmless
there.  Only the standard library: it runs inside as it does outside.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import stat
import struct
import sys
import termios

FACTS = json.loads(sys.argv[1])
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
NEWNS, NEWUSER = 0x20000, 0x1000_0000
REC_PRIVATE, BIND_REMOUNT, DETACH = 0x44000, 0x1020, 2
SECRET = os.path.join(FACTS["mount"], FACTS["secret"])
PID = FACTS["outsider"]


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def call(number, *arguments):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return check(LIBC.syscall(ctypes.c_long(number), *words))


def reaches(expected, action):
    """Run what fails with `expected` only after the kernel's permission checks."""
    try:
        action()
    except OSError as err:
        if err.errno != expected:
            raise


def in_child(action):
    """Run what must not change this process; an error crosses back by the exit status."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os._exit(0)
        except OSError as err:
            os._exit(err.errno or errno.EIO)
        finally:
            os._exit(errno.EIO)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        raise RuntimeError(f"signal {-code} ended an attempt")
    if code:
        raise OSError(code, os.strerror(code))


def own_mounts():
    """Get a mount namespace to try things in; where that is forbidden, try them without."""
    if LIBC.unshare(NEWNS) == 0:
        check(LIBC.mount(b"none", b"/", None, ctypes.c_ulong(REC_PRIVATE), None))


def open_path(path, flags=os.O_RDONLY):
    os.close(os.open(path, flags))


def list_schemes():
    if FACTS["secret"] not in os.listdir(FACTS["mount"]):
        raise OSError(errno.ENOENT, "not listed")


def connect(family, kind, address):
    with socket.socket(family, kind) as sock:
        sock.settimeout(5)
        sock.connect(address)


def attach_ptrace():
    check(LIBC.ptrace(0x4206, PID, None, None))  # PTRACE_SEIZE
    LIBC.ptrace(17, PID, None, None)


def peek_memory():
    open_path(f"/proc/{PID}/mem")


def enter_mounts_of(pid):
    fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    check(LIBC.setns(fd, NEWNS))


def enter_by_pidfd():
    check(LIBC.setns(os.pidfd_open(PID), NEWNS))


def mount_tmpfs():
    own_mounts()
    check(LIBC.mount(b"none", b"/mnt", b"tmpfs", ctypes.c_ulong(0), None))


def mount_proc():
    own_mounts()
    check(LIBC.mount(b"proc", b"/proc", b"proc", ctypes.c_ulong(0), None))


def mount_sysfs():
    own_mounts()
    check(LIBC.mount(b"sysfs", b"/mnt", b"sysfs", ctypes.c_ulong(0), None))


def unmount_schemes():
    own_mounts()
    check(LIBC.umount2(os.fsencode(FACTS["mount"]), DETACH))


def remount_root():
    own_mounts()
    check(LIBC.mount(None, b"/", None, ctypes.c_ulong(BIND_REMOUNT), None))


def new_user_then_mounts():
    check(LIBC.unshare(NEWUSER | NEWNS))


def clone_new_user():
    pid = call(56, NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def clone3_new_user():
    arguments = struct.pack("=11Q", NEWUSER, 0, 0, 0, signal.SIGCHLD, *([0] * 6))
    pid = call(435, arguments, len(arguments))
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def open_by_handle():
    handle = bytearray(struct.pack("=Ii", 128, 0) + bytes(128))
    memory = (ctypes.c_char * len(handle)).from_buffer(handle)
    number = ctypes.c_int()
    call(303, -100, b"/dev/shm", memory, ctypes.byref(number), 0)
    folder = os.open("/dev/shm", os.O_RDONLY)
    os.close(call(304, folder, memory, os.O_RDONLY))


def make_device():
    path = f"/dev/shm/tenant-{os.getpid()}"
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 11))  # /dev/kmsg
    os.unlink(path)


def make_bpf_map():
    attributes = struct.pack("=4I", 2, 4, 4, 1) + bytes(112)
    os.close(call(321, 0, attributes, len(attributes)))


def open_perf_event():
    attributes = struct.pack("=IIQ", 1, 112, 0) + bytes(96)
    os.close(call(298, attributes, 0, -1, -1, 0))


def type_for_the_user():
    master, slave = os.openpty()
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    fcntl.ioctl(slave, termios.TIOCSTI, b"x")
    os.read(master, 1)


def write_into_a_fifo():
    fd = os.open(FACTS["fifo"], os.O_WRONLY | os.O_NONBLOCK)
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        raise OSError(errno.ENXIO, "something else")
    os.close(fd)


def write_a_file():
    path = os.path.join(FACTS["folder"], "tenant")
    with open(path, "w") as file:
        file.write("was here")
    os.unlink(path)


def list_block_device():
    open_path(FACTS["disk"])


def load_module():
    reaches(errno.ENOEXEC, lambda: call(175, b"\0" * 64, 64, b""))


def reboot():
    reaches(errno.EINVAL, lambda: call(169, 0, 0, 0, 0))


def swap_off():
    reaches(errno.ENOENT, lambda: call(168, b"/nowhere"))


def set_host_name():
    name = os.fsencode(socket.gethostname())
    check(LIBC.sethostname(name, len(name)))


def socket_of(family, kind):
    socket.socket(family, kind, 0).close()


WAYS = {
    "list a scheme not granted": list_schemes,
    "open a scheme not granted": lambda: open_path(SECRET),
    "call at a socket not granted": lambda: connect(
        socket.AF_UNIX, socket.SOCK_SEQPACKET, FACTS["socket"]
    ),
    "read the state file": lambda: open_path(FACTS["state"]),
    "read the logs": lambda: os.listdir(FACTS["logs"]),
    "abort a FUSE connection": lambda: open_path(
        f"/sys/fs/fuse/connections/{FACTS['minor']}/abort", os.O_WRONLY
    ),
    "list FUSE connections": lambda: os.listdir("/sys/fs/fuse/connections"),
    "look at the PCI bus through sysfs": lambda: os.listdir("/sys/bus"),
    "look at kernel windows in sysfs": lambda: os.listdir("/sys/kernel"),
    "walk through an outsider's root": lambda: os.listdir(f"/proc/{PID}/root/"),
    "walk through an outsider's working directory": lambda: os.listdir(f"/proc/{PID}/cwd/"),
    "list an outsider's descriptors": lambda: os.listdir(f"/proc/{PID}/fd"),
    "read an outsider's memory": peek_memory,
    "signal an outsider": lambda: os.kill(PID, 0),
    "open a pidfd of an outsider": lambda: os.close(os.pidfd_open(PID)),
    "trace an outsider": attach_ptrace,
    "enter an outsider's mounts": lambda: in_child(lambda: enter_mounts_of(PID)),
    "enter an outsider's mounts by pidfd": lambda: in_child(enter_by_pidfd),
    "enter its own mounts again": lambda: in_child(lambda: enter_mounts_of("self")),
    "mount a tmpfs": lambda: in_child(mount_tmpfs),
    "mount a fresh proc": lambda: in_child(mount_proc),
    "mount a sysfs": lambda: in_child(mount_sysfs),
    "unmount the schemes": lambda: in_child(unmount_schemes),
    "make the root writable": lambda: in_child(remount_root),
    "make a mount namespace": lambda: in_child(lambda: check(LIBC.unshare(NEWNS))),
    "make a user namespace": lambda: in_child(new_user_then_mounts),
    "clone into a user namespace": clone_new_user,
    "clone3 into a user namespace": clone3_new_user,
    "copy a mount": lambda: os.close(call(428, -100, b"/", 1)),
    "open a file system": lambda: os.close(call(430, b"tmpfs", 0)),
    "change the root": lambda: in_child(lambda: os.chroot("/")),
    "open a file by its handle": open_by_handle,
    "make a device node": make_device,
    "open the FUSE device": lambda: open_path("/dev/fuse", os.O_RDWR),
    "open the kernel's log": lambda: open_path("/dev/kmsg"),
    "open a block device": list_block_device,
    "load a module": load_module,
    "reboot": reboot,
    "turn swap off": swap_off,
    "rename the machine": set_host_name,
    "choose who gets core dumps": lambda: open_path("/proc/sys/kernel/core_pattern", os.O_WRONLY),
    "press SysRq": lambda: open_path("/proc/sysrq-trigger", os.O_WRONLY),
    "make a BPF map": make_bpf_map,
    "open a perf event": open_perf_event,
    "make an io_uring": lambda: os.close(call(425, 4, bytes(120))),
    "handle page faults": lambda: os.close(call(323, os.O_CLOEXEC)),
    "look for keys": lambda: call(250, 0, -3, 1, 0, 0),
    "type into a terminal": lambda: in_child(type_for_the_user),
    "see all packets": lambda: socket_of(socket.AF_PACKET, socket.SOCK_RAW),
    "connect to a port of the machine": lambda: connect(
        socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", FACTS["port"])
    ),
    "connect to an abstract socket": lambda: connect(
        socket.AF_UNIX, socket.SOCK_STREAM, "\0" + FACTS["abstract"]
    ),
    "connect to a daemon's socket": lambda: connect(
        socket.AF_UNIX, socket.SOCK_STREAM, FACTS["daemon"]
    ),
    "connect to a socket with a relative name": lambda: connect(
        socket.AF_UNIX, socket.SOCK_STREAM, FACTS["relative"]
    ),
    "connect to a socket of another network": lambda: connect(
        socket.AF_UNIX, socket.SOCK_STREAM, FACTS["elsewhere"]
    ),
    "call at a socket of another instance": lambda: connect(
        socket.AF_UNIX, socket.SOCK_SEQPACKET, FACTS["other"]
    ),
    "write into a FIFO": write_into_a_fifo,
    "use an inherited descriptor": lambda: os.listdir(FACTS["inherited"]),
    "write a file of the machine": write_a_file,
    "find a file in the machine's /tmp": lambda: open_path(FACTS["temporary"]),
}


def main():
    results = {}
    for name, way in WAYS.items():
        try:
            way()
            results[name] = "out"
        except OSError as err:
            results[name] = errno.errorcode.get(err.errno, str(err.errno))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
