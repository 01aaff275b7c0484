"""Devices that fail, hang and leave, below a supervised nvmed and ordinary programs."""

from __future__ import annotations

import errno
import json
import os
import threading
import time

import pytest
import qemu_rig
from background import in_thread

from kernel_shim.rundir import RunDir
from kernel_shim.service import Service
from kernel_shim.supervisor import Supervisor

pytestmark = pytest.mark.timeout(120)

MIB = 1 << 20
NAME = "disk.pci-0000-00-04.0-nvme"


class Served:
    """nvmed on a machine of the test's own making, under a supervisor in a thread."""

    def __init__(self, tmp_path, blockdev):
        self.machine = qemu_rig.machine(
            [
                "-object",
                "throttle-group,id=tg",
                "-blockdev",
                json.dumps(blockdev),
                "-device",
                "nvme,serial=F,drive=d0,addr=4",
            ]
        )
        self.supervisor = Supervisor(RunDir(tmp_path / "run"), tmp_path / "scheme")
        self.log = tmp_path / "run" / "log" / "nvmed.log"
        self.disk = tmp_path / "scheme" / NAME / "1"
        self.supervisor.open()
        self.supervisor.hold(self.machine.functions[0].address).keep(self.machine.functions[0])
        (self.running,) = self.supervisor.start(
            Service(
                name="nvmed",
                module="daemons.nvmed",
                schemes=(NAME,),
                device=self.machine.functions[0],
                options={"queues": 1, "depth": 64, "timeout_ms": 1000, "quick": True},
            )
        )
        self._stop = False
        self._thread = threading.Thread(target=self._supervise)
        self._thread.start()

    def _supervise(self):
        loop = self.supervisor.loop
        while not self._stop:
            timer = loop.at(loop.now() + 0.05, lambda: None)
            loop.run_round()
            timer.cancel()

    def close(self):
        self._stop = True
        self._thread.join(20)
        self.supervisor.close()

    def said(self, words, within=20.0):
        deadline = time.monotonic() + within
        while words not in self.log.read_text():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)

    def cpu(self):
        """Seconds of processor time nvmed has used."""
        with open(f"/proc/{self.running.pid}/stat") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def served(tmp_path, request):
    image = tmp_path / "disk.img"
    image.write_bytes(os.urandom(16 * MIB))
    rules = getattr(request, "param", [])
    file = {"driver": "file", "filename": str(image)}
    debug = {"driver": "blkdebug", "image": file} | ({"inject-error": rules} if rules else {})
    lower = {"driver": "raw", "file": debug}
    top = {"driver": "throttle", "node-name": "d0", "throttle-group": "tg", "file": lower}
    made = Served(tmp_path, top)
    made.image = image
    yield made
    made.close()


READ_ERROR = [{"event": "read_aio", "errno": 5, "sector": 800, "once": False}]


@pytest.mark.parametrize("served", [READ_ERROR], indirect=True)
def test_a_medium_error_is_eio_for_that_request_only(served):
    with open(served.disk, "rb", buffering=0) as file:
        whole = served.image.read_bytes()
        assert os.pread(file.fileno(), 4096, 0) == whole[:4096]
        for _ in range(3):
            with pytest.raises(OSError, match="Input/output error"):
                os.pread(file.fileno(), 4096, 800 * 512)
            assert os.pread(file.fileno(), 4096, 808 * 512) == whole[808 * 512 : 816 * 512]
    served.said("failed: UNRECOVERED_READ_ERROR")
    assert served.running.life == 1


def test_commands_that_take_too_long_climb_the_ladder_and_later_io_works(served):
    """QEMU completes one command a second: most are late, are aborted, and a reset follows.

    (A request that blkdebug holds would not do here: QEMU waits for it inside the reset.)
    """
    whole = served.image.read_bytes()
    slow = {"iops-total": 1, "iops-total-max": 1, "iops-total-max-length": 1}
    fast = {"iops-total": 0, "iops-total-max": 0, "iops-total-max-length": 1}
    limits = {"path": "/objects/tg", "property": "limits"}
    with open(served.disk, "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 512, 0) == whole[:512]
        served.machine.qmp.execute("qom-set", limits | {"value": slow})
        reads = [
            (at, in_thread(lambda at=at: os.pread(file.fileno(), 4096, at)))
            for at in range(4096, 9 * 4096, 4096)
        ]
        served.said("aborting it")
        served.said("resetting it")
        served.machine.qmp.execute("qom-set", limits | {"value": fast})
        outcomes = [(at, outcome()) for at, outcome in reads]
        for at, got in outcomes:
            if isinstance(got, OSError):
                assert got.errno == errno.EIO
            else:
                assert got == whole[at : at + 4096]
        assert os.pread(file.fileno(), 65536, 8192) == whole[8192 : 8192 + 65536]
    served.said("works again")
    assert served.running.life == 1


def test_a_device_that_leaves_gives_clear_errors_and_the_daemon_idles(served):
    with open(served.disk, "r+b", buffering=0) as file:
        os.pread(file.fileno(), 4096, 0)
        served.machine.kill()
        for _ in range(3):
            with pytest.raises(OSError, match=r"No such device|Input/output error"):
                os.pread(file.fileno(), 4096, 0)
            with pytest.raises(OSError, match=r"No such device|Input/output error"):
                os.pwrite(file.fileno(), bytes(4096), 0)
    served.said("has left")
    assert os.stat(served.disk).st_size == 16 * MIB
    before, began = served.cpu(), time.monotonic()
    time.sleep(1.0)  # measures idleness: there is nothing to wait for
    assert served.cpu() - before < 0.2 * (time.monotonic() - began)
    assert served.running.life == 1
