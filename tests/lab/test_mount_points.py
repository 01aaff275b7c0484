"""Mount points with odd names, and reached by odd ways: all are found again, and taken away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kernel_shim.rundir import RunDir
from kernel_shim.supervisor import Supervisor
from schemefs.mount import mounts_below

pytestmark = pytest.mark.timeout(60)

NAMES = [
    "with blanks",
    "line\nfeed",
    "tab\tand\\040backslash",
    "Umläute-日本",
    os.fsdecode(b"no-utf8-\xff\xfe"),
]


def mounted(folder: Path) -> list[bytes]:
    """The lines of mountinfo about `folder`, found without our own reading of it."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    return [line for line in lines if os.fsencode(folder) in line]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_mount_point_of_any_name_is_found_and_unmounted(tmp_path, name):
    supervisor = Supervisor(RunDir(tmp_path / "run"), tmp_path / name)
    supervisor.open()
    try:
        assert [kind for _, kind, _ in mounts_below(tmp_path / name)] == ["tmpfs"]
    finally:
        supervisor.close()
    assert mounted(tmp_path) == []
    assert not (tmp_path / name).exists()


def test_a_mount_point_behind_a_link_is_unmounted(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    supervisor = Supervisor(RunDir(tmp_path / "run"), tmp_path / "link")
    supervisor.open()
    assert len(mounted(tmp_path)) == 1
    supervisor.close()
    assert mounted(tmp_path) == []
    assert (tmp_path / "real").is_dir()
