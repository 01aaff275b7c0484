"""The null namespace under Debian's kernel, which is older; nvmed drives its function by VFIO."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import probes
import pytest
from sandbox_rig import FEWEST, asked_for, check_from_inside, check_from_outside, outcome

from kernel_shim.rundir import RunDir
from kernel_shim.service import State
from kernel_shim.supervisor import Supervisor
from redbear_host import config
from redbear_host.bdf import Bdf
from redbear_host.cli.base import base_services, kernel_service
from redbear_host.cli.plan import check_lab, plan
from redbear_host.manifest import Manifest, installed

pytestmark = pytest.mark.timeout(240)

CONTROL = "import json, os, probes; print(json.dumps(probes.run(os.getppid(), control=True)))"


def test_every_daemon_is_denied_every_forbidden_thing(ssd, tmp_path, monkeypatch):
    """One after the other: all at once keep an emulated processor busy for half a minute."""
    monkeypatch.setattr(Manifest, "module", property(lambda self: "tests.lab.probed"))
    wanted = config.merge(
        config.load(Path(asked_for(tmp_path)[1]), installed(), check_lab),
        mount=tmp_path / "scheme",
        run_dir=tmp_path / "run",
        devices=[Bdf.parse(ssd)],
    )
    run_dir = RunDir(wanted.general.run_dir)
    supervisor = Supervisor(run_dir, wanted.general.mount)
    try:
        supervisor.open()
        (function,) = plan(wanted)
        supervisor.lives.functions.learn(function.take(supervisor), ())
        supervisor.start(kernel_service(wanted))  # serio is one of its schemes, and ps2d its client
        for service in base_services(wanted):
            (running,) = supervisor.start(service)
            check(supervisor, run_dir, running)
        function.start(supervisor, wanted)
        nvmed = supervisor.services[-1]
        assert nvmed.service.name.startswith("nvmed.")
        check(supervisor, run_dir, nvmed)
        data = os.urandom(4096)
        disk = wanted.general.mount / nvmed.schemes[0].name / "1"
        with disk.open("r+b", buffering=0) as file:
            file.write(data)
            assert os.pread(file.fileno(), 4096, 0) == data
        assert [r.life for r in supervisor.services] == [1] * len(supervisor.services)
    finally:
        supervisor.close()


def check(supervisor, run_dir, running):
    name = running.service.name
    if running.state is State.WAITING:  # its first use is now
        supervisor.lives.wake(running)
        supervisor.loop.run_until(lambda: running.state is State.READY, 60)
    check_from_inside(name, outcome(run_dir.log_path(name)))
    check_from_outside({"name": name, "pid": running.pid})


def test_outside_of_a_sandbox_none_of_it_is_denied():
    done = subprocess.run(
        [sys.executable, "-c", CONTROL], capture_output=True, text=True, check=False, timeout=120,
        cwd=os.path.dirname(probes.__file__),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) >= FEWEST
    assert [p.name for p in probes.probes(0) if found[p.name] == p.denial] == []


def test_without_the_filter_the_other_walls_still_stand():
    done = subprocess.run(
        [sys.executable, os.path.join(os.path.dirname(probes.__file__), "walls.py")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["walls", "stand"]
