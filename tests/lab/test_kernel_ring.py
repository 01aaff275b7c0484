"""The kernel's schemes at the ring door, where they are as on Redox."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time

import pytest
from kernel_rig import KernelRig

from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.abi.event import EVENT_TIMEOUT_ID
from redbear_host.client import connection

pytestmark = pytest.mark.timeout(60)

NAMES = ("debug", "event", "irq", "itimer", "memory", "pipe", "serio", "time")


@pytest.fixture
def rig(tmp_path, monkeypatch):
    with KernelRig(tmp_path, *NAMES) as rig:
        monkeypatch.setenv("REDBEAR_RINGS", str(tmp_path / "run/ring"))
        monkeypatch.setenv("REDBEAR_SCHEME", str(rig.mount))
        yield rig
        for made in list(connection._all):  # now, rather than when the garbage is collected
            made.hang_up()
        client.forget()


def test_a_pipe_as_on_redox(rig):
    with client.open("/scheme/pipe", f.O_RDONLY) as reader:
        with reader.dup(b"write") as writer:
            with pytest.raises(OSError, match="Bad file descriptor"):
                reader.dup(b"write")
            assert writer.write(b"hello") == 5
            assert reader.read(100) == b"hello"
            ours, theirs = socket.socketpair()
            with ours, theirs:
                assert writer.sendfd([theirs.fileno()]) == 1
                (fd,) = reader.recvfd()
                os.write(fd, b"x")
                os.close(fd)
                assert ours.recv(1) == b"x"
        assert reader.read(100) == b""


def test_zeroed_memory_is_mapped_and_ones_own(rig):
    with client.open("/scheme/memory/zeroed", f.O_RDWR) as memory:
        with client.fmap(memory, 8192) as first, client.fmap(memory, 4096) as second:
            assert first.memory[:] == bytes(8192)
            first.memory[0] = 7
            assert second.memory[0] == 0
        assert memory.fstatvfs().f_bsize == 4096
        with pytest.raises(OSError, match="Operation not supported"), memory.dup(b"x"):
            pass


def test_an_address_is_translated(rig):
    buffer = ctypes.create_string_buffer(1)
    address = ctypes.addressof(buffer)
    with client.open("/scheme/memory/translation", f.O_RDWR) as translation:
        payload = bytearray(struct.pack("<Q", address))
        translation.call_rw(payload)
        physical = int.from_bytes(payload, "little")
        assert physical % 4096 == address % 4096
        with pytest.raises(OSError, match="No such file"):
            translation.call_rw(bytearray(struct.pack("<Q", 8)))


def test_the_bare_clock_and_its_events(rig):
    with client.open("/scheme/time/4", f.O_RDWR) as timer, client.EventQueue() as queue:
        assert timer.fpath() == "/scheme/time/4/"
        queue.subscribe(timer, f.EVENT_READ, "timer")
        seconds, rest = struct.unpack("<qi4x", timer.read(16))
        due = seconds * 10**9 + rest + 20_000_000
        timer.write(struct.pack("<qi4x", *divmod(due, 10**9)))
        event = queue.next_event(10)
        assert event is not None
        assert event.user_data == "timer"
        assert time.monotonic_ns() >= due


def test_a_queue_of_the_scheme_watches_linux_descriptors(rig):
    ours, theirs = socket.socketpair()
    with client.open("/scheme/event", f.O_RDWR) as queue, ours, theirs:
        assert queue.write(struct.pack("<QQQ", ours.fileno(), 1, 5)) == 24
        theirs.send(b"x")
        assert struct.unpack("<QQQ", queue.read(240)) == (ours.fileno(), 1, 5)
        queue.write(struct.pack("<QQQ", EVENT_TIMEOUT_ID, 1, 10))
        assert struct.unpack("<QQQ", queue.read(240)) == (EVENT_TIMEOUT_ID, 1, 10)


def test_debugs_longer_names(rig):
    with client.open("/scheme/debug/no-preserve", f.O_WRONLY) as debug:
        assert debug.fpath() == "debug:no-preserve"
        assert debug.write(b"by ring\n") == 8
    assert "by ring" in rig.log.read_text()


def test_the_others_are_there_too(rig):
    for path, name in (
        ("irq/bsp", "irq:bsp"),
        ("serio/0", "serio:0"),
        ("itimer/4", "/scheme/itimer/4"),
    ):
        with client.open(f"/scheme/{path}", f.O_RDONLY) as opened:
            assert opened.fpath() == name
