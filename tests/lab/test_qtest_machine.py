"""The life of a lab machine: how it starts, why it does not, and that it never stays behind."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import qemu_rig
from descriptors import descriptors
from nvme_probe import start

from redbear_host.errors import ConfigError, TransportError
from redbear_host.lab.devices import parse
from redbear_host.lab.machine import Machine
from redbear_host.lab.qmp import QmpRefused

WRITE = 0x01  # opcode (NVM Command Set Specification 1.0, 3.2.6)

OWNER = """
import sys
from pathlib import Path
from redbear_host.lab.devices import parse
from redbear_host.lab.machine import Machine
machine = Machine(parse("nvme:size=1M").arguments(Path(sys.argv[1])))
print(machine.qemu.pid, flush=True)
sys.stdin.read()
"""


def test_qemu_dies_with_its_owner(nvme_machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "owner").mkdir()
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "owner")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with owner:
        assert owner.stdout is not None
        pidfd = os.pidfd_open(int(owner.stdout.readline()))
        owner.send_signal(signal.SIGKILL)
    assert select.select([pidfd], [], [], 10)[0]
    os.close(pidfd)
    assert nvme_machine.qmp.execute("query-status")["running"]


def test_a_machine_that_is_closed_leaves_nothing(tmp_path: Path) -> None:
    qemu_rig.nvme(tmp_path).close()  # the first loads modules, which may keep descriptors
    before = descriptors()
    machine = qemu_rig.nvme(tmp_path)
    pid = machine.qemu.pid
    machine.close()
    machine.close()
    assert descriptors() == before
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_machine_that_was_killed_can_be_closed(tmp_path: Path) -> None:
    with qemu_rig.nvme(tmp_path) as machine:
        machine.kill()
        machine.kill()


def test_writes_are_in_the_image_after_closing(tmp_path: Path) -> None:
    told = parse(f"nvme:file={tmp_path}/disk.img,size=1M").arguments(tmp_path)
    with (
        qemu_rig.machine(told) as machine,
        closing(qemu_rig.opened(machine.functions[0])) as function,
    ):
        queue = start(function).queue_pair(1, vector=0)
        data = function.dma.alloc(512, align=512)
        data.view[:] = b"\x5a" * 512
        queue.submit(WRITE, 1, data.iova, cdw10=8)  # block 8, one block
        assert queue.completed()
        assert queue.take() == 0
    assert (tmp_path / "disk.img").read_bytes()[4096:4608] == b"\x5a" * 512


def test_qemus_own_words_are_in_the_error(nvme_machine: Machine) -> None:
    before = descriptors()
    with pytest.raises(TransportError, match=r"QEMU does not start: .*'floppy-disc'"):
        Machine(["-device", "floppy-disc"])
    assert descriptors() == before
    assert nvme_machine.qmp.execute("query-status")["running"]


def test_an_image_another_machine_uses_is_refused(tmp_path: Path) -> None:
    told = parse(f"nvme:file={tmp_path}/disk.img,size=1M").arguments(tmp_path)
    with qemu_rig.machine(told), pytest.raises(TransportError, match='Failed to get "write" lock'):
        Machine(told)


def test_without_qemu_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="qemu-system-x86_64 is not installed") as caught:
        Machine([])
    assert caught.value.hint == "apt install qemu-system-x86"


def test_a_machine_is_started_by_the_main_thread_only() -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            Machine([])
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


def test_windows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    huge = [
        word for slot in (4, 5) for word in ("-device", f"secondary-vga,addr={slot},vgamem_mb=256")
    ]
    with pytest.raises(ConfigError, match="no 0x10000000 bytes of memory addresses left"):
        qemu_rig.machine(huge)


def test_a_bridge_without_devices_gets_room_for_one_to_be_plugged_in() -> None:
    with qemu_rig.machine(["-device", "pcie-root-port,id=rp,addr=8,chassis=1"]) as machine:
        assert machine.functions == []
        window = machine.topology.config(0, 8, 0).read32(0x20)
        base, limit = (window & 0xFFF0) << 16, window & 0xFFF0_0000 | 0xF_FFFF
        assert limit - base + 1 >= 1 << 20
        assert base >= 0xE000_0000


def test_two_machines_do_not_share_addresses_or_memory(tmp_path: Path) -> None:
    told = [parse(f"nvme:file={tmp_path}/{name}.img,size=1M").arguments(tmp_path) for name in "ab"]
    with (
        qemu_rig.machine(told[0], segment=0x10) as one,
        qemu_rig.machine(told[1], segment=0x11) as two,
        closing(qemu_rig.opened(one.functions[0])) as first,
        closing(qemu_rig.opened(two.functions[0])) as second,
    ):
        assert (first.address, second.address) == ("0010:00:04.0", "0011:00:04.0")
        mine, theirs = first.dma.alloc(4096), second.dma.alloc(4096)
        mine.view[:] = b"\x11" * 4096
        assert bytes(theirs.view) == bytes(4096)


def test_the_monitor_runs_commands_and_shows_refusals(nvme_machine: Machine) -> None:
    assert nvme_machine.qmp.hmp("info name") == ""
    assert "nvme4n1" in nvme_machine.qmp.hmp("info block")
    with pytest.raises(QmpRefused, match="frobnicate"):
        nvme_machine.qmp.execute("frobnicate")
    nvme_machine.qmp.execute("stop")
    assert nvme_machine.qmp.wait_event("STOP")["event"] == "STOP"
    nvme_machine.qmp.execute("cont")
    assert nvme_machine.qmp.execute("query-status")["status"] == "running"


def test_a_machine_starts_where_there_are_many_descriptors(tmp_path: Path) -> None:
    with ExitStack() as held:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 2048 <= hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
            held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1024):
            held.callback(os.close, os.memfd_create("one of many"))
        with closing(Machine(parse("nvme:size=1M").arguments(tmp_path))) as machine:
            assert machine.qemu.pidfd > 1023
