"""The scheme `event`, mounted, watching Linux's descriptors and files of the same process."""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import sys
import threading

import pytest
from kernel_rig import KernelRig

from redbear_host.abi.event import EVENT_TIMEOUT_ID

pytestmark = pytest.mark.timeout(60)

READ, WRITE = 1, 2


@pytest.fixture
def rig(tmp_path):
    with KernelRig(tmp_path, "event", "pipe", "time") as rig:
        yield rig


@pytest.fixture
def queue(rig):
    fd = os.open(rig.mount / "event/queue", os.O_RDWR)
    yield fd
    os.close(fd)


def watch(queue, *records):
    data = b"".join(struct.pack("<QQQ", *record) for record in records)
    assert os.write(queue, data) == len(data)


def taken(queue, room=10):
    """Wait for records as a program would: poll, then read."""
    assert select.select([queue], [], [], 10)[0], "no event came"
    return list(struct.iter_unpack("<QQQ", os.read(queue, 24 * room)))


def comes(queue, record):
    """Wait for one record; others may come before it."""
    while record not in taken(queue):
        pass
    return True


def test_sockets_and_pipes_of_linux(queue):
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    with ours, theirs:
        watch(queue, (ours.fileno(), READ, 11), (reader, READ, 12))
        assert not select.select([queue], [], [], 0.05)[0]
        theirs.send(b"x")
        assert taken(queue) == [(ours.fileno(), READ, 11)]
        os.close(writer)
        assert taken(queue) == [(reader, READ, 12)]
    os.close(reader)


def test_files_of_the_process_that_serves_the_queue(rig, queue):
    """Asked on its own loop, it would wait for itself."""
    reader = os.open(rig.mount / "pipe/a", os.O_RDONLY)
    writer = os.open(rig.mount / "pipe/a", os.O_WRONLY)
    watch(queue, (reader, READ, 1), (writer, WRITE, 2))
    assert taken(queue) == [(writer, WRITE, 2)]
    for _ in range(3):
        os.write(writer, b"x")
        assert comes(queue, (reader, READ, 1))
        assert os.read(reader, 10) == b"x"
    os.close(writer)  # watched, and closed all the same
    assert comes(queue, (reader, READ, 1))
    assert os.read(reader, 10) == b""
    os.close(reader)


def test_a_queue_on_a_queue_and_never_on_itself(rig, queue):
    other = os.open(rig.mount / "event/other", os.O_RDWR)
    with pytest.raises(OSError, match="Bad file descriptor"):
        watch(queue, (queue, READ, 0))
    with pytest.raises(OSError, match="Bad file descriptor"):
        watch(queue, (os.dup(queue), READ, 0))
    watch(queue, (other, READ, 5))
    watch(other, (EVENT_TIMEOUT_ID, 1, 20))
    assert taken(queue) == [(other, READ, 5)]
    assert taken(other) == [(EVENT_TIMEOUT_ID, 1, 20)]
    os.close(other)


def test_a_redox_timer_in_a_redox_queue(rig, queue):
    timer = os.open(rig.mount / "time/4/timer", os.O_RDWR)
    watch(queue, (timer, READ, 9))
    seconds, rest = struct.unpack("<qi4x", os.read(timer, 16))
    due = seconds * 10**9 + rest + 30_000_000
    os.write(timer, struct.pack("<qi4x", *divmod(due, 10**9)))
    assert taken(queue) == [(timer, READ, 9)]
    os.close(timer)


def test_a_read_waits_and_ends_with_a_signal_or_an_event(rig, queue):
    command = ["timeout", "0.5", "dd", "bs=24", f"if={rig.mount}/event/x"]
    assert subprocess.run(command, timeout=20, check=False).returncode == 124
    os.set_blocking(queue, False)
    with pytest.raises(BlockingIOError):
        os.read(queue, 24)
    os.set_blocking(queue, True)
    found = []
    reader = threading.Thread(target=lambda: found.append(os.read(queue, 24)))
    reader.start()
    watch(queue, (EVENT_TIMEOUT_ID, 1, 50))
    reader.join(10)
    assert found == [struct.pack("<QQQ", EVENT_TIMEOUT_ID, 1, 50)]


CLIENT = """
import os, struct, sys
queue = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(queue, struct.pack("<QQQ", 0, 1, 42))
print(*struct.unpack("<QQQ", os.read(queue, 24)), flush=True)
"""


def test_a_program_of_a_user_watches_its_own_descriptors(rig):
    argv = ["setpriv", "--reuid", "65534", "--clear-groups", sys.executable, "-c", CLIENT]
    with subprocess.Popen(
        [*argv, "event/queue"], cwd=rig.mount, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.communicate(b"x", timeout=20)[0] == b"0 1 42\n"


def test_many_queues_cost_nothing_while_nothing_happens(rig):
    ours, theirs = socket.socketpair()
    queues = [os.open(rig.mount / "event/many", os.O_RDWR) for _ in range(50)]
    for queue in queues:
        watch(queue, (ours.fileno(), READ, 0))
    before = rig.cpu_s()
    assert not select.select(queues, [], [], 1)[0]
    assert rig.cpu_s() - before < 0.1
    theirs.send(b"x")
    for queue in queues:
        assert taken(queue) == [(ours.fileno(), READ, 0)]
        os.close(queue)
    ours.close()
    theirs.close()


def test_the_eventfd_of_red_bear(rig):
    fd = os.open(rig.mount / "event/eventfd/2/1", os.O_RDWR)
    assert os.eventfd_read(fd) == 1
    assert os.eventfd_read(fd) == 1
    assert not select.select([fd], [], [], 0)[0]
    os.eventfd_write(fd, 1)
    assert select.select([fd], [], [], 5)[0]
    assert os.listdir(rig.mount / "event") == []
    os.close(fd)
