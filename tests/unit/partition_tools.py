"""Reading partition tables from images, and the tools that make them."""

from __future__ import annotations

import shutil
import subprocess

from redbear_host.classes.partitions import read_table
from redbear_host.classes.table import Table, solve
from redbear_host.errors import DeviceError


def table_of(image: bytes | bytearray, size: int = 512, bad: tuple[int, ...] = ()) -> Table:
    """Read the table of an image; blocks in `bad` fail."""
    count = len(image) // size

    def read(block: int, blocks: int) -> bytes:
        assert blocks > 0
        assert 0 <= block <= block + blocks <= count
        if any(block <= one < block + blocks for one in bad):
            raise DeviceError(f"block {block} cannot be read")
        return bytes(image[block * size : (block + blocks) * size])

    return solve(read_table(size, count), read)


def run(*command: str, script: str = "") -> str:
    tool = shutil.which(command[0], path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert tool is not None, f"{command[0]} is missing: apt-get install gdisk fdisk"
    done = subprocess.run(
        (tool, *command[1:]),
        input=script,
        capture_output=True,
        encoding="utf-8",
        env={"LC_ALL": "C.UTF-8"},
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout
