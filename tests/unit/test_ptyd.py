from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import threading
import tty

import pytest
from asked import Asked, Posted, errno_of, opened

from daemons.ptyd import opener as o
from daemons.ptyd.opener import Opener, serve
from daemons.ptyd.scheme import SETTINGS, PtyScheme
from daemons.ptyd.terminal import KEPT
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_SYMLINK, MODE_TYPE
from redbear_host.errors import TransportError
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import ROOT, Foreign

BOTH = f.EVENT_READ | f.EVENT_WRITE
MOST = 3


class Rig:
    """The scheme with a true opener, which here is a thread and not a process."""

    def __init__(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.thread = threading.Thread(target=self.serve, args=(theirs,))
        self.thread.start()
        self.loop = Loop()
        self.opener = Opener(ours, self.loop)
        self.scheme = PtyScheme(self.opener, self.loop, MOST)

    @staticmethod
    def serve(peer):
        with peer:
            serve(peer)

    def close(self):
        self.scheme.close()
        self.opener.close()
        self.thread.join(10)
        self.loop.close()

    def ended(self, request):
        while request.pending:
            self.loop.run_round()
        return request.result

    def master(self, uid=0):
        """Open a master; return its handle and its terminal's number."""
        request = Asked(uid)
        assert self.scheme.openat(ROOT, "ptmx", f.O_RDWR, 0, request) is LATER
        handle = self.ended(request).handle
        data = self.scheme.ioctl(handle, o.TIOCGPTN, b"", 4, Asked())
        return handle, struct.unpack("=I", data)[0]

    def slave(self, number, uid=0):
        """Open a slave as a ring client would: it gets the terminal itself."""
        request = Asked(uid)
        assert self.scheme.openat(ROOT, str(number), f.O_RDWR, 0, request) is LATER
        found = self.ended(request)
        assert isinstance(found, Foreign)
        tty.setraw(found.fd)
        return found.fd

    def read(self, handle, size=4096):
        return self.scheme.read(handle, size, 0, 0, Asked())

    def write(self, handle, data):
        return self.scheme.write(handle, memoryview(data), 0, 0, Asked())


@pytest.fixture
def pty():
    rig = Rig()
    yield rig
    rig.close()


def test_bytes_go_both_ways_in_packets(pty):
    master, number = pty.master()
    slave = pty.slave(number)
    assert os.isatty(slave)
    os.write(slave, b"hello")
    assert pty.read(master) == b"\0hello"
    os.write(slave, b"hello")
    assert [pty.read(master, 3), pty.read(master)] == [b"\0he", b"\0llo"]
    assert pty.write(master, b"typed") == 5
    assert os.read(slave, 99) == b"typed"
    assert errno_of(pty.read, master, 1) == e.EINVAL
    os.close(slave)


def test_a_reader_waits_and_hears_of_output_and_of_the_end(pty):
    master, number = pty.master()
    slave = pty.slave(number)
    posted = Posted(pty.scheme)
    assert errno_of(pty.read, master) == e.EWOULDBLOCK
    assert pty.scheme.fevent(master, BOTH) == f.EVENT_WRITE
    os.write(slave, b"x")
    pty.loop.run_round()
    assert posted.take() == [(master, f.EVENT_READ)]
    assert pty.scheme.fevent(master, BOTH) == BOTH
    assert pty.read(master) == b"\0x"
    os.close(slave)
    pty.loop.run_round()
    assert posted.take() == [(master, f.EVENT_READ)]
    assert pty.read(master) == b""
    slave = pty.slave(number)  # somebody opens it again
    assert errno_of(pty.read, master) == e.EWOULDBLOCK
    os.write(slave, b"back")
    pty.loop.run_round()
    assert posted.take() == [(master, f.EVENT_READ)]
    assert pty.read(master) == b"\0back"
    os.close(slave)


def test_a_new_master_is_not_at_its_end_before_anyone_opened_the_slave(pty):
    master, _ = pty.master()
    assert errno_of(pty.read, master) == e.EWOULDBLOCK


def test_a_program_that_writes_and_is_not_read_is_held_up(pty):
    master, number = pty.master()
    slave = pty.slave(number)
    os.set_blocking(slave, False)
    sent = 0
    for _ in range(200):
        try:
            sent += os.write(slave, bytes(8192))
        except BlockingIOError:
            pty.scheme.fevent(master, BOTH)  # it reads ahead, as far as it may
            if not pty.loop._watched.get(pty.scheme._handles[master].fd):
                break
            pty.loop.run_round()
    assert KEPT <= sent < 200 * 8192
    os.close(slave)
    got = 0
    while data := pty.read(master, 1 << 20):
        got += len(data) - 1
    assert got == sent


def test_a_writer_waits_when_nobody_reads_what_is_typed(pty):
    master, number = pty.master()
    slave = pty.slave(number)
    posted = Posted(pty.scheme)
    typed = 0
    while True:
        errno_seen = errno_of(pty.write, master, bytes(4096))
        if errno_seen:
            break
        typed += 1
        assert typed < 10_000
    assert errno_seen == e.EWOULDBLOCK
    assert pty.scheme.fevent(master, BOTH) == 0
    os.set_blocking(slave, False)
    while (master, f.EVENT_WRITE) not in posted.take():
        with contextlib.suppress(BlockingIOError):
            os.read(slave, 65536)
        pty.loop.run_round()
    assert pty.write(master, b"x") == 1
    os.close(slave)


def test_settings_are_redoxs(pty):
    master, number = pty.master()
    size = pty.scheme.dup(master, b"winsize", Asked()).handle
    assert pty.write(size, struct.pack("=HH", 25, 80)) == 4
    assert pty.read(size) == struct.pack("=HH", 25, 80)
    slave = pty.slave(number)
    assert os.get_terminal_size(slave) == (80, 25)
    assert errno_of(pty.write, size, b"123") == e.EINVAL
    name = pty.scheme.dup(master, b"ptsname", Asked()).handle
    assert pty.read(name) == f"/dev/pts/{number}".encode() == os.ttyname(slave).encode()
    assert errno_of(pty.write, name, b"x") == e.EPERM
    lock = pty.scheme.dup(master, b"ptlock", Asked()).handle
    assert pty.read(lock) == bytes(4)
    termios = pty.scheme.dup(master, b"termios", Asked()).handle
    assert len(pty.read(termios)) == 36
    assert pty.write(termios, pty.read(termios)) == 36
    assert errno_of(pty.scheme.dup, master, b"colour", Asked()) == e.EINVAL
    os.close(slave)


def test_names_are_a_link_and_a_directory_for_each(pty):
    _, number = pty.master(uid=1000)
    root = opened(pty.scheme, "", f.O_RDONLY | f.O_DIRECTORY)
    names = [entry.name for entry in pty.scheme.getdents(root, Asked())]
    assert names == ["ptmx", str(number), f".{number}"]
    link = opened(pty.scheme, str(number), f.O_STAT)
    assert pty.scheme.fstat(link).st_mode & MODE_TYPE == MODE_SYMLINK
    assert pty.scheme.fstat(link).st_uid == 1000
    target = opened(pty.scheme, str(number), f.O_SYMLINK | f.O_NOFOLLOW)
    assert pty.read(target) == f"/dev/pts/{number}".encode()
    room = opened(pty.scheme, f".{number}", f.O_RDONLY | f.O_DIRECTORY)
    assert [entry.name for entry in pty.scheme.getdents(room, Asked())] == list(SETTINGS)
    relative = pty.scheme.openat(room, "winsize", f.O_RDONLY, 0, Asked(1000)).handle
    assert pty.scheme.fpath(relative) == f"/scheme/pty/.{number}/winsize"


@pytest.mark.parametrize(
    "path", ["x", "-1", "007", ".", "..", "1/2", "999999999999", "\u0663", ".1/no", "0.0", "ptmx/x"]
)
def test_paths_that_are_nothing(pty, path):
    pty.master()
    assert errno_of(pty.scheme.openat, ROOT, path, f.O_RDWR, 0, Asked()) in (e.ENOENT, e.ENOTDIR)


def test_opening_nothing_is_no_master(pty):
    assert errno_of(pty.scheme.openat, ROOT, "", f.O_RDWR, 0, Asked()) == e.ENOENT


def test_slaves_and_settings_are_their_users(pty):
    _, number = pty.master(uid=1000)
    for path in (str(number), f".{number}/winsize"):
        assert errno_of(pty.scheme.openat, ROOT, path, f.O_RDWR, 0, Asked(uid=1001)) == e.EACCES
    assert errno_of(pty.scheme.openat, ROOT, f".{number}/pgrp", f.O_RDWR, 0, Asked()) == e.EACCES
    assert os.stat(f"/dev/pts/{number}").st_uid == 1000
    os.close(pty.slave(number, uid=1000))


def test_there_are_at_most_as_many_as_the_option_says(pty):
    handles = [pty.master()[0] for _ in range(MOST)]
    assert errno_of(pty.scheme.openat, ROOT, "ptmx", f.O_RDWR, 0, Asked()) == e.ENOSPC
    pty.scheme.on_close(handles[0])
    pty.master()


def test_one_user_has_half_of_them_and_root_what_there_is(pty):
    master, _ = pty.master(uid=1000)
    request = Asked(uid=1000)
    assert errno_of(pty.scheme.openat, ROOT, "ptmx", f.O_RDWR, 0, request) == e.EMFILE
    other, _ = pty.master(uid=1001)
    pty.scheme.on_close(master)
    again = pty.master(uid=1000)[0], pty.master()[0]
    for handle in (other, *again):
        pty.scheme.on_close(handle)
    assert not pty.scheme._of_user


def test_a_terminal_for_which_there_was_no_descriptor_is_refused():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    loop = Loop()
    opener = Opener(ours, loop)
    scheme = PtyScheme(opener, loop, MOST)
    try:
        request = Asked(uid=1000)
        scheme.openat(ROOT, "ptmx", f.O_RDWR, 0, request)
        theirs.send(struct.pack("=II", 0, 5))  # Linux drops what has no room on arrival
        while request.pending:
            loop.run_round()
        assert request.errno == e.EMFILE
        assert not scheme._of_user
    finally:
        scheme.close()
        opener.close()
        theirs.close()
        loop.close()


def test_settings_of_a_terminal_that_was_hung_up_are_dead(pty):
    master, _ = pty.master()
    size = pty.scheme.dup(master, b"winsize", Asked()).handle
    pty.scheme.on_close(master)
    assert errno_of(pty.read, size) == e.EIO
    assert errno_of(pty.write, size, bytes(4)) == e.EIO
    again, _ = pty.master()  # most likely with the same number
    assert errno_of(pty.read, size) == e.EIO
    assert errno_of(pty.read, again) == e.EWOULDBLOCK


def test_only_a_masters_sized_ioctls_are_answered(pty):
    master, _ = pty.master()
    assert pty.scheme.ioctl(master, o.TIOCSPTLCK, bytes(4), 0, Asked()) == b""
    assert errno_of(pty.scheme.ioctl, master, 0x5413, b"", 8, Asked()) == e.ENOTTY


def test_the_opener_says_what_is_wrong_and_goes_on():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    thread = threading.Thread(target=Rig.serve, args=(theirs,))
    thread.start()
    with ours:
        ours.send(struct.pack("=II", o.SLAVE, 0))
        assert struct.unpack("=II", ours.recv(8)) == (errno.EINVAL, 0)
        with open(os.devnull, "rb") as null:
            socket.send_fds(ours, [struct.pack("=II", o.SLAVE, 0)], [null.fileno()])
            assert struct.unpack("=II", ours.recv(8)) == (errno.ENOTTY, 0)
        ours.send(struct.pack("=II", o.MASTER, 0))
        data, fds, _, _ = socket.recv_fds(ours, 8, 1)
        assert data[:4] == bytes(4)
        os.close(fds[0])
    thread.join(10)
    assert not thread.is_alive()


def test_without_its_opener_ptyd_ends():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    loop = Loop()
    opener = Opener(ours, loop)
    theirs.close()
    with pytest.raises(TransportError, match="has ended"):
        loop.run_round()
    with pytest.raises(TransportError, match="has ended"):
        opener.open_master(0, lambda *_: None)
    opener.close()
    loop.close()
