"""chan, shm and Unix sockets through FUSE: socat, shells and Python talk to each other."""

from __future__ import annotations

import contextlib
import mmap
import os
import selectors
import subprocess
import sys
import threading
import time

import pytest
from base_rig import NOBODY, base_instance


@pytest.fixture(scope="module")
def up():
    with base_instance() as up:
        yield up


def until(true, why="it did not come true"):
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, why
        time.sleep(0.002)


@contextlib.contextmanager
def ends(path):
    """A connection by name: the listener, which serves it itself, and the client."""
    listener = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    client = os.open(path, os.O_RDWR)
    try:
        yield listener, client
    finally:
        for fd in (client, listener):
            with contextlib.suppress(OSError):
                os.close(fd)


def filled(fd):
    """Write until there is no room, which must come; return how much there was."""
    sent = 0
    while sent < 64 << 20:
        try:
            sent += os.write(fd, bytes(65536))
        except BlockingIOError:
            return sent
    raise AssertionError("it never fills")


@pytest.mark.parametrize("scheme", ["chan", "uds_stream"])
def test_socat_talks_to_socat_in_both_directions(up, scheme):
    path = up.mount / scheme / "service"
    server = subprocess.Popen(["socat", f"OPEN:{path},creat", "EXEC:sed -u s/^/got-/"])
    until(path.exists)
    client = subprocess.Popen(
        ["socat", "-", f"OPEN:{path}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    for word in (b"one", b"two"):
        client.stdin.write(word + b"\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"got-" + word + b"\n"
    client.stdin.close()
    assert client.wait(20) == 0
    client.stdout.close()
    assert server.wait(20) == 0
    assert not path.exists()


def test_a_listener_serves_the_first_client_that_speaks_first(up):
    path = up.mount / "chan/greeter"
    server = subprocess.Popen(
        ["socat", f"OPEN:{path},creat", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    until(path.exists)
    server.stdin.write(b"welcome\n")
    server.stdin.flush()
    with open(path, "r+b", buffering=0) as client:
        assert client.read(100) == b"welcome\n"
        client.write(b"thanks\n")
        assert server.stdout.readline() == b"thanks\n"
    assert server.wait(20) == 0
    server.stdin.close()
    server.stdout.close()


def test_a_server_accepts_one_client_after_another_by_path(up):
    path = up.mount / "chan/many"
    listener = os.open(path, os.O_RDWR | os.O_CREAT)
    served = []

    def serving():
        for _ in range(5):
            with open(up.mount / "chan/.listen/many", "r+b", buffering=0) as client:
                served.append(client.read(100))
                client.write(served[-1].upper())

    server = threading.Thread(target=serving)
    server.start()
    for number in range(5):
        with open(path, "r+b", buffering=0) as client:
            client.write(b"client %d" % number)
            assert client.read(100) == b"CLIENT %d" % number
    server.join(20)
    assert served == [b"client %d" % number for number in range(5)]
    os.close(listener)


def test_the_end_is_read_and_a_broken_pipe_is_one(up):
    with ends(up.mount / "chan/ending") as (listener, client):
        os.write(listener, b"bye")
        os.close(listener)
        assert os.read(client, 10) == b"bye"
        assert os.read(client, 10) == b""
        with pytest.raises(BrokenPipeError):
            os.write(client, b"x")


def test_errors_are_those_of_sockets(up):
    with pytest.raises(FileNotFoundError):
        os.open(up.mount / "chan/nobody", os.O_RDWR)
    with ends(up.mount / "chan/taken"):
        with pytest.raises(FileExistsError):
            os.open(up.mount / "chan/taken", os.O_RDWR | os.O_CREAT | os.O_EXCL)
        hurried = os.O_RDWR | os.O_NONBLOCK
        os.close(os.open(up.mount / "chan/.listen/taken", hurried))
        with pytest.raises(BlockingIOError):
            os.open(up.mount / "chan/.listen/taken", hurried)


def test_a_full_channel_blocks_its_writer_and_o_nonblock_says_so(up):
    with ends(up.mount / "chan/full") as (listener, client):
        os.write(listener, b"x")  # it is connected now
        os.set_blocking(listener, False)
        sent = 1 + filled(listener)
        assert sent >= 1 << 20
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_WRITE)
            assert selector.select(0) == []
            got = len(os.read(client, 1 << 20))
            assert selector.select(20)
        while got < sent:
            got += len(os.read(client, 1 << 20))
        assert got == sent


def test_large_streams_arrive_whole_with_a_slow_reader(up, tmp_path):
    path = up.mount / "chan/large"
    data = os.urandom(8 << 20)
    (tmp_path / "in").write_bytes(data)
    sink = subprocess.Popen(["socat", "-u", f"OPEN:{path},creat", f"CREATE:{tmp_path / 'out'}"])
    until(path.exists)
    with open(tmp_path / "in", "rb") as source, open(path, "wb", buffering=0) as client:
        while piece := source.read(100_000):
            while piece:
                piece = piece[client.write(piece) :]
    assert sink.wait(30) == 0
    assert (tmp_path / "out").read_bytes() == data


def test_a_thousand_clients_wait_at_once_and_each_gets_its_own_answer(up):
    path = up.mount / "chan/crowd"
    listener = os.open(path, os.O_RDWR | os.O_CREAT)
    pairs = []
    for number in range(500):
        client = os.open(path, os.O_RDWR)
        server = os.open(up.mount / "chan/.listen/crowd", os.O_RDWR)
        os.write(client, b"%d" % number)
        pairs.append((client, server))
    for number, (client, server) in reversed(list(enumerate(pairs))):
        assert os.read(server, 99) == b"%d" % number
        os.write(server, b"to %d" % number)
        assert os.read(client, 99) == b"to %d" % number
    for fd in (listener, *(fd for pair in pairs for fd in pair)):
        os.close(fd)


def test_a_reader_that_waits_can_be_interrupted(up):
    with ends(up.mount / "chan/idle"):
        began = time.monotonic()
        done = subprocess.run(
            ["timeout", "0.3", "cat", up.mount / "chan/.listen/idle"], timeout=20, check=False
        )
        assert done.returncode == 124
        assert time.monotonic() - began < 10


def test_datagrams_keep_their_boundaries(up):
    path = up.mount / "uds_dgram/box"
    box = os.open(path, os.O_RDWR | os.O_CREAT)
    with open(path, "wb", buffering=0) as sender:
        for piece in (b"one", b"two", b"three"):
            sender.write(piece)
    assert [os.read(box, 100) for _ in range(3)] == [b"one", b"two", b"three"]
    os.close(box)


def test_shared_memory_is_a_file_with_an_owner(up):
    path = up.mount / "shm/plain"
    path.write_bytes(b"first words")
    with open(path, "r+b") as file:
        file.seek(6)
        file.write(b"bytes")
    assert path.read_bytes() == b"first bytes"
    done = subprocess.run(["cat", path], capture_output=True, check=False, **NOBODY)
    assert b"Permission denied" in done.stderr
    os.chmod(path, 0o666)
    done = subprocess.run(["cat", path], capture_output=True, check=False, **NOBODY)
    assert done.stdout == b"first bytes"
    os.truncate(path, 5)
    assert path.read_bytes() == b"first"
    path.unlink()
    assert not path.exists()


def test_two_processes_map_shared_memory(up):
    path = up.mount / "shm/mapped"
    with open(path, "w+b", buffering=0) as file:
        file.truncate(8192)
        if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 6):
            with pytest.raises(OSError, match="No such device"):
                mmap.mmap(file.fileno(), 8192)
        else:
            both_write(file, path)
    path.unlink()


def both_write(file, path):
    script = (
        "import mmap,sys\n"
        "with open(sys.argv[1], 'r+b') as f, mmap.mmap(f.fileno(), 8192) as m:\n"
        "    m[4096:4101] = m[:5].upper()\n"
    )
    with mmap.mmap(file.fileno(), 8192) as memory:
        memory[:5] = b"hello"
        subprocess.run(["python3", "-c", script, path], check=True, timeout=30)
        assert memory[4096:4101] == b"HELLO"
        memory.flush()
        assert os.pread(file.fileno(), 5, 4096) == b"HELLO"


def test_clients_of_a_daemon_that_dies_hear_it_and_new_ones_work(up):
    with ends(up.mount / "chan/mortal") as (listener, client):
        os.write(listener, b"x")
        heard = []

        def waiting(fd):
            try:
                while os.read(fd, 10):
                    pass
            except OSError as error:
                heard.append(error)

        readers = [threading.Thread(target=waiting, args=(fd,)) for fd in (listener, client)]
        for reader in readers:
            reader.start()
        up.kill("ipcd")
        for reader in readers:
            reader.join(20)
            assert not reader.is_alive()
        assert len(heard) == 2
    with ends(up.mount / "chan/mortal") as (listener, client):
        os.write(listener, b"again")
        assert os.read(client, 10) == b"again"


def test_socat_talks_between_two_namespaces(up):
    path = up.mount / "chan/between"
    run = [sys.executable, "-m", "redbear_host", "run", "--run-dir", up.run_dir]
    inside = [*run, "--schemes", "chan", "--"]
    listed = subprocess.run(
        [*inside, "ls", up.mount], capture_output=True, check=True, timeout=30, cwd="/"
    )
    assert listed.stdout == b"chan\n"
    server = subprocess.Popen(
        [*inside, "socat", f"OPEN:{path},creat", "EXEC:sed -u s/^/got-/"], cwd="/"
    )
    until(path.exists)
    client = subprocess.Popen(
        [*inside, "socat", "-", f"OPEN:{path}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
    )
    client.stdin.write(b"hello\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"got-hello\n"
    client.stdin.close()
    assert client.wait(20) == 0
    assert server.wait(20) == 0
    client.stdout.close()
