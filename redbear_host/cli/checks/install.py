"""Checks that redbear-host itself is whole."""

from __future__ import annotations

from typing import Final

from redbear_host.cli.checks.machine import Finding, Machine, fail, ok, warn
from redbear_host.pciids import PLACES, PciNames

OURS: Final = ("kernel_shim", "schemefs", "daemons")
PYTHON: Final = (3, 11)


def python(machine: Machine) -> Finding:
    """Check that the interpreter is new enough."""
    version = ".".join(map(str, machine.python))
    if machine.python < PYTHON:
        return fail(
            "python", f"Python {version}; 3.11 is needed", "apt install python3 on Debian 12"
        )
    return ok("python", f"Python {version}")


def packages(machine: Machine) -> Finding:
    """Check that the packages with common names came with this `redbear_host`.

    A root process that imports somebody else's `daemons` would run somebody else's code.
    """
    base = machine.package("redbear_host")
    for name in OURS:
        found = machine.package(name)
        if found is None or base is None or found.parent.resolve() != base.parent.resolve():
            return fail(
                "packages",
                f"`import {name}` finds {found or 'nothing'}, not the one of redbear-host in "
                f"{base.parent if base else 'its folder'}",
                "install redbear-host in an environment of its own, and run it from there",
            )
    return ok("packages", f"{', '.join(OURS)} are ours" + (f", in {base.parent}" if base else ""))


def names(machine: Machine) -> Finding:
    """Look for a pci.ids file."""
    if PciNames.of_machine(machine.root):
        place = next(place for place in PLACES if machine.path(place).exists())
        return ok("pci.ids", f"/{place}")
    return warn("pci.ids", "not found: devices are shown by number", "apt install pci.ids")
