"""`redbear-host status`: what is up."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from redbear_host import config
from redbear_host.cli.arguments import path_argument
from redbear_host.errors import ConfigError

HELP = "show the daemons that run, what they serve, and how often they were restarted"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--run-dir",
        type=path_argument,
        default=config.RUN_DIR,
        metavar="DIR",
        help="default: %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print the state as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the state.

    The exit status is 3 when a daemon was given up or its device left, 2 when nothing is up.
    """
    from kernel_shim.rundir import RunDir

    run_dir = RunDir(args.run_dir)
    state = run_dir.read()
    up = bool(state) and run_dir.locked_by_other()
    if args.json:
        print(json.dumps({"up": up} | state, indent=2))
    elif up:
        _show(state)
    if not up:
        if state:
            raise ConfigError(
                f"redbear-host (process {state.get('pid')}) ended without cleaning up",
                "clean up after it with: redbear-host down",
            )
        if not args.json:
            raise ConfigError("redbear-host is not up", "start it with: redbear-host up")
        return 2
    return 3 if any(d["state"] == "failed" or d["gone"] for d in state["daemons"]) else 0


def _show(state: dict[str, Any]) -> None:
    minutes, seconds = divmod(int(time.time() - state["began"]), 60)
    print(f"up for {minutes} min {seconds} s, process {state['pid']}, mounted on {state['mount']}")
    for daemon in state["daemons"]:
        pid = daemon["pid"] or "-"
        print(f"{daemon['name']}  {daemon['state']}  process {pid}{_restarted(daemon['restarts'])}")
        if daemon["state"] == "failed":
            print(f"    {daemon['why']}; see: redbear-host logs {daemon['name']}")
        if daemon["gone"]:
            print(f"    {daemon['device']} has left; see: redbear-host logs {daemon['name']}")
        for scheme in daemon["schemes"]:
            print(f"    {state['mount']}/{scheme}")


def _restarted(times: int) -> str:
    """Tell how often, or nothing."""
    if not times:
        return ""
    return ", restarted once" if times == 1 else f", restarted {times} times"
