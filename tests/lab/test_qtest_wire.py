"""The conversation with a real QEMU when its user is killed in the middle of it."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import qemu_rig

from redbear_host.errors import Gone, TransportError
from redbear_host.hw.ports import PciFunction
from redbear_host.hw.qtest import open_function
from redbear_host.lab.machine import Machine

VS, AQA = 0x08, 0x24
CHILD = Path(__file__).with_name("qtest_child.py")


def killed_in_mid_request(machine: Machine, rounds: int) -> None:
    """Let a child talk to the device and kill it after `rounds` signs of life."""
    grant, fds = machine.functions[0].grant()
    arguments = [sys.executable, str(CHILD), json.dumps(grant), json.dumps(fds)]
    with subprocess.Popen(arguments, pass_fds=fds, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        for _ in range(rounds):
            assert child.stdout.readline() == b".\n"
        child.kill()
    assert child.returncode == -signal.SIGKILL


def test_a_successor_gets_right_answers_after_each_of_many_kills(nvme_machine: Machine) -> None:
    for rounds in range(8):
        killed_in_mid_request(nvme_machine, rounds)
        with closing(qemu_rig.opened(nvme_machine.functions[0])) as function:
            bar = function.bar(0)
            for value in range(100):
                bar.write32(AQA, value << 16 | value)
                assert bar.read32(AQA) == value << 16 | value
            assert bar.read32(VS) == 0x0001_0400


def test_the_machines_owner_can_quiesce_after_a_kill(nvme_machine: Machine) -> None:
    function = nvme_machine.functions[0]
    with closing(qemu_rig.opened(function)) as opened:
        opened.set_bus_master(True)
    killed_in_mid_request(nvme_machine, 3)
    function.quiesce()
    image = function.config_image()
    assert struct.unpack_from("<HH", image) == (function.ids.vendor, function.ids.device)
    assert image[4] & 4 == 0  # bus mastering is off
    with closing(qemu_rig.opened(function)) as opened:
        assert opened.bar(0).read32(VS) == 0x0001_0400


def test_half_an_answer_is_no_answer(nvme_machine: Machine) -> None:
    grant, fds = nvme_machine.functions[0].copy()
    talk = socket.socket(fileno=fds[grant["socket_fd"]])
    for _ in range(50):
        talk.sendall(b"readq 0x%x\n" % grant["bars"][0][1])
    assert talk.recv(7) == b"OK 0x00"
    fds[grant["socket_fd"]] = talk.detach()
    with closing(open_function(grant, fds)) as function:
        assert function.bar(0).read32(VS) == 0x0001_0400


def test_the_same_wire_serves_thousands_of_posted_writes(nvme_function: PciFunction) -> None:
    bar = nvme_function.bar(0)
    for value in range(5000):
        bar.write32(AQA, value & 0xFFF)
    assert bar.read32(AQA) == 4999 & 0xFFF


def test_a_machine_that_has_ended_cannot_be_opened(nvme_machine: Machine) -> None:
    nvme_machine.kill()
    with pytest.raises(Gone):
        qemu_rig.opened(nvme_machine.functions[0])
    nvme_machine.functions[0].quiesce()


def test_a_grant_that_is_not_whole_is_refused_by_what_is_missing(nvme_machine: Machine) -> None:
    grant, fds = nvme_machine.functions[0].grant()
    with pytest.raises(TransportError, match="'ecam'"):
        open_function({key: grant[key] for key in grant if key != "ecam"}, fds)
    with pytest.raises(TransportError, match="'vfio' is not for qtest"):
        open_function(grant | {"machine": "vfio"}, fds)
    with pytest.raises(TransportError, match="not complete"):
        open_function(grant, fds[:2])
