"""What users do wrong or machines lack: one sentence, a hint, an exit status, nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from up_rig import Up, leftovers, redbear

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def where(tmp_path):
    return ("--mount", tmp_path / "scheme", "--run-dir", tmp_path / "run")


def refused(done, status, *words):
    """Check the shape of a refusal: one sentence, one hint, no traceback."""
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    sentence = next(line for line in done.stderr.splitlines() if line.startswith("redbear-host: "))
    assert any(line.startswith("hint: ") for line in done.stderr.splitlines()), done.stderr
    for word in words:
        assert word in done.stderr
    return sentence


def nothing_left(tmp_path):
    assert not (tmp_path / "scheme").exists()
    assert not (tmp_path / "run" / "state.json").exists()
    assert not (tmp_path / "run" / "scratch").exists()
    assert leftovers(tmp_path / "run") == []


def test_an_unknown_key_in_the_configuration(tmp_path, where):
    file = tmp_path / "c.toml"
    file.write_text('[general]\nmuont = "/scheme"\n')
    done = redbear("up", "--config", file, *where)
    refused(done, 2, "muont", "line 2", "mount")
    nothing_left(tmp_path)


def test_a_configuration_that_is_not_there(tmp_path, where):
    refused(redbear("up", "--config", tmp_path / "none.toml", *where), 2, "none.toml")
    nothing_left(tmp_path)


def test_a_lab_device_or_key_that_does_not_exist(tmp_path, where):
    refused(redbear("up", "--lab", "nvmx", *where), 2, "nvmx", "nvme")
    refused(redbear("up", "--lab", "nvme:siez=1M", *where), 2, "siez", "size")
    done = redbear("up", "--lab", "nvme:size=elephant", *where)
    refused(done, 2, "elephant")
    assert "mount" not in done.stderr  # refused before anything was done
    assert redbear("up", "--plan", "--lab", "nvme:size=elephant", *where).returncode == 2
    nothing_left(tmp_path)


def test_a_device_that_does_not_exist(tmp_path, where):
    refused(redbear("up", "--device", "0000:ff:1f.7", *where), 2, "0000:ff:1f.7", "devices")
    refused(redbear("up", "--device", "elephant", *where), 2, "elephant")
    nothing_left(tmp_path)


def test_a_device_behind_no_iommu(tmp_path, where):
    """The guest's kernel has an IOMMU; this machine's has none, and may have no PCI either."""
    groups = Path("/sys/kernel/iommu_groups")
    if groups.is_dir() and any(groups.iterdir()):
        pytest.skip("this machine has an IOMMU; tests/unit/test_bind.py covers its absence")
    harmless = [
        path.name
        for path in sorted(Path("/sys/bus/pci/devices").glob("*"))
        if (path / "class").read_text().startswith("0xff")  # of no class: no disk, no network
    ]
    if not harmless:
        pytest.skip("there is no PCI function on this machine that may be named safely")
    file = tmp_path / "c.toml"
    file.write_text(f'[[device]]\naddress = "{harmless[-1]}"\ndriver = "nvmed"\n')
    refused(redbear("up", "--config", file, *where), 2, harmless[-1], "IOMMU", "S9")
    nothing_left(tmp_path)


def test_a_machine_without_qemu(tmp_path, where):
    done = redbear("up", "--lab", "nvme", *where, env={**os.environ, "PATH": "/nowhere"})
    refused(done, 2, "qemu-system-x86_64", "apt install qemu-system-x86")
    nothing_left(tmp_path)


def test_an_image_that_cannot_be_made_or_used(tmp_path, where):
    done = redbear("up", "--lab", f"nvme:file={tmp_path}/no/such/folder.img", *where)
    refused(done, 3, "folder.img")
    nothing_left(tmp_path)


def test_a_mount_point_that_is_busy(tmp_path, where):
    (tmp_path / "scheme").mkdir()
    (tmp_path / "scheme" / "file").touch()
    refused(redbear("up", "--lab", "nvme", *where), 2, "not empty", "--mount")
    (tmp_path / "scheme" / "file").unlink()
    subprocess.run(["mount", "-t", "tmpfs", "x", tmp_path / "scheme"], check=True, timeout=10)
    try:
        refused(redbear("up", "--lab", "nvme", *where), 2, "mounted already", "--mount")
    finally:
        subprocess.run(["umount", tmp_path / "scheme"], check=True, timeout=10)
    assert os.listdir(tmp_path / "scheme") == []
    (tmp_path / "scheme").rmdir()
    nothing_left(tmp_path)


def test_a_run_directory_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "deeper", Path("/proc/no/such")):
        where = ("--run-dir", place)
        up = redbear("up", "--lab", "nvme", "--mount", tmp_path / "scheme", *where)
        refused(up, 2, str(place), "--run-dir")
        nothing_left(tmp_path)
    for verb in ("down", "status", "devices"):
        refused(redbear(verb, "--run-dir", tmp_path / "file"), 2, "Not a directory", "--run-dir")


def test_a_run_directory_where_no_sockets_can_be(tmp_path):
    one = tmp_path / "one"
    one.mkdir()
    with Up(one) as up:
        where = ("--mount", tmp_path / "scheme", "--run-dir", up.mount / "ramfs" / "run")
        refused(redbear("up", *where), 3, "no socket", "--run-dir")
        assert not (tmp_path / "scheme").exists()


@pytest.mark.parametrize("option", ["--file", "--mount", "--run-dir", "--config"])
def test_an_empty_path_is_not_the_working_directory(tmp_path, where, option):
    refused(redbear("up", *where, option, ""), 2, option, "names nothing")
    nothing_left(tmp_path)


def test_a_mount_point_that_cannot_be_made(tmp_path):
    where = ("--mount", "/proc/such", "--run-dir", tmp_path / "run")
    refused(redbear("up", "--lab", "nvme", *where), 3, "/proc/such", "--mount")
    nothing_left(tmp_path)


def test_a_mount_point_in_a_folder_that_does_not_exist(tmp_path, where):
    done = redbear("up", "--lab", "nvme", *where, "--mount", tmp_path / "a" / "b" / "c")
    refused(done, 2, str(tmp_path / "a" / "b"), "mkdir -p")
    assert not (tmp_path / "a").exists()
    nothing_left(tmp_path)


def test_without_a_device_there_are_the_schemes_that_need_none(tmp_path):
    with Up(tmp_path) as up:
        assert {"kernel", "pcid"} <= {daemon["name"] for daemon in up.status["daemons"]}
        assert up.status["devices"] == []


def test_a_second_up(tmp_path):
    with Up(tmp_path, "--lab", "nvme") as up:
        again = redbear("up", "--lab", "nvme", *up.where)
        refused(again, 2, "up already", "down")
        assert "take everything down" not in again.stderr  # it would be the first one's
        assert up.daemon("nvmed")["state"] == "ready"
        assert (up.disk / "1").exists()


def test_down_and_status_when_nothing_is_up(tmp_path):
    refused(redbear("down", "--run-dir", tmp_path), 2, "not up")
    refused(redbear("status", "--run-dir", tmp_path), 2, "not up")
    assert (
        redbear("status", "--json", "--run-dir", tmp_path).stdout.strip() == '{\n  "up": false\n}'
    )


def test_someone_who_is_not_root(tmp_path):
    os.chmod(tmp_path, 0o777)
    # Becomes nobody only after it has imported what it needs: the checkout may be root's alone.
    program = (
        "import os, sys; import kernel_shim.supervisor, redbear_host.cli.up; "
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534); "
        "from redbear_host.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "up", "--lab", "nvme",
         "--mount", tmp_path / "scheme", "--run-dir", tmp_path / "run"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    refused(done, 2, "root", "sudo")


def test_a_daemon_that_cannot_start_says_where_to_look(tmp_path, where):
    """A queue of three entries is none: the driver says so in its log."""
    file = tmp_path / "c.toml"
    file.write_text('[[lab]]\nname = "nvme"\n[daemon.nvmed]\ndepth = 3\n')
    done = redbear("up", "--config", file, *where)
    refused(done, 3, "nvmed", "logs")
    nothing_left(tmp_path)
    assert "3 entries make no sense" in "".join(
        path.read_text() for path in (tmp_path / "run" / "log").glob("nvmed*")
    )


def test_a_graphics_card_that_there_is_not_is_told_with_those_there_are(tmp_path, where):
    done = redbear("up", "--detach", "--kms", "card99", *where)
    assert done.returncode == 3
    assert "/dev/dri/card99 cannot be used: there is no such card; cards on this" in done.stderr


def test_plan_touches_nothing(tmp_path, where):
    done = redbear("up", "--plan", "--lab", "nvme:size=64M", *where)
    assert done.returncode == 0, done.stderr
    assert "start QEMU with nvme:size=64M" in done.stdout
    assert not (tmp_path / "run").exists()
    nothing_left(tmp_path)
