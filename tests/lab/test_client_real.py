"""redbear_host.client with the schemes of a running instance."""

from __future__ import annotations

import asyncio
import errno
import gc
import struct
import time

import pytest
import up_rig

from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.client import aio
from redbear_host.client.paths import rings

TIMESPEC = struct.Struct("<qi4x")


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    with up_rig.Up(tmp_path_factory.mktemp("client")) as up:
        yield up
        client.forget()
        gc.collect()


@pytest.fixture(autouse=True)
def place(up, monkeypatch):
    monkeypatch.setenv("REDBEAR_RINGS", str(up.run_dir / "ring"))
    monkeypatch.setenv("REDBEAR_SCHEME", str(up.mount))


def test_the_list_is_that_of_the_mounts(up):
    with client.open(":") as schemes:
        names = {entry.name for entry in schemes.getdents()}
    assert names == {path.name for path in up.mount.iterdir()}
    assert rings() == str(up.run_dir / "ring")


def test_both_doors_lead_to_the_same_files(up):
    path = str(up.mount / "ramfs" / "seen-from-both")
    with client.open(path, f.O_RDWR | f.O_CREAT | f.O_EXCL, 0o600) as fd:
        assert fd.write(b"from the ring") == 13
        with open(path, "r+b") as file:
            assert file.read() == b"from the ring"
            file.write(b", and from FUSE")
        assert fd.read(99) == b", and from FUSE"
        assert fd.fstat().st_size == 28
        assert fd.fpath() == "/scheme/ramfs/seen-from-both"
        fd.ftruncate(4)
    with client.open("ramfs:") as root:
        assert "seen-from-both" in [entry.name for entry in root.getdents()]
        with root.openat("seen-from-both") as fd:
            assert fd.read(99) == b"from"
        root.unlinkat("seen-from-both")
        with pytest.raises(FileNotFoundError):
            root.openat("seen-from-both")


def test_random_bytes_zeroes_and_pci():
    with client.open("/scheme/rand") as rand, client.open("zero:") as zero:
        assert len({rand.read(32) for _ in range(8)}) == 8
        assert zero.read(5000) == bytes(5000)
    with client.open("/scheme/pci/lspci") as lspci:
        assert b":00" in lspci.read(4096)
    with client.fmap(client.open("memory:", f.O_RDWR), 8192) as memory:
        assert memory.memory[:] == bytes(8192)
        memory.memory[4096] = 1


def test_a_channel_is_accepted_by_dup_and_told_by_events():
    flags = f.O_RDWR | f.O_NONBLOCK
    with client.open("chan:real", flags | f.O_CREAT) as listener, client.EventQueue() as queue:
        queue.subscribe(listener, f.EVENT_READ, "somebody calls")
        assert queue.next_event(0) is None
        with client.open("chan:real", f.O_RDWR) as caller:
            assert queue.next_event(10).user_data == "somebody calls"
            with listener.dup(b"listen") as served:
                queue.subscribe(served, f.EVENT_READ, "data")
                caller.write(b"hello")
                while queue.next_event(10).user_data != "data":
                    pass
                assert served.read(9) == b"hello"


def test_a_timer_goes_off_in_an_event_queue():
    with client.open("time:4", f.O_RDWR) as timer, client.EventQueue() as queue:
        queue.subscribe(timer, f.EVENT_READ)
        seconds, nanoseconds = TIMESPEC.unpack(timer.read(16))
        due = seconds * 10**9 + nanoseconds + 50_000_000
        assert timer.write(TIMESPEC.pack(*divmod(due, 10**9))) == 16
        while queue.next_event(10) is not None and time.monotonic_ns() < due:
            pass
        assert time.monotonic_ns() >= due


def test_a_pipe_has_two_ends_and_an_end():
    with client.open("pipe:") as reader:
        with reader.dup(b"write") as writer:
            assert writer.write(b"down the pipe") == 13
            assert reader.read(99) == b"down the pipe"
        assert reader.read(99) == b""


def test_an_open_waits_for_the_successor_of_a_killed_daemon(up):
    old = client.open("/scheme/zero")
    assert old.read(3) == bytes(3)
    up.kill("zerod")
    with client.deadline(20), client.open("/scheme/zero") as new:
        assert new.read(3) == bytes(3)
    with pytest.raises(OSError, match="ended") as caught:
        old.read(3)
    assert caught.value.errno == errno.EIO
    old.close()


def test_tasks_talk_over_a_channel():
    async def main():
        async with await aio.open("chan:tasks", f.O_RDWR | f.O_CREAT) as listener:
            waiting = asyncio.ensure_future(listener.dup(b"listen"))
            async with await aio.open("chan:tasks", f.O_RDWR) as caller, await waiting as served:
                reading = asyncio.ensure_future(served.read(99))
                assert await caller.write(b"to the task") == 11
                assert await reading == b"to the task"

    asyncio.run(main())
