"""The kernel's schemes where Linux has input devices, /dev/mem and a clock that may be set."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import time

import pytest
from guest_machine import WITHIN
from kernel_rig import KernelRig

pytestmark = pytest.mark.timeout(120)

# linux/uinput.h
UI_DEV_CREATE = 0x5501
UI_SET_EVBIT, UI_SET_KEYBIT, UI_SET_RELBIT = (0x40045564 + n for n in range(3))
EV_SYN, EV_KEY, EV_REL = 0, 1, 2


class Input:
    """A device of the test's own, made with uinput."""

    def __init__(self, name, keys, axes=()):
        self.fd = os.open("/dev/uinput", os.O_WRONLY)
        for kind in (EV_KEY, *([EV_REL] if axes else [])):
            fcntl.ioctl(self.fd, UI_SET_EVBIT, kind)
        for key in keys:
            fcntl.ioctl(self.fd, UI_SET_KEYBIT, key)
        for axis in axes:
            fcntl.ioctl(self.fd, UI_SET_RELBIT, axis)
        os.write(self.fd, struct.pack("80sHHHHI256i", name, 6, 1, 1, 1, 0, *[0] * 256))
        before = set(os.listdir("/dev/input"))
        fcntl.ioctl(self.fd, UI_DEV_CREATE)
        deadline = time.monotonic() + WITHIN
        while set(os.listdir("/dev/input")) == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def say(self, *events):
        for event in (*events, (EV_SYN, 0, 0)):
            os.write(self.fd, struct.pack("qqHHi", 0, 0, *event))

    def close(self):
        os.close(self.fd)


@pytest.fixture
def rig(tmp_path):
    with KernelRig(tmp_path, "memory", "serio", "time") as rig:
        yield rig


def heard(fd, count):
    data = b""
    while len(data) < count:
        assert select.select([fd], [], [], WITHIN)[0], data.hex(" ")
        data += os.read(fd, count - len(data))
    return data.hex(" ")


def test_keys_and_motion_of_linux_come_as_ps2_bytes(rig):
    subprocess.run(["modprobe", "uinput"], check=True)
    subprocess.run(["modprobe", "evdev"], check=True)
    keyboard = Input(b"keys", range(1, 128))
    mouse = Input(b"mouse", (0x110, 0x111, 0x112), (0, 1))
    keys = os.open(rig.mount / "serio/0", os.O_RDONLY)
    moves = os.open(rig.mount / "serio/1", os.O_RDONLY)
    for key in (30, 103):
        keyboard.say((EV_KEY, key, 1))
        keyboard.say((EV_KEY, key, 0))
    assert heard(keys, 6) == "1e 9e e0 48 e0 c8"
    mouse.say((EV_REL, 0, 5), (EV_REL, 1, -3))
    mouse.say((EV_KEY, 0x110, 1))
    assert heard(moves, 6) == "08 05 03 09 00 00"
    mouse.close()  # unplugged
    keyboard.say((EV_KEY, 1, 1))
    assert heard(keys, 1) == "01"
    again = Input(b"mouse", (0x110, 0x111, 0x112), (0, 1))
    os.close(os.open(rig.mount / "serio/1", os.O_RDONLY))  # an open looks for what is new
    again.say((EV_REL, 0, 1))
    # Linux releases the button that was down when the mouse went.
    assert heard(moves, 6) == "08 00 00 08 01 00"
    for device in (keyboard, again):
        device.close()
    os.close(keys)
    os.close(moves)


def test_physical_memory_is_what_the_kernel_lets_us_see(rig):
    fd = os.open(rig.mount / "memory/physical@uc", os.O_RDONLY)
    assert os.pread(fd, 2, 0xFFFF0 + 14) != b"", "the BIOS, which x86 lets anyone map"
    refused = b""
    with open("/proc/iomem") as ranges:
        ram = [line.split("-")[0] for line in ranges if "System RAM" in line][-1]
    try:
        refused = os.pread(fd, 4096, int(ram, 16))
    except PermissionError:
        assert "cannot be read" in rig.log.read_text()
    else:
        assert not any(refused), "CONFIG_STRICT_DEVMEM shows RAM as zeros or not at all"
    os.close(fd)


def test_a_deadline_on_the_wall_clock_follows_the_clock(rig):
    fd = os.open(rig.mount / "time/1/timer", os.O_RDWR)
    due = time.time() + 3600
    os.write(fd, struct.pack("<qi4x", *divmod(int(due * 1e9), 10**9)))
    assert not select.select([fd], [], [], 0.2)[0]
    now = time.time()
    began = time.monotonic()
    time.clock_settime(time.CLOCK_REALTIME, due + 1)
    try:
        assert select.select([fd], [], [], WITHIN)[0]
    finally:
        time.clock_settime(time.CLOCK_REALTIME, now + time.monotonic() - began)
    os.close(fd)
