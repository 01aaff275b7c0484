"""The services every instance has: the kernel's schemes, and daemons that drive no device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from redbear_host.config import Config
from redbear_host.manifest import installed

if TYPE_CHECKING:
    from kernel_shim.service import Service

_ALWAYS: Final = "always"


def kernel_service(wanted: Config, console: str = "") -> Service:
    """Return the service of the kernel's own schemes; `console` is a terminal's path, or empty."""
    from kernel_shim.schemes.table import TABLE
    from kernel_shim.service import Service

    return Service(
        name="kernel",
        module="kernel_shim.schemes",
        schemes=tuple(entry.name for entry in TABLE),
        file_roots=tuple(entry.name for entry in TABLE if entry.is_file),
        facts={
            "run_dir": str(wanted.general.run_dir),
            "mount": str(wanted.general.mount),
            "console": console,
        },
        is_kernel=True,
    )


def base_services(wanted: Config, functions: Sequence[Mapping[str, Any]]) -> list[Service]:
    """Return the daemons that drive no device and are started always, or were asked for.

    `functions` say what was taken, for pcid: see `Planned.take`.
    """
    from kernel_shim.service import Service

    scratch = {"scratch": str(wanted.general.run_dir / "scratch")}  # goes with the instance
    found = []
    for manifest in installed():
        asked = manifest.name in wanted.daemons
        if manifest.match is not None or (manifest.start != _ALWAYS and not asked):
            continue
        found.append(
            Service(
                name=manifest.name,
                module=manifest.module,
                schemes=manifest.scheme_names(None),
                file_roots=manifest.file_roots,
                asks=frozenset(manifest.asks),
                policy=wanted.policy(manifest),
                options=wanted.options(manifest),
                facts=scratch | (_pci_facts(functions) if manifest.name == "pcid" else {}),
                early_deaths=manifest.restart.at_most,
                within=float(manifest.restart.within),
            )
        )
    return found


def _pci_facts(functions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "lab": [facts for facts in functions if "config" in facts],
        "drivers": {facts["address"]: facts["driver"] for facts in functions},
    }
