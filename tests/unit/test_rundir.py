"""The run directory: what it believes, and whom."""

from __future__ import annotations

import os
import threading

import pytest

from kernel_shim.rundir import LOG_MOST, RunDir
from redbear_host.errors import ConfigError, TransportError

STATE = {"pid": 1, "started": 2}


@pytest.fixture
def run_dir(tmp_path):
    made = RunDir(tmp_path / "run")
    made.lock()
    yield made
    made.unlock()


def test_a_state_is_read_as_it_was_written_until_it_is_cleared(run_dir):
    assert run_dir.read() == {}
    run_dir.write(STATE)
    assert run_dir.read() == STATE
    run_dir.clear()
    assert run_dir.read() == {}


@pytest.mark.parametrize("text", [b"", b'{"pid": 1, "st', b"[]", b"{}", b"\xff\xfe", b"null"])
def test_a_damaged_state_is_not_taken_for_none(run_dir, text):
    (run_dir.path / "state.json").write_bytes(text)
    with pytest.raises(TransportError, match="damaged"):
        run_dir.read()


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o1777])
def test_a_folder_that_others_may_change_is_believed_nothing(run_dir, mode):
    run_dir.write(STATE)
    run_dir.path.chmod(mode)
    with pytest.raises(ConfigError, match="changed by others"):
        run_dir.read()
    with pytest.raises(ConfigError, match="changed by others"):
        RunDir(run_dir.path).lock()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_believed_nothing(run_dir):
    run_dir.write(STATE)
    os.chown(run_dir.path, 65534, 65534)
    with pytest.raises(ConfigError, match="owner 65534"):
        run_dir.read()


def test_a_short_look_at_the_lock_delays_who_takes_it(run_dir):
    other = RunDir(run_dir.path)
    timer = threading.Timer(0.05, run_dir.unlock)
    timer.start()
    other.lock(10.0)
    timer.join()
    other.unlock()


def test_who_finds_another_instance_is_told_how_to_stop_that_one(run_dir):
    with pytest.raises(ConfigError) as caught:
        RunDir(run_dir.path).lock()
    assert f"redbear-host down --run-dir {run_dir.path}  " in caught.value.hint


def test_large_logs_are_put_aside_and_small_ones_go_on(tmp_path):
    run_dir = RunDir(tmp_path)
    run_dir.logs.mkdir()
    run_dir.log_path("large").write_bytes(b"x" * (LOG_MOST + 1))
    run_dir.log_path("small").write_text("a line\n")
    run_dir.set_aside_logs()
    assert sorted(path.name for path in run_dir.logs.iterdir()) == ["large.log.old", "small.log"]
