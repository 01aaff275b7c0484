"""The kernel's schemes in a whole instance: its terminal, its successors, and daemons that lie."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time

import pytest
from kernel_rig import KernelRig
from up_rig import COMMAND, Up

from redbear_host.hw.ports import InterruptFds

pytestmark = pytest.mark.timeout(120)


def shown(fd, text, within=60.0):
    """Read a terminal until it shows `text`."""
    deadline, data = time.monotonic() + within, b""
    while text not in data:
        assert time.monotonic() < deadline, data.decode(errors="replace")
        if select.select([fd], [], [], 0.5)[0]:
            data += os.read(fd, 4096)
    return data


def test_the_terminal_of_up_is_the_console(tmp_path):
    ours, theirs = pty.openpty()
    where = ["--mount", str(tmp_path / "scheme"), "--run-dir", str(tmp_path / "run")]
    with subprocess.Popen(
        [*COMMAND, "up", *where], stdin=theirs, stdout=theirs, stderr=theirs
    ) as up:
        try:
            shown(ours, b"press Ctrl-C")
            debug = tmp_path / "scheme/debug"
            debug.write_text("hi there\n")
            shown(ours, b"hi there\r\n")
            with subprocess.Popen(["head", "-n1", debug], stdout=subprocess.PIPE) as head:
                os.write(ours, b"typed\n")
                assert head.communicate(timeout=20)[0] == b"typed\n"
            with subprocess.Popen(["tail", "-n1", tmp_path / "scheme/sys/log"], stdout=-1) as tail:
                assert tail.communicate(timeout=20)[0] == b"hi there\n"
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(60)
        assert up.returncode == 0
    os.close(ours)
    os.close(theirs)


def test_a_successor_of_the_kernel_daemon_serves_what_can_go_on(tmp_path):
    with Up(tmp_path) as up:
        clock = os.open(up.mount / "time/4/gettime", os.O_RDONLY)
        lost = [
            os.open(up.mount / name, os.O_RDWR)
            for name in ("event/queue", "time/4/timer", "itimer/4")
        ]
        lost.append(os.open(up.mount / "pipe/a", os.O_RDONLY))
        up.kill("kernel")
        assert len(os.read(clock, 16)) == 16
        for fd in lost:
            with pytest.raises(OSError, match="Input/output error"):
                os.read(fd, 32)
        assert os.listdir(up.mount / "pipe") == []
        for fd in (clock, *lost):
            os.close(fd)
        (up.mount / "debug").write_text("again\n")
        assert "again" in up.log("kernel")


class Card:
    """A device with one eventfd."""

    address = "0000:0f:04.0"

    def __init__(self):
        self.fd = os.eventfd(0, os.EFD_NONBLOCK)

    def interrupts(self, kind, count):
        return InterruptFds([self.fd][:count])


@pytest.mark.parametrize(
    "said",
    [
        {"interrupts": "msix"},
        {"interrupts": "magic", "vectors": 1, "line": 0},
        {"interrupts": ["msix"], "vectors": 1, "line": 0},
        {"interrupts": "msix", "vectors": "1", "line": 0},
        {"interrupts": "msix", "vectors": 1, "line": None},
    ],
)
def test_a_daemon_that_lies_about_interrupts_is_not_believed(tmp_path, caplog, said):
    with KernelRig(tmp_path, "irq") as rig:
        rig.supervisor.lives.notes.note_interrupts(Card(), said)
        assert "makes no sense" in caplog.text
        assert rig.shell("cat irq/devices") == b""


def test_a_daemon_that_claims_too_many_or_too_few_vectors_gets_those_there_are(tmp_path):
    with KernelRig(tmp_path, "irq") as rig:
        for count, lines in ((1 << 40, 1), (-5, 0)):
            said = {"interrupts": "msix", "vectors": count, "line": 1 << 40}
            rig.supervisor.lives.notes.note_interrupts(Card(), said)
            deadline = time.monotonic() + 10
            while len(rig.shell("cat irq/devices").splitlines()) != lines:
                assert time.monotonic() < deadline
                time.sleep(0.01)
