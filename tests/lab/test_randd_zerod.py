"""rand, null and zero through FUSE, under the programs people point at them."""

from __future__ import annotations

import os
import re
import select
import subprocess
import threading
import time

import pytest
from base_rig import NOBODY, base_instance


@pytest.fixture(scope="module")
def up():
    with base_instance() as up:
        yield up


def output(*words, timeout=30, **options):
    done = subprocess.run(
        [*map(str, words)], capture_output=True, timeout=timeout, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_rngtest_finds_nothing_wrong_with_rand(up):
    dd = subprocess.Popen(
        ["dd", f"if={up.mount}/rand", "bs=1M", "count=16"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    done = subprocess.run(
        ["rngtest"], stdin=dd.stdout, capture_output=True, text=True, timeout=60, check=False
    )
    dd.stdout.close()
    assert dd.wait(10) == 0
    blocks = int(re.search(r"FIPS 140-2 successes: (\d+)", done.stderr)[1])
    failures = int(re.search(r"FIPS 140-2 failures: (\d+)", done.stderr)[1])
    assert blocks + failures == ((16 << 23) - 32) // 20_000  # the first 32 bits only start it
    # Of good randomness about one block in 1250 fails: 5 here; 20 are one in ten million runs.
    assert failures <= 20


def test_reads_of_rand_are_whole_and_differ(up):
    pieces = [output("head", "-c", "100000", up.mount / "rand") for _ in range(2)]
    assert [len(piece) for piece in pieces] == [100_000, 100_000]
    assert pieces[0] != pieces[1]


def test_only_root_stirs_rand(up):
    (up.mount / "rand").write_bytes(b"dice")
    done = subprocess.run(
        ["sh", "-c", f"echo dice > {up.mount}/rand"],
        capture_output=True,
        text=True,
        check=False,
        **NOBODY,
    )
    assert done.returncode != 0
    assert "Permission denied" in done.stderr


@pytest.mark.parametrize(("name", "least"), [("rand", 100), ("zero", 500)])
def test_large_reads_are_fast(up, name, least):
    """A floor that says nobody copies byte by byte; benchmarks measure, on a quiet machine."""
    fd = os.open(up.mount / name, os.O_RDONLY)
    buffer = bytearray(1 << 20)
    began = time.monotonic()
    for _ in range(100):
        assert os.readv(fd, [buffer]) == 1 << 20
    seconds = time.monotonic() - began
    os.close(fd)
    assert 100 / seconds > least / 10, f"{100 / seconds:.0f} MiB/s"


def test_zero_and_null_are_what_they_are_called(up):
    assert output("head", "-c", "3000000", up.mount / "zero") == bytes(3_000_000)
    assert output("cat", up.mount / "null") == b""
    output("dd", "if=/dev/zero", f"of={up.mount}/null", "bs=1M", "count=8")
    output("dd", "if=/dev/zero", f"of={up.mount}/zero", "bs=1M", "count=8", "seek=3")
    output("sh", "-c", f"echo gone > {up.mount}/null; echo gone >> {up.mount}/null")
    assert output("stat", "-c", "%a", up.mount / "null", up.mount / "zero") == b"666\n666\n"


@pytest.mark.parametrize("name", ["rand", "zero", "null"])
def test_they_are_always_ready(up, name):
    fd = os.open(up.mount / name, os.O_RDWR)
    poll = select.poll()
    poll.register(fd, select.POLLIN | select.POLLOUT)
    assert poll.poll(0)[0][1] & (select.POLLIN | select.POLLOUT) == select.POLLIN | select.POLLOUT
    os.close(fd)


@pytest.mark.parametrize(("name", "daemon"), [("rand", "randd"), ("zero", "zerod")])
def test_readers_do_not_notice_a_death(up, name, daemon):
    stop = threading.Event()
    short = []

    def reading():
        with open(up.mount / name, "rb", buffering=0) as file:
            while not stop.is_set():
                piece = file.read(65536)
                if len(piece) != 65536:
                    short.append(piece)

    threads = [threading.Thread(target=reading) for _ in range(3)]
    for thread in threads:
        thread.start()
    up.kill(daemon)
    up.kill(daemon)
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert short == []
