"""QEMU's keyboard and mouse, `serio`, ps2d and inputd: from a key pressed by QMP to a consumer."""

from __future__ import annotations

import os
import select
import signal
import struct
import time
from dataclasses import replace

from kernel_rig import KernelRig

from redbear_host import config
from redbear_host.cli.base import base_services
from redbear_host.lab.machine import Machine
from redbear_host.manifest import installed

EVENT = struct.Struct("<qqq")
NAMES = ("inputd", "ps2d")
SHIFT, CTRL = 0x2A, 0x1D


class KeyboardRig(KernelRig):
    """`with KeyboardRig(tmp_path) as rig`; `rig.machine.qmp` types, `rig.consumer()` listens."""

    def __init__(self, folder):
        super().__init__(folder, "serio")
        base = config.merge(config.Config(), mount=self.mount, run_dir=folder / "run")
        wanted = config.merge(base, daemons={"ps2d": {}})
        wanted.check(installed())
        self.services = [
            replace(service, lazy=False)
            for service in base_services(wanted)
            if service.name in NAMES
        ]

    def __enter__(self):
        super().__enter__()
        try:
            self.machine = Machine([])
            self.supervisor.lives.notes.note("serio", *self.machine.serio_grant())
            self.inputd, self.ps2d = self.supervisor.start(*self.services)
            self.await_log("ps2d", "the mouse has a wheel")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        super().__exit__()
        self.machine.close()

    def log_of(self, name):
        return (self.log.parent / f"{name}.log").read_text()

    def await_log(self, name, text, times=1):
        deadline = time.monotonic() + 20
        while self.log_of(name).count(text) < times:
            assert time.monotonic() < deadline, self.log_of(name) + self.log.read_text()
            self.supervisor.loop.at(self.supervisor.loop.now() + 0.01, lambda: None)
            self.supervisor.loop.run_round()

    def kill(self, running):
        """Kill a daemon, wait until its successor is ready; return seconds."""
        began, life = time.monotonic(), running.life
        os.kill(running.pid, signal.SIGKILL)
        self.supervisor.loop.run_until(
            lambda: running.life > life and running.state.value == "ready", 20
        )
        assert running.life == life + 1, self.log_of(running.service.name)
        return time.monotonic() - began

    def consumer(self):
        return os.open(self.mount / "input/consumer", os.O_RDONLY | os.O_NONBLOCK)

    def press(self, *keys):
        names = [{"type": "qcode", "data": key} for key in keys]
        self.machine.qmp.execute("send-key", {"keys": names, "hold-time": 1})

    def event(self, kind, **data):
        self.machine.qmp.execute("input-send-event", {"events": [{"type": kind, "data": data}]})

    def key(self, key, down):
        self.event("key", down=down, key={"type": "qcode", "data": key})


def heard(fd, count):
    """Read until `count` records have come; return them as hexadecimal triples."""
    data = b""
    while len(data) < count * EVENT.size:
        assert select.select([fd], [], [], 10)[0], data.hex(" ", 8)
        data += os.read(fd, (count * EVENT.size) - len(data))
    return list(EVENT.iter_unpack(data))


def silent(fd, within=0.1):
    return not select.select([fd], [], [], within)[0]
