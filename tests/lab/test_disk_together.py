"""Many requests at once, large ones whole, streams ahead of their readers; whole blocks by ring.

How many commands the device has at once is read from its doorbells: SQ1TDBL less CQ1HDBL.
"""

from __future__ import annotations

import errno
import mmap
import os
import random
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from up_rig import Up

from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.client.connection import connect

MIB = 1 << 20
SIZE = 64 * MIB
ENTRIES = 256
TAIL, HEAD = "0x1008", "0x100c"
LIBREDOX = Path(__file__).parents[2] / "libredox"
PROBE = Path(__file__).with_name("whole_blocks.c")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("together") / "disk.img"
    path.write_bytes(random.Random(4).randbytes(SIZE))
    return path


@pytest.fixture(scope="module")
def up(tmp_path_factory, image):
    folder = tmp_path_factory.mktemp("instance")
    with Up(folder, "--lab", f"nvme:file={image},serial=C1,mdts=8") as made:
        yield made


@pytest.fixture
def disk(up):
    return up.disk / "1"


@pytest.fixture
def rings(up, monkeypatch):
    monkeypatch.setenv("REDBEAR_RINGS", str(up.run_dir / "ring"))
    monkeypatch.setenv("REDBEAR_SCHEME", str(up.mount))
    with client.deadline(30):
        yield
        connect(up.disk.name).hang_up()


class Doorbells:
    """What was written to queue 1's doorbells so far."""

    def __init__(self):
        self.most = self.issued = self.ended = self.ours = 0
        self._last = {TAIL: 0, HEAD: 0}

    def rang(self, register, value):
        step = (value - self._last[register]) % ENTRIES
        self._last[register] = value
        if register == TAIL:
            self.issued += step
        else:
            self.ended += step
        self.most = max(self.most, self.issued - self.ended)


@pytest.fixture(scope="module")
def doorbells(up):
    """Every access to the device's registers is told while these tests run."""
    found = Doorbells()
    heard = threading.Event()
    device = up.disk.name.removeprefix("disk.").removesuffix("-nvme")
    child = subprocess.Popen(["cat", up.mount / "trace" / device], stdout=subprocess.PIPE)

    def listen():
        for line in child.stdout:
            assert b"lost)" not in line
            words = line.split()[1:]
            if words[:2] == [b"bar0", b"write32"] and words[2].decode() in (TAIL, HEAD):
                found.rang(words[2].decode(), int(words[3], 16))
                heard.set()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        assert heard.wait(20)
        yield found
    finally:
        child.kill()
        child.wait()
        thread.join(20)
        child.stdout.close()


@contextmanager
def counted(up, doorbells):
    """Give the numbers of the block: how many commands it took, and how many at once."""
    settle(up, doorbells)
    doorbells.most = 0
    before = doorbells.issued
    doorbells.ours = 0
    found = SimpleNamespace()
    yield found
    settle(up, doorbells)
    found.commands = doorbells.issued - before - doorbells.ours
    found.together = doorbells.most


def settle(up, doorbells):
    """Wait until all that was issued has ended and been told."""
    with (up.disk / "1").open("rb", buffering=0) as file:
        for _ in range(200):
            before = doorbells.issued
            doorbells.ours += 1
            os.pread(file.fileno(), 512, SIZE - 512)
            for _ in range(200):
                if doorbells.issued > before and doorbells.issued == doorbells.ended:
                    return
                threading.Event().wait(0.005)
    raise AssertionError((doorbells.issued, doorbells.ended))


def fio(disk, *options):
    done = subprocess.run(
        ["fio", "--name=t", f"--filename={disk}", "--allow_file_create=0", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_32_requests_of_fio_are_on_the_device_at_once(up, disk, doorbells):
    with counted(up, doorbells) as found:
        fio(
            disk, "--ioengine=libaio", "--iodepth=32", "--rw=randread", "--bs=4k",
            "--io_size=16M", "--size=64M", "--iodepth_batch_submit=32",
            "--iodepth_batch_complete_min=32",
        )  # fmt: skip
    assert found.together == 32
    assert found.commands >= 4096


def test_32_entries_of_a_ring_are_on_the_device_at_once(up, rings, image, doorbells):
    with counted(up, doorbells) as found:
        fd = client.open(f"/scheme/{up.disk.name}/1", f.O_RDONLY)
        batch = client.Batch()
        places = [at * 37 % 1000 * 4096 for at in range(32)]
        for at in places:
            batch.pread(fd, 4096, at)
        answers = batch.collect()
        client.close(fd)
    assert found.together == 32
    with image.open("rb") as file:
        assert answers == [os.pread(file.fileno(), 4096, at) for at in places]


def test_requests_of_several_clients_are_on_the_device_together(up, rings, doorbells):
    """One disk is one client's, so these are threads of one; each waits for its own answer."""
    with counted(up, doorbells) as found, (up.disk / "1").open("rb", buffering=0) as file:
        begin = threading.Barrier(8)

        def read(number):
            begin.wait()
            for at in range(300):
                os.pread(file.fileno(), 64 << 10, (number * 997 + at * 71) % 1000 * (64 << 10))

        threads = [threading.Thread(target=read, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert 2 <= found.together <= 8


def test_a_large_request_is_one_command(up, disk, doorbells):
    # Of whole pages: the kernel cuts a request that touches more than 256.
    with (
        mmap.mmap(-1, MIB) as room,
        counted(up, doorbells) as found,
        disk.open("r+b", buffering=0) as file,
    ):
        for at in range(7, -1, -1):  # backwards, so that nothing is read ahead
            assert os.preadv(file.fileno(), [room], at * MIB) == MIB
        assert os.pwritev(file.fileno(), [room], 60 * MIB) == MIB
    # The writer's close has the partition table looked for.
    assert 9 <= found.commands <= 9 + 4


def test_a_stream_is_read_ahead_in_a_few_large_commands(up, disk, doorbells):
    with counted(up, doorbells) as found, disk.open("rb", buffering=0) as file:
        for at in range(0, 16 * MIB, 4096):
            os.pread(file.fileno(), 4096, at)
    assert found.commands < 200  # of 4096 reads
    assert found.together > 1


def test_what_is_read_ahead_is_what_was_last_written(disk):
    chance = random.Random(1)
    with disk.open("r+b", buffering=0) as file:
        fd = file.fileno()
        expected = bytearray(os.pread(fd, MIB, 32 * MIB))
        at = 0
        for _ in range(2000):
            if chance.random() < 0.2:
                start = chance.randrange(max(0, at - 8192), min(MIB - 3000, at + 65536))
                data = chance.randbytes(chance.randint(1, 3000))
                expected[start : start + len(data)] = data
                os.pwrite(fd, data, 32 * MIB + start)
            size = chance.choice((512, 4096, 1000))
            found = os.pread(fd, size, 32 * MIB + at)
            assert found[: MIB - at] == expected[at : at + size]
            at = at + size if at + size < MIB - 70_000 else 0


def test_a_ring_program_reads_and_writes_whole_blocks_only(up, rings):
    fd = client.open(f"/scheme/{up.disk.name}/1", f.O_RDWR)
    batch = client.Batch()
    batch.pread(fd, 512, 512)
    batch.pread(fd, 100, 0)
    batch.pread(fd, 512, 100)
    batch.pwrite(fd, bytes(511), 40 * MIB)
    batch.pwrite(fd, bytes(512), 40 * MIB + 1)
    batch.pwrite(fd, bytes(1024), 40 * MIB)
    batch.pread(fd, 512, SIZE)
    whole, *crooked, written, behind = batch.collect()
    client.close(fd)
    assert len(whole) == 512
    assert [error.errno for error in crooked] == [errno.EINVAL] * 4
    assert (written, behind) == (1024, b"")


def test_a_plain_program_reads_and_writes_any_bytes(disk):
    with disk.open("r+b", buffering=0) as file:
        assert os.pwrite(file.fileno(), b"crooked", 40 * MIB + 3) == 7
        assert os.pread(file.fileno(), 9, 40 * MIB + 2)[1:8] == b"crooked"


def test_a_c_program_reads_and_writes_whole_blocks_only(up, tmp_path):
    program = tmp_path / "whole_blocks"
    sources = sorted(map(str, LIBREDOX.glob("*.c")))
    made = ["gcc", "-std=c11", "-Wall", "-Werror", "-pthread", f"-I{LIBREDOX}", "-o", str(program)]
    subprocess.run([*made, str(PROBE), *sources], check=True, timeout=60)
    environment = os.environ | {
        "REDBEAR_RINGS": str(up.run_dir / "ring"),
        "REDBEAR_SCHEME": str(up.mount),
    }
    done = subprocess.run(
        [program, f"/scheme/{up.disk.name}/1"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    invalid = -errno.EINVAL
    assert done.stdout.splitlines() == [
        "read 512 at 0 512",
        f"read 100 at 512 {invalid}",
        f"read 512 at 100 {invalid}",
        f"write 512 at 100 {invalid}",
        f"write 511 at 1024 {invalid}",
        "write 1024 at 1024 1024",
    ]
