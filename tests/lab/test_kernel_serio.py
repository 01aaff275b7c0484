"""The scheme `serio`, mounted: what QMP types comes out as the bytes of a PS/2 keyboard."""

from __future__ import annotations

import os
import select
import subprocess
import time

import pytest
from kernel_rig import KernelRig

from redbear_host.lab.machine import Machine

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def rig(tmp_path):
    with KernelRig(tmp_path, "serio") as rig:
        yield rig


@pytest.fixture
def machine(rig):
    with Machine([]) as machine:
        rig.supervisor.lives.notes.note("serio", *machine.serio_grant())
        yield machine


def heard(fd, count):
    """Read until `count` bytes have come."""
    data = b""
    while len(data) < count:
        assert select.select([fd], [], [], 10)[0], data.hex(" ")
        data += os.read(fd, count - len(data))
    return data


def until_heard(rig, machine):
    """Press a key until the scheme has taken the controller over; return the open keyboard."""
    fd = os.open(rig.mount / "serio/0", os.O_RDONLY)
    for _ in range(100):
        press(machine, "spc")
        if select.select([fd], [], [], 0.2)[0]:
            press(
                machine, "f1"
            )  # the last to come, whatever was pressed before the first was heard
            data = b""
            while not data.endswith(b"\x3b\xbb"):
                data += heard(fd, 1)
            return fd
    raise AssertionError(rig.log.read_text())


def press(machine, *keys):
    names = [{"type": "qcode", "data": key} for key in keys]
    machine.qmp.execute("send-key", {"keys": names, "hold-time": 1})


@pytest.mark.parametrize(
    ("keys", "codes"),
    [
        (("a",), "1e 9e"),
        (("shift", "b"), "2a 30 b0 aa"),
        (("up",), "e0 48 e0 c8"),
        (("ctrl_r", "f12"), "e0 1d 58 d8 e0 9d"),
    ],
)
def test_a_key_typed_into_qemu_is_these_bytes(rig, machine, keys, codes):
    fd = until_heard(rig, machine)
    press(machine, *keys)
    assert heard(fd, len(bytes.fromhex(codes))).hex(" ") == codes
    assert not select.select([fd], [], [], 0.05)[0]
    os.close(fd)


def test_a_mouse_that_moves_and_clicks(rig, machine):
    keyboard = until_heard(rig, machine)
    fd = os.open(rig.mount / "serio/1", os.O_RDONLY)
    move = [
        {"type": "rel", "data": {"axis": axis, "value": way}} for axis, way in (("x", 5), ("y", -3))
    ]
    machine.qmp.execute("input-send-event", {"events": move})
    assert heard(fd, 3).hex(" ") == "08 05 03"
    click = {"type": "btn", "data": {"down": True, "button": "left"}}
    machine.qmp.execute("input-send-event", {"events": [click]})
    assert heard(fd, 3).hex(" ") == "09 00 00"
    assert not select.select([keyboard], [], [], 0)[0]
    os.close(fd)
    os.close(keyboard)


def test_many_keys_come_in_order_and_none_is_lost(rig, machine):
    fd = until_heard(rig, machine)
    for _ in range(20):
        press(machine, "q")
        press(machine, "w")
        assert heard(fd, 4).hex() == "10901191"
    os.close(fd)


def test_ports_are_roots_and_wait(rig):
    assert rig.shell("ls serio") == b"0\n1\n"
    argv = ["setpriv", "--reuid", "65534", "--clear-groups", "cat", "serio/0"]
    done = subprocess.run(
        argv, cwd=rig.mount, capture_output=True, text=True, timeout=20, check=False
    )
    assert "Operation not permitted" in done.stderr
    idle = subprocess.run(["timeout", "0.5", "cat", "serio/1"], cwd=rig.mount, check=False)
    assert idle.returncode == 124


def test_a_machine_that_has_ended_hurts_nobody(rig):
    with Machine([]) as machine:
        machine.kill()
        rig.supervisor.lives.notes.note("serio", *machine.serio_grant())
        assert rig.shell("ls serio") == b"0\n1\n"
        deadline = time.monotonic() + 10
        while "cannot be had" not in rig.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert rig.shell("ls serio") == b"0\n1\n"
