"""Checks of what only windows, sound or keyboards need: the lab's disks and cards do without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from redbear_host.cli.checks.machine import Finding, Machine, ok, warn

PIXMAN: Final = "libpixman-1.so.0"  # what Orbital draws with (orbital/pixels.py)

_SCREEN: Final = {"PIL": "texts and pictures", "pyte": "orbterm"}
_SOUND: Final = {"numpy": "mixing", "soxr": "other rates than the card's"}
_INPUT: Final = {"evdev": "keyboards and mice"}


def screen(machine: Machine) -> Finding:
    """Look for what Orbital and its programs draw with."""
    if not machine.can_load(PIXMAN):
        return warn(
            "screen", f"no {PIXMAN}: Orbital cannot draw", "apt install libpixman-1-0 on Debian"
        )
    return _packages(machine, "screen", _SCREEN)


def sound(machine: Machine) -> Finding:
    """Look for what audiod mixes with."""
    return _packages(machine, "sound", _SOUND)


def keyboards(machine: Machine) -> Finding:
    """Look for what inputd reads devices through."""
    return _packages(machine, "input", _INPUT)


def _packages(machine: Machine, extra: str, needed: Mapping[str, str]) -> Finding:
    missing = [name for name in needed if machine.package(name) is None]
    if missing:
        return warn(
            extra,
            "; ".join(f"no {name}, for {needed[name]}" for name in missing),
            f"pip install 'redbear-host[{extra}]'",
        )
    return ok(extra, ", ".join(needed))
