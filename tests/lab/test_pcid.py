"""The scheme `pci`, mounted, as lspci and other programs see it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from kernel_shim.rundir import RunDir
from kernel_shim.service import Service, State
from kernel_shim.supervisor import Supervisor
from redbear_host.hostpci import host_functions

pytestmark = pytest.mark.timeout(60)

LSPCI = shutil.which("lspci") or "/usr/sbin/lspci"
CARD = "0f0f--1f--04.0"  # an address no machine has


def lab_config():
    """The least that is a function: QEMU's NVMe controller, without capabilities."""
    config = bytearray(256)
    config[:16] = bytes.fromhex("361b1000 06000000 02020801 00000000".replace(" ", ""))
    return bytes(config)


@pytest.fixture
def up(tmp_path):
    supervisor = Supervisor(RunDir(tmp_path / "run"), tmp_path / "scheme")
    try:
        supervisor.open()
        card = {"address": "0f0f:1f:04.0", "config": lab_config().hex(), "driver": "nvmed"}
        (running,) = supervisor.start(
            Service(name="pcid", module="daemons.pcid", schemes=("pci",), facts={"lab": [card]})
        )
        yield supervisor, running, tmp_path / "scheme/pci"
    finally:
        supervisor.close()


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=20, **more)


def test_every_function_is_a_folder_of_files(up):
    _, _, pci = up
    names = [str(function.address).replace(":", "--") for function in host_functions()]
    assert sorted(os.listdir(pci)) == sorted([*names, CARD, "lspci"])
    assert sorted(os.listdir(pci / CARD)) == ["config", "driver", "ids", "name"]
    assert (pci / CARD / "config").read_bytes() == lab_config()
    assert (pci / CARD / "driver").read_text() == "nvmed\n"
    assert "1b36:0010 010802\n" in run("cat", pci / CARD / "ids").stdout


def test_lspci_reads_the_mounted_dump_as_it_reads_the_machine(up):
    _, _, pci = up
    told = run(LSPCI, "-D", "-n", "-F", pci / "lspci").stdout.splitlines()
    assert [line for line in told if line.startswith("0f0f")] == [
        "0f0f:1f:04.0 0108: 1b36:0010 (rev 02)"
    ]
    own = run(LSPCI, "-D", "-n").stdout.splitlines()
    assert [line for line in told if not line.startswith("0f0f")] == own


def test_live_configuration_space_is_what_linux_shows(up):
    _, _, pci = up
    for function in host_functions():
        shown = pci / function.address.pcid_name
        assert (shown / "config").read_bytes() == (function.path / "config").read_bytes()
        assert (shown / "config").stat().st_size == (function.path / "config").stat().st_size
        assert (shown / "driver").read_text().strip() == function.driver


def test_others_than_root_see_names_and_no_configuration_space(up, tmp_path):
    _, _, pci = up
    for parent in (tmp_path, *tmp_path.parents):
        if not os.stat(parent).st_mode & 0o001:
            parent.chmod(0o711)  # pytest's folders are for one user
    as_nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    assert run("cat", pci / CARD / "name", **as_nobody).returncode == 0
    for path in (pci / CARD / "config", pci / "lspci"):
        refused = run("cat", path, **as_nobody)
        assert refused.returncode == 1
        assert "Permission denied" in refused.stderr


def test_nothing_can_be_written(up):
    _, _, pci = up
    refused = run("sh", "-c", f"echo x > {pci / CARD / 'name'}")
    assert "Read-only file system" in refused.stderr


def test_a_successor_serves_the_files_its_predecessor_opened(up):
    supervisor, running, pci = up
    with (pci / CARD / "config").open("rb", buffering=0) as file:
        assert file.read(4) == lab_config()[:4]
        os.kill(running.pid, signal.SIGKILL)
        supervisor.loop.run_until(lambda: running.life == 2 and running.state is State.READY, 20)
        assert file.read(12) == lab_config()[4:16]
    assert re.search("life 2", Path(supervisor.lives.log_path(running)).read_text())
