"""Devices that fail, hang and leave, below a supervised nvmed and ordinary programs."""

from __future__ import annotations

import errno
import json
import os
import time

import pytest
import qemu_rig
from background import in_thread
from hosted import Hosted

pytestmark = pytest.mark.timeout(120)

MIB = 1 << 20
NAME = "disk.pci-0000-00-04.0-nvme"


class Served(Hosted):
    """nvmed on a disk with that image."""

    def __init__(self, folder, blockdev):
        machine = qemu_rig.machine(
            [
                *("-object", "throttle-group,id=tg"),
                *("-blockdev", json.dumps(blockdev)),
                *("-device", "nvme,serial=F,drive=d0,addr=4"),
            ]
        )
        options = {"queues": 1, "depth": 64, "timeout_ms": 1000, "quick": True}
        super().__init__(folder, machine, "nvmed", NAME, options)
        self.disk = self.mount / NAME / "1"

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
