"""Pages the kernel keeps, and files it reads by itself, at the FUSE door."""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from schemefs_rig import Rig

from kernel_shim.forgetters import Forgetters
from redbear_host.scheme.loop import Loop
from schemefs.journal import NODE_BYTES, NODES_USED, Geometry
from schemefs.nodes import RECORD

pytestmark = pytest.mark.timeout(300)  # the guest is slow


@pytest.fixture
def rig(tmp_path):
    folder, point = tmp_path / "back", tmp_path / "mnt"
    folder.mkdir()
    point.mkdir()
    made = Rig(point, "folder", str(folder))
    made.back = folder
    made.start()
    yield made
    made.close()


def reads(rig, name):
    """How often the scheme was asked to read a file."""
    log = Path(f"{rig.back}.reads")
    return len([x for x in log.read_text().splitlines() if x.startswith(f"{name} ")]) if (
        log.exists()
    ) else 0  # fmt: skip


def test_a_kept_page_is_read_once_and_again_when_the_file_has_changed(rig):
    (rig.back / "cached").write_bytes(b"one" + bytes(9000))
    with open(rig.point / "cached", "rb", buffering=0) as file:
        for _ in range(5):
            assert os.pread(file.fileno(), 3, 0) == b"one"
        assert reads(rig, "cached") == 1
        (rig.back / "cached").write_bytes(b"two" + bytes(20))
        assert os.pread(file.fileno(), 100, 0) == b"two" + bytes(20)
        assert reads(rig, "cached") == 2
    assert (rig.point / "cached").read_bytes() == b"two" + bytes(20)
    assert reads(rig, "cached") == 2  # another open keeps what is there


def test_what_is_not_cached_is_read_each_time(rig):
    (rig.back / "plain").write_bytes(b"one")
    with open(rig.point / "plain", "rb", buffering=0) as file:
        for _ in range(5):
            assert os.pread(file.fileno(), 3, 0) == b"one"
    assert reads(rig, "plain") == 5


@pytest.mark.parametrize("name", ["cached", "backed"])
def test_shared_mappings_are_the_file(rig, name):
    with open(rig.point / name, "w+b", buffering=0) as file:
        file.write(bytes(10_000))
        with mmap.mmap(file.fileno(), 10_000) as one, mmap.mmap(file.fileno(), 10_000) as other:
            one[5000:5005] = b"hello"
            assert other[5000:5005] == b"hello"
            assert os.pread(file.fileno(), 5, 5000) == b"hello"
            os.pwrite(file.fileno(), b"WORLD", 5000)
            assert one[5000:5005] == b"WORLD"
            one[0:1] = b"!"
            one.flush()
        assert (rig.back / name).read_bytes() == b"!" + bytes(4999) + b"WORLD" + bytes(4995)
        os.ftruncate(file.fileno(), 3)
        assert (rig.point / name).read_bytes() == b"!\0\0"


def passes_through():
    """Tell whether this kernel is of the version that can (FUSE 7.40 came with Linux 6.9)."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor)) >= (6, 9)


def test_a_backed_file_is_read_and_written_with_or_without_the_scheme(rig):
    data = os.urandom(300_000)
    (rig.point / "backed").write_bytes(data)
    with open(rig.point / "backed", "r+b", buffering=0) as file:
        with open(rig.point / "backed", "rb", buffering=0) as again:
            assert again.read() == data
        os.pwrite(file.fileno(), b"new", 100)
        rig.kill()
        if passes_through():
            assert os.pread(file.fileno(), 5, 99) == data[99:100] + b"new" + data[103:104]
        rig.start()
        assert os.pread(file.fileno(), 5, 99) == data[99:100] + b"new" + data[103:104]
    assert (rig.back / "backed").read_bytes() == data[:100] + b"new" + data[103:]
    assert (reads(rig, "backed") == 0) == passes_through()
    for _ in range(100):
        assert (rig.point / "backed").stat().st_size == 300_000
        assert (rig.point / "backed").read_bytes()[100:103] == b"new"


COUNT = 20_000


def test_more_names_than_the_table_holds_can_be_looked_at_and_all_are_forgotten(tmp_path):
    folder, point = tmp_path / "back", tmp_path / "mnt"
    folder.mkdir()
    point.mkdir()
    for number in range(COUNT):
        (folder / f"file {number}").touch()
    rig = Rig(point, "folder", str(folder), geometry=Geometry(nodes=1 << 14))
    try:
        rig.start()
        with open(point / "file 0", "rb") as kept:
            for number in range(COUNT):
                os.stat(point / f"file {number}")
            assert os.fstat(kept.fileno()).st_size == 0
            assert len(os.listdir(point)) == COUNT
            assert rig.server.poll() is None
    finally:
        rig.close()


def known_names(journal):
    """Count the rows of the table of names that the kernel knows."""
    at = [journal.geometry.nodes_at + row * NODE_BYTES for row in range(journal.words[NODES_USED])]
    return sum(RECORD.unpack_from(journal.bytes, start)[0] > 0 for start in at)


def test_the_shims_forgetter_makes_the_kernel_forget_all_but_what_is_open(rig):
    (rig.back / "dir").mkdir()
    for number in range(200):
        (rig.back / "dir" / f"file {number}").touch()
    loop = Loop()
    scheme = SimpleNamespace(name="folder", connection_fd=rig.fd, journal=rig.journal)
    with open(rig.point / "dir" / "file 0", "rb"):
        for number in range(200):
            os.stat(rig.point / "dir" / f"file {number}")
        assert known_names(rig.journal) == 201
        forgetters = Forgetters(loop)
        forgetters.begin(scheme)
        forgetters.begin(scheme)  # one is enough
        deadline = time.monotonic() + 60
        while known_names(rig.journal) > 2:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        loop.run_round()  # it has ended, and is waited for
        assert not forgetters.busy
        os.stat(rig.point / "dir" / "file 7")
    loop.close()


def test_a_journal_takes_little_memory_while_little_is_asked(rig):
    (rig.point / "a").write_bytes(bytes(100_000))
    (rig.point / "a").unlink()
    assert os.fstat(rig.journal.fd).st_blocks * 512 < 3 << 20
    assert rig.journal.geometry.size > 64 << 20
