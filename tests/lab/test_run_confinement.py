"""A root process in a room does not get out: `tenant.py` tries, outside as the control and inside.

The guest runs the same on Debian's kernel: tests/vm/test_run_confinement.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tenant_rig
from up_rig import Up

Results = dict[str, str]

# What a kernel may be built without; Debian's, in the guest, has both.
NEEDS = {
    "load a module": Path("/proc/modules"),
    "press SysRq": Path("/proc/sysrq-trigger"),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Results, Results]]:
    folder: Path = tmp_path_factory.mktemp("confinement")
    with Up(folder) as up, tenant_rig.Bait(up) as bait:
        yield bait.loose(), bait.loose_inside()


def test_no_way_leads_out(results: tuple[Results, Results]) -> None:
    outside, inside = results
    assert len(inside) >= 25
    assert inside.keys() == outside.keys()
    assert {name: end for name, end in inside.items() if end == "out"} == {}


def test_every_way_leads_somewhere_outside(results: tuple[Results, Results]) -> None:
    outside, _ = results
    shut = {name: end for name, end in outside.items() if end != "out"}
    for name, what in NEEDS.items():
        if not what.exists():
            assert shut.pop(name) in ("ENOENT", "ENOSYS")
    assert shut == {}


def test_what_changes_namespaces_is_forbidden_and_not_merely_missing(
    results: tuple[Results, Results],
) -> None:
    _, inside = results
    forbidden = [
        "enter its own mounts again",
        "mount a tmpfs",
        "mount a fresh proc",
        "make a mount namespace",
        "make a user namespace",
        "clone into a user namespace",
        "copy a mount",
        "make a device node",
        "load a module",
        "reboot",
        "type into a terminal",
    ]
    assert {name: inside[name] for name in forbidden} == dict.fromkeys(forbidden, "EPERM")
