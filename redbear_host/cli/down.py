"""`redbear-host down`: stop the instance, or clean up after one that vanished."""

from __future__ import annotations

import argparse
import os
import select
import signal
from typing import Any

from redbear_host import config
from redbear_host.cli import progress
from redbear_host.cli.arguments import path_argument
from redbear_host.errors import ConfigError, TransportError

HELP = "stop the daemons, unmount the schemes, give the devices back"

_PATIENCE_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--run-dir",
        type=path_argument,
        default=config.RUN_DIR,
        metavar="DIR",
        help="default: %(default)s",
    )


def run(args: argparse.Namespace) -> int:
    """Bring it down; exit status 2 when nothing was up."""
    from kernel_shim.rundir import RunDir

    run_dir = RunDir(args.run_dir)
    state = run_dir.read()
    if not state:
        raise ConfigError("redbear-host is not up", "start it with: redbear-host up")
    if run_dir.locked_by_other():
        with progress.step(f"stop redbear-host (process {state['pid']})"):
            _stop(state)
    # What is still written down now was not undone by the instance itself, nor by its guardian.
    run_dir.lock(_PATIENCE_S)
    try:
        state = run_dir.read()
        if state:
            _clean_up(run_dir, state)
    finally:
        run_dir.unlock()
    return 0


def _stop(state: dict[str, Any]) -> None:
    from kernel_shim.undo import process_started

    pid = state["pid"]
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except PermissionError:
        raise ConfigError(f"process {pid} cannot be stopped by you", "use sudo") from None
    try:
        if process_started(pid) != state["started"]:
            return  # the number belongs to someone else by now
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(_PATIENCE_S * 1000):
            raise TransportError(
                f"process {pid} did not stop within {_PATIENCE_S:g} s",
                f"kill it, then run `redbear-host down` again: kill -9 {pid}",
            )
    except PermissionError:
        raise ConfigError(f"process {pid} cannot be stopped by you", "use sudo") from None
    finally:
        os.close(pidfd)


def _clean_up(run_dir: Any, state: dict[str, Any]) -> None:
    from kernel_shim.undo import undo

    with progress.step("clean up after an instance that vanished"):
        failed = undo(state)
        run_dir.empty_scratch()
    if failed:
        raise TransportError(
            "not everything could be undone: " + "; ".join(failed),
            "mend that, then run `redbear-host down` again",
        )
    run_dir.clear()
