"""Every daemon's null namespace: from inside, by what it tries, and from outside, by /proc."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import probes
import pytest
from sandbox_rig import FEWEST, Probed, asked_for, check_from_inside, check_from_outside, status_of
from up_rig import Up

pytestmark = pytest.mark.timeout(300)

CONTROL = "import json, os, probes; print(json.dumps(probes.run(os.getppid(), control=True)))"


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probed")
    # smolnetd comes with a network, audiod with a sound card
    cards = ("nvme:size=16M", "e1000:peer=none", "hda", "vga", "virtio-gpu")
    lab = [word for card in cards for word in ("--lab", card)]
    with Probed(folder, *lab, *asked_for(folder)) as made:
        yield made


def test_every_daemon_is_denied_every_forbidden_thing(probed):
    for daemon in probed.daemons():
        check_from_inside(daemon["name"], probed.outcome(daemon["name"]))


def test_a_daemon_that_was_probed_still_serves(probed):
    assert (probed.disk / "1").read_bytes()[:4096] == bytes(4096)
    assert all(daemon["restarts"] == 0 for daemon in probed.daemons())


def test_linux_says_of_every_daemon_that_it_holds_nothing(probed):
    for daemon in probed.daemons():
        check_from_outside(daemon)


def test_every_daemon_has_a_user_of_its_own(probed):
    users = [status_of(daemon["pid"])["Uid"].split()[0] for daemon in probed.daemons()]
    assert len(users) >= 4
    assert len(set(users)) == len(users)


def test_outside_of_a_sandbox_none_of_it_is_denied():
    """The control: the same probes, here; if they said EPERM anyway, they would prove nothing."""
    done = subprocess.run(
        [sys.executable, "-c", CONTROL], capture_output=True, text=True, check=False, timeout=60,
        cwd=os.path.dirname(probes.__file__),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) >= FEWEST
    denied = {p.name for p in probes.probes(0) if found[p.name] == p.denial}
    assert denied == set()


def test_without_the_filter_the_other_walls_still_stand(tmp_path):
    """Were seccomp to fail, there is no file, no network, no right: each wall alone."""
    done = subprocess.run(
        [sys.executable, os.path.join(os.path.dirname(probes.__file__), "walls.py")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["walls", "stand"]


def locked_in(how):
    path = os.path.join(os.path.dirname(probes.__file__), "locked_in.py")
    return subprocess.run(
        [sys.executable, path, how], capture_output=True, text=True, check=False, timeout=60
    )


def test_a_crash_still_tells_where():
    done = locked_in("crash")
    assert done.returncode == 1
    assert 'locked_in.py", line ' in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: a bug in a daemon\n")


def test_a_logged_exception_still_has_its_traceback():
    done = locked_in("log")
    assert done.returncode == 0, done.stderr
    assert "error   locked: it was denied" in done.stderr
    assert "PermissionError: [Errno 1] Operation not permitted: '/etc/passwd'" in done.stderr


def test_a_late_import_says_what_to_do():
    done = locked_in("import")
    assert "wave is imported after the daemon was locked in: import it at the top" in done.stderr


def test_a_daemon_with_threads_is_not_locked_in():
    done = locked_in("thread")
    assert done.returncode == 1
    assert "it has more than one thread" in done.stderr


def test_no_sandbox_says_so_loudly(tmp_path):
    with Up(tmp_path, "--no-sandbox") as up:
        assert "NO SANDBOX" in up.output
        assert "is not confined" in up.log("zerod")
        assert status_of(up.daemon("zerod")["pid"])["Seccomp"] == "0"


def test_errno_of_the_filter_is_the_one_probes_look_for():
    assert {probe.denial for probe in probes.probes(0)} <= {errno.EPERM, probes.UNNUMBERED}
