"""The guest lab seen from the host; what runs inside a guest is tested by tests/vm."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from guest_needs import require_guest

from redbear_host.errors import ConfigError, TransportError
from redbear_host.lab.guest import GuestOptions, run

pytestmark = pytest.mark.timeout(300)  # a guest is up in 5 s, or in a minute on a busy machine


def children() -> set[str]:
    tasks = Path("/proc/self/task")
    return {pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()}


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    require_guest()
    before = children()
    yield
    assert children() <= before, "a process of the guest lab is left"


class Answering(io.BytesIO):
    """Output that puts a file into the exchange folder when the first line has come."""

    def __init__(self, exchange: Path) -> None:
        super().__init__()
        self.exchange = exchange

    def write(self, data: object, /) -> int:
        (self.exchange / "answer").write_text("seen")
        return super().write(data)  # type: ignore[arg-type]


# The command goes on only once the host has seen its first line.
CONVERSATION = """
echo first
for try in $(seq 600); do
    [ -e /run/exchange/answer ] && break
    sleep 0.1
done
cat /run/exchange/answer
echo
pwd
echo to stderr >&2
echo $COLOUR > /run/exchange/back
mkdir -p /scheme/disk && touch /usr/written
ls /dev/nvme0n1 /dev/sda && basename $(readlink /sys/bus/pci/devices/0000:00:06.0/driver)
readlink /sys/bus/pci/devices/0000:00:04.0/iommu_group
date +%s
command -v redbear-host
exit 42
"""


def test_a_command_runs_in_the_guest_and_its_output_status_and_files_come_back(
    tmp_path: Path,
) -> None:
    disk = tmp_path / "disk, with a comma.img"
    disk.write_bytes(bytes(16 << 20))
    exchange = tmp_path / "exchange"
    output, errors = Answering(exchange), io.BytesIO()
    options = GuestOptions(
        devices=("nvme", "ahci", "e1000", "hda", "gpu", "keyboard", "tablet"),
        disk=disk,
        exchange=exchange,
        environment={"COLOUR": "red, 'bear'"},
        timeout=250,
    )

    status = run(["sh", "-c", CONVERSATION], options, output, errors)

    assert status == 42, errors.getvalue()
    lines = output.getvalue().decode().splitlines()
    assert lines[:3] == ["first", "seen", os.getcwd()]
    assert lines[3:6] == ["/dev/nvme0n1", "/dev/sda", "e1000"]
    assert lines[6].startswith("../../../kernel/iommu_groups/")
    # The guest's clock is set from the host's, not from 1970.
    assert abs(int(lines[7]) - os.stat(exchange / "back").st_mtime) < 60
    assert Path(lines[8]).samefile(Path(sys.executable).with_name("redbear-host"))
    assert errors.getvalue() == b"to stderr\n"
    assert (exchange / "back").read_text() == "red, 'bear'\n"
    assert not Path("/usr/written").exists()


def test_a_guest_that_is_not_done_in_time_is_ended() -> None:
    errors = io.BytesIO()
    with pytest.raises(TransportError, match=r"not done with 'true' after 1 s"):
        run(["true"], GuestOptions(timeout=1), io.BytesIO(), errors)


def test_a_guest_that_dies_early_leaves_its_kernel_log() -> None:
    output, errors = io.BytesIO(), io.BytesIO()
    crash = ["sh", "-c", "echo alive; echo c > /proc/sysrq-trigger"]
    with pytest.raises(TransportError, match="died before"):
        run(crash, GuestOptions(timeout=250), output, errors)
    assert output.getvalue() == b"alive\n"
    assert b"sysrq triggered crash" in errors.getvalue()


def test_what_qemu_says_is_told_when_it_does_not_start() -> None:
    with pytest.raises(TransportError, match="no-such-device"):
        run(["true"], GuestOptions(arguments=("-device", "no-such-device")), io.BytesIO())


def test_an_interrupted_run_leaves_no_process_behind() -> None:
    class Interrupting(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["echo", "ready"], GuestOptions(timeout=250), Interrupting(), io.BytesIO())


def test_two_guests_run_at_once() -> None:
    outputs = [io.BytesIO(), io.BytesIO()]
    options = GuestOptions(timeout=250, memory=1024)
    threads = [
        threading.Thread(target=run, args=(["echo", "hello"], options, output, io.BytesIO()))
        for output in outputs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [output.getvalue() for output in outputs] == [b"hello\n", b"hello\n"]


def test_a_device_nobody_knows_and_a_disk_without_a_device_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no device 'floppy'"):
        run(["true"], GuestOptions(devices=("floppy",)))
    with pytest.raises(ConfigError, match="no device of the guest has a disk"):
        run(["true"], GuestOptions(devices=("e1000",), disk=tmp_path / "disk.img"))
    with pytest.raises(ConfigError, match="needs a command"):
        run([])
