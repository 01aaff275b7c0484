"""The contract of `PciFunction` on a real vfio-pci, and what only VFIO has."""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from function_suite import NOT_RUNG, FunctionSuite
from guest_machine import ARENA, SSD, WITHIN, VfioRig, wait_for
from nvme_probe import CSTS, IDENTIFY, rang, start, start_with

from kernel_shim.host import MACHINE
from kernel_shim.schemes.interrupts import signals
from redbear_host.errors import ConfigError, TransportError
from redbear_host.hw.pci.header import COMMAND
from redbear_host.hw.ports import InterruptKind
from redbear_host.hw.vfio import Claim, open_function
from redbear_host.hw.vfio.window import MappedWindow


class TestFunction(FunctionSuite):
    """See tests/contract/function_suite.py."""


def test_the_kernel_is_asked_to_stop_a_dead_daemons_device(rig: VfioRig) -> None:
    with closing(rig.open()) as function:
        start_with(function, InterruptKind.MSIX)
        rig.claim.quiesce()
        assert function.config.read16(COMMAND) & 4 == 0


def test_two_claims_of_one_function_cannot_be(rig: VfioRig) -> None:
    with pytest.raises(TransportError, match="held by another program") as caught:
        Claim(SSD, ARENA)
    assert "fuser" in caught.value.hint


def test_an_arena_cannot_be_shortened_under_the_device(rig: VfioRig) -> None:
    arena_fd = rig.claim.grant()[1][1]
    for size in (0, 2 * ARENA):
        with pytest.raises(PermissionError):
            os.ftruncate(arena_fd, size)


def test_the_device_reaches_its_arena_and_nothing_else(rig: VfioRig) -> None:
    with closing(rig.open()) as function:
        controller = start(function)
        # QEMU's model does not notice that its write went nowhere; the IOMMU says so.
        controller.admin.submit(IDENTIFY, 0, 0x7_0000_0000, cdw10=1)
        assert controller.admin.completed()
        controller.admin.take()
        wait_for(lambda: f"[{SSD[5:]}] fault addr 0x700000000" in kernel_log())
        controller.identify()
        assert controller.admin.completed()
        assert controller.admin.take() == 0


def test_an_arena_that_may_not_be_locked_is_explained(bound: str) -> None:
    # Without CAP_IPC_LOCK, and with 1 MiB allowed.
    script = f"""
import resource
from redbear_host.hw.vfio import Claim
resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, 1 << 20))
Claim({bound!r}, 4 << 20)
"""
    drop = ["setpriv", "--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock"]
    done = subprocess.run(
        [*drop, sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert "needs 4096 KiB of locked memory; 1024 KiB is allowed" in done.stderr, done.stderr


def test_a_bad_grant_is_no_crash(rig: VfioRig) -> None:
    grant, fds = rig.claim.grant()
    for broken in ({}, grant | {"device_fd": 9}, grant | {"arena_fd": None}):
        with pytest.raises(TransportError, match="not a grant"):
            open_function(broken, [])
    with pytest.raises(TransportError, match="cannot map the DMA arena"):
        open_function(grant | {"arena_size": 1 << 40}, [os.dup(fd) for fd in fds])
    with pytest.raises(TransportError, match="cannot ask VFIO"):
        open_function(grant, [os.memfd_create("no device"), *(os.dup(fd) for fd in fds[1:])])


def test_no_vector_more_than_the_host_has_is_promised(rig: VfioRig) -> None:
    with closing(rig.open()) as function:
        assert function.interrupts.msix >= 3
        fds = function.enable_interrupts(InterruptKind.MSIX, function.interrupts.msix)
        assert len(set(fds)) == function.interrupts.msix


def test_an_eventfd_unmasks_the_line_for_who_has_no_part_in_the_device(rig: VfioRig) -> None:
    held = rig.claim.interrupts(InterruptKind.INTX, 1)
    with closing(rig.open()) as function:
        controller, (fd,) = start_with(function, InterruptKind.INTX)
        controller.identify()
        assert rang(fd)
        controller.identify()
        assert not rang(fd, NOT_RUNG)
        os.eventfd_write(held.unmask_fd, 1)
        assert rang(fd), "the device still holds the line"
        for _ in range(2):
            assert controller.admin.completed()
            assert controller.admin.take() == 0
        os.eventfd_write(held.unmask_fd, 1)
        assert not rang(fd, NOT_RUNG)


def test_the_eventfds_of_the_vectors_are_the_claims_and_outlive_daemons(rig: VfioRig) -> None:
    held = rig.claim.interrupts(InterruptKind.MSIX, 1).event_fds
    for _ in range(2):
        with closing(rig.open()) as function:
            controller, (fd,) = start_with(function, InterruptKind.MSIX)
            controller.identify()
            assert controller.admin.completed()
            assert controller.admin.take() == 0
            assert select.select([fd], [], [], WITHIN)[0]
            assert signals(held[0]) == signals(fd) > 0


CHILD = """
import json, os, socket, sys
sys.path.insert(0, "tests/contract")
from nvme_probe import leave_running, start
from redbear_host.hw.vfio import open_function

control = socket.socket(fileno=int(sys.argv[1]))
message, fds, _, _ = socket.recv_fds(control, 65536, 64)
function = open_function(json.loads(message), fds)
controller = start(function)
controller.identify()
assert controller.admin.completed() and controller.admin.take() == 0
control.send(bytes(controller.answer.view[4:24]))
leave_running(function)
control.send(b"running")
control.recv(1)  # until it is killed
"""


def test_a_grant_goes_to_a_child_and_after_its_death_to_the_next(rig: VfioRig) -> None:
    grant, fds = rig.claim.grant()
    serials = []
    for _ in range(2):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with (
            ours,
            subprocess.Popen(
                [sys.executable, "-c", CHILD, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            ) as child,
        ):
            theirs.close()
            ours.settimeout(60)
            socket.send_fds(ours, [json.dumps(grant).encode()], fds)
            serials.append(ours.recv(64))
            assert ours.recv(64) == b"running"
            os.kill(child.pid, signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL
        rig.claim.quiesce()
    assert serials == [b"REDBEAR-NVME        "] * 2


def test_a_driver_is_told_when_the_kernel_wants_the_device_back(rig: VfioRig) -> None:
    with closing(rig.open()) as function:
        assert not function.gone
        with pytest.raises(TimeoutError):
            MACHINE.write(MACHINE.folder(SSD) / "driver/unbind", SSD, within=0.2)
        assert select.select([function.gone_fd], [], [], WITHIN)[0]
        assert function.gone
    rig.claim.release()
    wait_for(lambda: not MACHINE.driver(SSD))
    # The override stands: it is vfio-pci again.
    MACHINE.write(MACHINE.sys / "bus/pci/drivers_probe", SSD, within=WITHIN)
    assert MACHINE.driver(SSD) == "vfio-pci"


def test_a_function_without_an_iommu_group_is_not_opened() -> None:
    with pytest.raises(ConfigError, match="is in no IOMMU group"):
        Claim("0000:00:1e.7", ARENA)


# -- figures, printed with `-s`: emulation flatters what needs no system call


def kernel_log() -> str:
    return subprocess.run(["dmesg"], capture_output=True, text=True, check=True, timeout=20).stdout


def timed(what: str, action: Callable[[], object], times: int) -> float:
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(times):
            action()
        rounds.append((time.perf_counter() - began) / times)
    seconds = min(rounds)
    print(f"\n{what}: {seconds * 1e6:.2f} µs", end="")
    return seconds


def test_a_register_access_costs_little_more_than_a_load(rig: VfioRig) -> None:
    with closing(rig.open()) as function:
        bar = function.bar(0)
        assert isinstance(bar, MappedWindow)
        registers = memoryview(bar._memory).cast("I")
        bare = timed("bare memoryview read", lambda: registers[CSTS // 4], 4000)
        port = timed("Mmio.read32", lambda: bar.read32(CSTS), 4000)
        plain = MappedWindow(mmap.mmap(-1, 4096), 4096)
        timed("Mmio.read32 of plain memory", lambda: plain.read32(CSTS), 4000)
        timed("config.read16", lambda: function.config.read16(0), 400)
        registers.release()
        assert port < 3 * bare
        plain.close()


def test_a_claimed_function_identifies_at_once(bound: str) -> None:
    began = time.perf_counter()
    claim = Claim(bound, ARENA)
    claimed = time.perf_counter()
    grant, fds = claim.grant()
    with closing(open_function(grant, [os.dup(fd) for fd in fds])) as function:
        opened = time.perf_counter()
        controller = start(function)
        controller.identify()
        assert controller.admin.completed()
        identified = time.perf_counter()
    claim.release()
    for what, seconds in (
        (f"claim with {ARENA >> 20} MiB", claimed - began),
        ("open", opened - claimed),
        ("start and Identify", identified - opened),
    ):
        print(f"\n{what}: {seconds * 1e3:.1f} ms", end="")
    assert identified - began < 10
