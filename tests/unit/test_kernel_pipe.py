"""The scheme `pipe`, called as a door would."""

from __future__ import annotations

import os

import pytest
from asked import Asked, Posted, errno_of, opened

from kernel_shim.schemes.pipe import FDS_MOST, FDS_OF_A_USER, SIZE, PipeScheme
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_FIFO
from redbear_host.scheme.scheme import ROOT

BOTH = f.EVENT_READ | f.EVENT_WRITE


@pytest.fixture
def pipe():
    return PipeScheme()


@pytest.fixture
def ends(pipe):
    """A pipe as on Redox: read end, write end."""
    reader = opened(pipe, "", f.O_RDONLY)
    return reader, pipe.dup(reader, b"write", Asked()).handle


def read(pipe, handle, size=SIZE):
    return bytes(pipe.read(handle, size, 0, 0, Asked()))


def write(pipe, handle, data):
    return pipe.write(handle, memoryview(data), 0, 0, Asked())


def waits(call, *arguments):
    return errno_of(call, *arguments) == e.EWOULDBLOCK


def test_bytes_come_out_as_they_went_in(pipe, ends):
    reader, writer = ends
    assert write(pipe, writer, b"hello ") == 6
    assert write(pipe, writer, b"world") == 5
    assert read(pipe, reader, 8) == b"hello wo"
    assert read(pipe, reader) == b"rld"
    assert waits(read, pipe, reader)


def test_a_full_pipe_takes_what_fits_and_then_waits(pipe, ends):
    reader, writer = ends
    assert write(pipe, writer, bytes(SIZE - 10)) == SIZE - 10
    assert write(pipe, writer, bytes(100)) == 10
    assert waits(write, pipe, writer, b"x")
    assert pipe.fevent(writer, BOTH) == 0
    posted = Posted(pipe)
    assert len(read(pipe, reader, 1)) == 1
    assert posted.take() == [(writer, f.EVENT_WRITE)]
    assert write(pipe, writer, b"xy") == 1


def test_the_end_comes_after_the_last_byte(pipe, ends):
    reader, writer = ends
    write(pipe, writer, b"last")
    posted = Posted(pipe)
    pipe.on_close(writer)
    assert posted.take() == [(reader, f.EVENT_READ)]
    assert read(pipe, reader) == b"last"
    assert read(pipe, reader) == b""
    assert pipe.fevent(reader, BOTH) == f.EVENT_READ


def test_nobody_reads_any_more(pipe, ends):
    reader, writer = ends
    posted = Posted(pipe)
    pipe.on_close(reader)
    assert posted.take() == [(writer, f.EVENT_WRITE)]
    assert errno_of(write, pipe, writer, b"x") == e.EPIPE


def test_each_end_is_had_once(pipe, ends):
    reader, writer = ends
    assert errno_of(pipe.dup, reader, b"write", Asked()) == e.EBADF
    assert errno_of(pipe.dup, reader, b"read", Asked()) == e.EINVAL
    assert errno_of(pipe.openat, reader, "write", f.O_WRONLY, 0, Asked()) == e.EBADF
    assert errno_of(read, pipe, writer) == e.EBADF
    assert errno_of(write, pipe, reader, b"x") == e.EBADF


def test_the_write_end_is_also_had_by_openat(pipe):
    reader = opened(pipe, "", f.O_RDONLY)
    writer = pipe.openat(reader, "write", f.O_WRONLY, 0, Asked()).handle
    write(pipe, writer, b"x")
    assert read(pipe, reader) == b"x"


@pytest.mark.parametrize("first", [f.O_RDONLY, f.O_WRONLY])
def test_a_named_pipe_has_both_ends_whoever_comes_first(pipe, first):
    ends = {first: opened(pipe, "a", first)}
    second = f.O_WRONLY if first == f.O_RDONLY else f.O_RDONLY
    if first == f.O_RDONLY:
        assert waits(read, pipe, ends[first]), "no end of the data before there was a writer"
    ends[second] = opened(pipe, "a", second)
    assert write(pipe, ends[f.O_WRONLY], b"x") == 1
    assert read(pipe, ends[f.O_RDONLY]) == b"x"
    assert [entry.name for entry in pipe.getdents(opened(pipe, "", f.O_DIRECTORY), Asked())] == [
        "a"
    ]
    for handle in ends.values():
        pipe.on_close(handle)
    assert pipe.getdents(opened(pipe, "", f.O_DIRECTORY), Asked()) == []


def test_a_named_pipe_lives_once_and_then_its_name_is_free(pipe):
    reader, writer = opened(pipe, "a", f.O_RDONLY), opened(pipe, "a", f.O_WRONLY)
    assert errno_of(opened, pipe, "a", f.O_WRONLY) == e.EBADF
    pipe.on_close(writer)
    assert errno_of(opened, pipe, "a", f.O_WRONLY) == e.EBADF
    pipe.on_close(reader)
    again = opened(pipe, "a", f.O_WRONLY)
    assert write(pipe, again, b"x") == 1


def test_a_name_is_its_users_and_roots(pipe):
    opened(pipe, "a", f.O_RDONLY, uid=1000)
    assert errno_of(opened, pipe, "a", f.O_WRONLY, 1001) == e.EACCES
    assert opened(pipe, "a", f.O_WRONLY)


def test_looking_has_no_effect(pipe):
    look = opened(pipe, "a", f.O_STAT)
    assert pipe.fstat(look).st_mode == MODE_FIFO | 0o666
    assert pipe.fstat(opened(pipe, "", f.O_STAT)).st_mode == MODE_DIR | 0o777
    pipe.on_close(look)
    assert pipe.getdents(opened(pipe, "", f.O_DIRECTORY), Asked()) == []
    assert errno_of(opened, pipe, "a/b", f.O_STAT) == e.ENOENT
    assert errno_of(opened, pipe, "a", f.O_RDWR) == e.EINVAL


def test_descriptors_travel_beside_the_bytes(pipe, ends, tmp_path):
    reader, writer = ends
    (tmp_path / "x").write_text("through")
    fds = [os.open(tmp_path / "x", os.O_RDONLY), os.open(os.devnull, os.O_RDONLY)]
    assert waits(pipe.on_recvfd, reader, 1, 0, (), Asked())
    assert pipe.on_sendfd(writer, fds, 0, 0, Asked()) == 2
    assert pipe.fevent(reader, BOTH) == f.EVENT_READ
    (taken,) = pipe.on_recvfd(reader, 1, 0, (), Asked())
    assert os.read(taken, 100) == b"through"
    os.close(taken)
    pipe.on_close(reader)  # closes the one that nobody took
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fds[1])
    assert errno_of(pipe.on_sendfd, writer, [0], 0, 0, Asked()) == e.EPIPE


def test_descriptors_that_do_not_fit_stay_the_senders(pipe, ends):
    reader, writer = ends
    many = [os.open(os.devnull, os.O_RDONLY) for _ in range(FDS_MOST)]
    assert pipe.on_sendfd(writer, many, 0, 0, Asked()) == FDS_MOST
    assert waits(pipe.on_sendfd, writer, [many[0]], 0, 0, Asked())
    assert pipe.on_recvfd(reader, 3, 0, (), Asked()) == many[:3]
    pipe.on_close(writer)
    assert pipe.on_recvfd(reader, FDS_MOST, 0, (), Asked()) == many[3:]
    assert pipe.on_recvfd(reader, 1, 0, (), Asked()) == []
    pipe.on_close(reader)
    for fd in many:
        os.close(fd)


def test_one_user_cannot_take_the_descriptors_of_all(pipe):
    writers, readers = [], []
    for number in range(FDS_OF_A_USER // FDS_MOST + 1):
        readers.append(opened(pipe, f"{number}", f.O_RDONLY, uid=1000))
        writers.append(opened(pipe, f"{number}", f.O_WRONLY, uid=1000))
    asked = Asked(1000)

    def send(writer, count):
        fds = [os.dup(2) for _ in range(count)]
        errno = errno_of(pipe.on_sendfd, writer, fds, 0, 0, asked)
        for fd in fds if errno else ():
            os.close(fd)
        return errno

    *most, last = writers
    assert [send(writer, FDS_MOST) for writer in most] == [0] * len(most)
    room = FDS_OF_A_USER - len(most) * FDS_MOST
    assert send(last, room + 1) == e.ENFILE
    assert send(last, room) == 0
    for fd in pipe.on_recvfd(readers[0], 3, 0, (), asked):
        os.close(fd)
    assert send(writers[0], 3) == 0
    for handle in (*readers, *writers):
        pipe.on_close(handle)
    writer = opened(pipe, "again", f.O_WRONLY, uid=1000)
    assert send(writer, FDS_MOST) == 0
    pipe.on_close(writer)


def test_a_handle_of_nobody_is_none(pipe):
    for call in (pipe.fstat, pipe.fpath):
        assert errno_of(call, 99) == e.EBADF
    assert errno_of(pipe.openat, 99, "x", f.O_RDONLY, 0, Asked()) == e.EBADF
    assert errno_of(read, pipe, ROOT) == e.EBADF
