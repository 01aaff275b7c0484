"""The scheme `irq`, mounted: fed by QEMU's `edu`, whose registers raise interrupts, and by nvmed.

Ref: QEMU, docs/specs/edu (7.2).
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from contextlib import closing

import pytest
from kernel_rig import KernelRig
from up_rig import Up

from redbear_host.hw.ports import InterruptKind
from redbear_host.hw.qtest.function import open_function
from redbear_host.lab.machine import Machine

pytestmark = pytest.mark.timeout(120)

STATUS, RAISE, ACKNOWLEDGE = 0x24, 0x60, 0x64  # of edu


class Edu:
    """An edu in a machine of its own, driven here; the scheme knows it as a daemon's."""

    def __init__(self, rig, kind):
        self.machine = Machine(["-device", "edu,addr=4"], segment=0x1AB0)
        held = self.machine.functions[0]
        self.function = open_function(*held.copy())
        self.function.set_bus_master(True)
        (self.fd,) = self.function.enable_interrupts(kind, 1)
        self.window = self.function.bar(0)
        found = held.interrupts(kind, 1)
        note = {"irq": held.address, "kind": kind, "line": 11, "unmasks": found.unmask_fd >= 0}
        fds = [*found.event_fds, *([found.unmask_fd] if note["unmasks"] else [])]
        rig.supervisor.lives.notes.note(f"irq {held.address}", note, fds)

    def raise_one(self):
        self.window.write32(RAISE, 1)
        assert self.window.read32(STATUS) == 1

    def quiet(self):
        self.window.write32(ACKNOWLEDGE, 1)
        assert self.window.read32(STATUS) == 0

    def close(self):
        self.function.close()
        self.machine.close()


@pytest.fixture
def rig(tmp_path):
    with KernelRig(tmp_path, "irq") as rig:
        yield rig


def irq(rig, name):
    """Open an interrupt once the kernel daemon has heard of it."""
    deadline = time.monotonic() + 10
    while not (rig.mount / "irq" / name).exists():
        assert time.monotonic() < deadline, os.listdir(rig.mount / "irq/cpu-00")
        time.sleep(0.005)
    return os.open(rig.mount / "irq" / name, os.O_RDWR)


def count(fd):
    return int.from_bytes(os.read(fd, 8), "little")


def test_every_message_interrupt_is_counted_and_is_an_event(rig):
    with closing(Edu(rig, InterruptKind.MSI)) as edu:
        fd = irq(rig, "cpu-00/16")
        assert os.read(fd, 8) == b""
        for number in range(1, 101):
            edu.raise_one()
            assert select.select([fd], [], [], 10)[0], number
            assert count(fd) == number
            edu.quiet()
            assert os.write(fd, number.to_bytes(8, "little")) == 8
            assert not select.select([fd], [], [], 0)[0]
        assert rig.shell("cat irq/devices") == b"16 1ab0:00:04.0 msi 0 100\n"
        os.close(fd)


def test_a_line_stays_masked_until_its_interrupt_is_acknowledged(rig):
    with closing(Edu(rig, InterruptKind.INTX)) as edu:
        fd = irq(rig, "11")
        edu.raise_one()
        assert select.select([fd], [], [], 10)[0]
        assert count(fd) == 1
        edu.quiet()
        edu.raise_one()  # and holds the line, which is masked
        assert os.write(fd, (2).to_bytes(8, "little")) == 0, "that count has not been yet"
        time.sleep(0.05)  # nothing can be waited for: nothing must come
        assert count(fd) == 1
        assert os.write(fd, (1).to_bytes(8, "little")) == 8
        assert select.select([fd], [], [], 10)[0], "the line fires again once it is unmasked"
        assert count(fd) == 2
        edu.quiet()
        os.write(fd, (2).to_bytes(8, "little"))
        assert os.read(fd, 8) == b""
        os.close(fd)


def test_the_daemon_that_waits_for_the_same_interrupt_misses_none(rig):
    """Who reads an eventfd resets it, and another who waits for it never hears of it."""
    with closing(Edu(rig, InterruptKind.MSI)) as edu, select.epoll() as daemon:
        fd = irq(rig, "cpu-00/16")
        daemon.register(edu.fd, select.EPOLLIN | select.EPOLLET)
        daemon.poll(0)
        for number in range(1, 201):
            edu.raise_one()
            assert daemon.poll(10), number
            assert count(fd) == number
            edu.quiet()
        os.close(fd)


def test_it_is_roots(rig):
    argv = ["setpriv", "--reuid", "65534", "--clear-groups", "ls", "irq"]
    done = subprocess.run(
        argv, cwd=rig.mount, capture_output=True, text=True, timeout=20, check=False
    )
    assert "Permission denied" in done.stderr
    assert rig.shell("od -An -tu8 irq/bsp").strip().isdigit()


def test_an_ssd_under_io_counts_and_its_numbers_survive_both_daemons(tmp_path):
    with Up(tmp_path, "--lab", "nvme:size=16M") as up:
        disk = up.disk / "1"
        devices = up.mount / "irq/devices"

        def counts():
            return {
                line.split()[0]: int(line.split()[4])
                for line in devices.read_text().split("\n")
                if line
            }

        def read_disk():
            done = subprocess.run(
                ["dd", f"if={disk}", "of=/dev/null", "bs=64k", "count=64", "status=none"],
                timeout=30,
            )
            assert done.returncode == 0

        read_disk()
        before = counts()
        assert {line.split()[2] for line in devices.read_text().splitlines()} == {"msix"}
        read_disk()
        after = counts()
        assert after.keys() == before.keys()
        assert sum(after.values()) >= sum(before.values()) + 8
        for daemon in ("nvmed", "kernel"):
            up.kill(daemon)
            read_disk()
            deadline = time.monotonic() + 10  # it serves first, and is told of devices then
            while counts().keys() != before.keys():
                assert time.monotonic() < deadline, (daemon, counts(), up.log("kernel"))
                time.sleep(0.01)
