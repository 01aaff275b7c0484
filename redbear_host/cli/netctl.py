"""`redbear-host netctl`: Red Bear's network profiles."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from redbear_host.cli import progress
from redbear_host.cli.place import add_mount
from redbear_host.errors import ConfigError
from redbear_host.profiles.control import NO_ADDRESS, Control
from redbear_host.profiles.places import Places
from redbear_host.toml_table import did_you_mean

HELP: Final = "start, stop and show network profiles"
NO: Final = 1  # the exit status of is-enabled, for what is not

_NEEDED: Final = "needed"
_MAYBE: Final = "maybe"
_NONE: Final = "none"
_VERBS: Final = {  # and whether a profile's name follows
    "list": _NONE,
    "status": _MAYBE,
    "scan": _NEEDED,
    "retry": _NEEDED,
    "start": _NEEDED,
    "stop": _NEEDED,
    "enable": _NEEDED,
    "disable": _MAYBE,
    "is-enabled": _MAYBE,
}


def main() -> int:
    """Be `redbear-netctl`: the same without the first word."""
    from redbear_host.cli import main as redbear_host

    return redbear_host(["netctl", *sys.argv[1:]])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("action", nargs="?", metavar="ACTION", help=", ".join(_VERBS))
    add("name", nargs="?", default="", metavar="PROFILE", help="a profile; scan, retry: or adapter")
    add("--boot", action="store_true", help="start the enabled profile, if there is one")
    add("--json", action="store_true", help="print JSON (list, status)")
    add_mount(parser)


def run(args: argparse.Namespace) -> int:
    """Do one of them."""
    control = Control(Places.of(args.mount), progress.step)
    if args.boot:
        if args.action is not None:
            raise ConfigError(f"--boot and {args.action} cannot go together", "give one of them")
        return _boot(control)
    if args.action is None:
        raise ConfigError("netctl needs an action", f"one of: {', '.join(_VERBS)}, --boot")
    if args.action not in _VERBS:
        raise ConfigError(
            f"netctl has no action {args.action!r}", did_you_mean(args.action, _VERBS)
        )
    wants = _VERBS[args.action]
    if wants is _NEEDED and not args.name:
        what = "a profile or an adapter" if args.action in ("scan", "retry") else "a profile"
        raise ConfigError(
            f"netctl {args.action} needs {what}", "see them with: redbear-host netctl list"
        )
    if wants is _NONE and args.name:
        raise ConfigError(f"netctl {args.action} takes no name", f"netctl {args.action}")
    if args.json and args.action not in ("list", "status"):
        raise ConfigError(f"netctl {args.action} prints no JSON", "leave --json out")
    return _RUN[args.action](control, args)


def _boot(control: Control) -> int:
    name = control.enabled
    if not name:
        print("no profile is enabled")
        return 0
    control.start(name, booting=True)
    print(f"started {name}")
    return 0


def _list(control: Control, args: argparse.Namespace) -> int:
    names = control.names()
    if args.json:
        enabled = control.enabled
        print(json.dumps([{"name": name, "enabled": name == enabled} for name in names], indent=2))
        return 0
    for name in names:
        print(name)
    return 0


def _status(control: Control, args: argparse.Namespace) -> int:
    found = control.status(args.name)
    print(json.dumps(found, indent=2) if args.json else _line(found))
    return 0


def _line(found: Mapping[str, Any]) -> str:
    """Return Red Bear's line; several addresses are parted by commas."""
    shown = {"profile": found["profile"], "enabled": "yes" if found["enabled"] else "no"}
    shown |= {key: found[key] for key in ("connection", "interface") if key in found}
    shown["address"] = ",".join(found["addresses"]) or NO_ADDRESS
    shown |= found.get("wifi", {})
    return " ".join(f"{key}={value}" for key, value in shown.items())


def _scan(control: Control, args: argparse.Namespace) -> int:
    for line in control.scan(args.name):
        print(line)
    return 0


def _retry(control: Control, args: argparse.Namespace) -> int:
    print(f"retried {control.retry(args.name)}")
    return 0


def _start(control: Control, args: argparse.Namespace) -> int:
    control.start(args.name)
    print(f"started {args.name}")
    return 0


def _stop(control: Control, args: argparse.Namespace) -> int:
    control.stop(args.name)
    print(f"stopped {args.name}")
    return 0


def _enable(control: Control, args: argparse.Namespace) -> int:
    control.enable(args.name)
    print(f"enabled {args.name}")
    return 0


def _disable(control: Control, args: argparse.Namespace) -> int:
    was = control.disable(args.name)
    print(f"disabled {was}" if was else "no profile was enabled")
    return 0


def _is_enabled(control: Control, args: argparse.Namespace) -> int:
    enabled = control.enabled
    if args.name:
        control.load(args.name)
    yes = bool(enabled) and args.name in ("", enabled)
    print("yes" if yes else "no")
    return 0 if yes else NO


_RUN: Final[Mapping[str, Callable[[Control, argparse.Namespace], int]]] = {
    "list": _list,
    "status": _status,
    "scan": _scan,
    "retry": _retry,
    "start": _start,
    "stop": _stop,
    "enable": _enable,
    "disable": _disable,
    "is-enabled": _is_enabled,
}
