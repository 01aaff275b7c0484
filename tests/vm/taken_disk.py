"""What holds for every disk that `up --device` takes from Linux: asked in the guest."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import up_rig
from disk_users import fio
from guest_machine import wait_for

SCHEME = Path("/scheme")
MIB = 1 << 20

_FIO = ("--direct=1", "--rw=randwrite", "--size=4M")


class Taken(NamedTuple):
    """A disk: its function, its daemon, its file below /scheme, and where Linux has it."""

    address: str
    daemon: str
    file: Path
    linux: Callable[[], Path | None]  # None while Linux has it not


def redbear(*arguments):
    return up_rig.redbear(*arguments, timeout=90)


def up(disk):
    done = redbear("up", "--device", disk.address, "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    assert disk.file.parent.name in done.stdout


def down():
    done = redbear("down")
    assert done.returncode == 0, done.stdout + done.stderr


def daemon(disk):
    state = json.loads(redbear("status", "--json").stdout)
    return next(one for one in state["daemons"] if one["name"].startswith(disk.daemon))


def comes_back_with_what_was_written(disk):
    before = disk.linux().read_bytes()[: 4 * MIB]
    up(disk)
    try:
        assert disk.linux() is None
        assert disk.file.read_bytes()[: 4 * MIB] == before
        fio(disk.file, "/tmp", *_FIO, "--bsrange=512-256k", "--ioengine=psync")
        fio(disk.file, "/tmp", *_FIO, "--bsrange=512-64k", "--ioengine=libaio", "--iodepth=32")
        written = os.urandom(MIB + 777)
        with disk.file.open("r+b", buffering=0) as file:
            file.seek(16 * MIB)
            file.write(written)
            os.fsync(file.fileno())
        (pci,) = (SCHEME / "pci").glob(disk.address.replace(":", "--"))
        assert (pci / "driver").read_text() == f"{disk.daemon}\n"
        whole = disk.file.read_bytes()
    finally:
        down()
    wait_for(lambda: disk.linux() is not None)
    assert not SCHEME.exists()
    with disk.linux().open("rb") as file:
        file.seek(16 * MIB)
        assert file.read(len(written)) == written
        file.seek(0)
        assert file.read() == whole


def outlives_its_daemon(disk):
    up(disk)
    try:
        with disk.file.open("r+b", buffering=0) as file:
            for round_ in range(3):
                data = bytes([round_ + 1]) * 4096
                os.pwrite(file.fileno(), data, 8192)
                os.kill(daemon(disk)["pid"], signal.SIGKILL)
                assert os.pread(file.fileno(), 4096, 8192) == data
        found = daemon(disk)
        assert (found["state"], found["restarts"]) == ("ready", 3)
    finally:
        down()
