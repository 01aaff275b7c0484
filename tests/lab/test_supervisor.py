"""The supervisor with daemons, devices and disks that misbehave."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time

import pytest
from background import in_thread

from kernel_shim import holding
from kernel_shim import lives as module
from kernel_shim.answers import Answers
from kernel_shim.rundir import RunDir
from kernel_shim.service import Service, State
from kernel_shim.supervisor import Supervisor
from redbear_host.errors import TransportError

pytestmark = pytest.mark.timeout(120)


class Sick:
    """A device that answers nobody any more."""

    address = "0000:0f:04.0"

    def grant(self):
        return {"machine": "none"}, []

    def quiesce(self):
        raise TransportError("no answer")

    def release(self):
        pass


class Instance(Supervisor):
    def begin(self, name, *schemes, device=None, asks=(), **options):
        (running,) = self.start(
            Service(
                name=name,
                module="tests.lab.odd_daemon",
                schemes=schemes,
                device=device,
                asks=frozenset(asks),
                options=options,
            )
        )
        return running

    def wait(self, done):
        """Supervise until `done`."""
        deadline = time.monotonic() + 30
        while not done():
            assert time.monotonic() < deadline
            self.loop.at(self.loop.now() + 0.01, lambda: None)
            self.loop.run_round()

    def killed(self, running):
        """Kill a daemon and wait until it is known what comes of it."""
        life = running.life
        os.kill(running.pid, signal.SIGKILL)
        self.wait(
            lambda: (
                (running.life > life and running.state is State.READY)
                or running.state is State.FAILED
            )
        )


@pytest.fixture
def instance(tmp_path):
    made = Instance(RunDir(tmp_path / "run"), tmp_path / "scheme")
    try:
        made.open()
        yield made
    finally:
        made.close()


def test_a_successor_that_never_gets_ready_is_given_up_and_clients_get_an_error(
    instance, monkeypatch
):
    monkeypatch.setattr(module, "_READY_WITHIN_S", 2.0)
    running = instance.begin("odd", "odd", early="hang")
    os.kill(running.pid, signal.SIGSTOP)  # so that the successor inherits the client's request
    client = in_thread(lambda: os.listdir(instance.mount / "odd"))
    instance.killed(running)
    assert running.state is State.FAILED
    assert running.why == "it was not ready within 2 s"
    assert isinstance(client(), OSError)


def test_a_daemon_that_crashes_whenever_it_is_ready_is_restarted_ever_more_slowly(instance):
    running = instance.begin("odd", "odd", later="crash")
    began = time.monotonic()
    instance.wait(lambda: running.life == 7)
    assert time.monotonic() - began > 0.1 + 0.2 + 0.4 + 0.8 + 1.6


def test_kills_from_outside_slow_no_restart_down(instance):
    running = instance.begin("odd", "odd")
    for _ in range(3):
        instance.killed(running)
    assert running.life == 4
    assert running.crashes == []


def test_a_device_that_cannot_be_quieted_costs_its_own_daemon_only(instance):
    other = instance.begin("other", "other")
    running = instance.begin("odd", "odd", device=Sick())
    instance.killed(running)
    assert (running.state, running.life) == (State.FAILED, 1)
    assert "no answer" in running.why
    assert other.state is State.READY
    assert in_thread(lambda: os.listdir(instance.mount / "other"))


def test_a_daemon_goes_on_when_one_of_its_schemes_is_unmounted_and_ends_with_the_last(instance):
    running = instance.begin("odd", "one", "two")
    subprocess.run(["umount", instance.mount / "one"], check=True)
    assert stat.S_ISDIR(os.stat(instance.mount / "two").st_mode)
    instance.killed(running)
    assert running.state is State.READY
    assert stat.S_ISDIR(os.stat(instance.mount / "two").st_mode)
    subprocess.run(["umount", instance.mount / "two"], check=True)
    instance.wait(lambda: running.state is State.FAILED)
    assert (running.life, running.why) == (2, "its schemes were unmounted")


def test_a_daemon_that_was_taken_over_cannot_talk_the_supervisor_to_death(instance):
    Answers(instance)
    nonsense = ["no JSON", "7", "[]", "null", "[" * 2000, "\ud83d\ude00", '{"namespace": {}}']
    nonsense += [
        '{"namespace": [], "id": 1}',
        '{"namespace": "root", "id": []}',
        '{"interrupts": 1}',
    ]
    running = instance.begin("odd", "odd", asks=["namespace"], says=[*nonsense, '{"gone": true}'])
    instance.wait(lambda: running.gone)
    assert running.state is State.READY


def test_who_may_ask_one_thing_is_not_answered_another_beside_it(instance):
    Answers(instance)
    both = '{"create": "loot", "is_file": false, "pid": 1, "namespace": "root", "id": 1}'
    running = instance.begin("odd", "odd", asks=["namespace"], says=[both, '{"gone": true}'])
    instance.wait(lambda: running.gone)
    assert os.listdir(instance.mount) == ["odd"]


def test_a_driver_change_is_undone_although_its_device_was_never_held(tmp_path, monkeypatch):
    """A Ctrl-C between the two."""
    undone = []
    monkeypatch.setattr(holding, "restore", undone.append)
    made = Instance(RunDir(tmp_path / "run"), tmp_path / "scheme")
    made.open()
    record = {"address": "0000:0f:04.0", "driver": "nvme", "override": ""}
    made.hold("0000:0f:04.0").note_binding(record)
    made.close()
    assert undone == [record]


def fill(path):
    with path.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(1024))


def test_a_full_run_directory_does_not_end_what_runs(tmp_path):
    (tmp_path / "run").mkdir()
    small = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", tmp_path / "run"]
    subprocess.run(small, check=True)
    try:
        made = Instance(RunDir(tmp_path / "run"), tmp_path / "scheme")
        made.open()
        try:
            running = made.begin("odd", "odd")
            with pytest.raises(OSError, match="No space left"):
                fill(tmp_path / "run/log/odd.log")
            made.killed(running)
            assert (running.state, running.life) == (State.READY, 2)
            with pytest.raises(TransportError, match="No space left"):
                made.hold("0000:0f:04.0").note_process("helper", os.getpid())
        finally:
            made.close()
    finally:
        subprocess.run(["umount", tmp_path / "run"], check=True)


def test_nobody_else_may_change_what_an_instance_keeps_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        made = Instance(RunDir(tmp_path / "run"), tmp_path / "scheme")
        made.open()
        try:
            made.begin("odd", "odd")
            made.hold("lab").scratch()
            kept = [tmp_path / "run", *(tmp_path / "run").rglob("*")]
            assert {path.name for path in kept} >= {"lock", "log", "odd.log", "state.json", "lab"}
            for path in kept:  # anyone may call at a scheme's socket; the scheme decides
                assert path.is_socket() or not path.stat().st_mode & 0o022, path
        finally:
            made.close()
    finally:
        os.umask(before)
