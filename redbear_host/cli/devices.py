"""`redbear-host devices`: the PCI functions of this machine, and who would drive them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from redbear_host.bdf import Bdf
from redbear_host.cli.arguments import path_argument
from redbear_host.config import RUN_DIR
from redbear_host.errors import ConfigError
from redbear_host.hostpci import HostFunction, host_functions
from redbear_host.manifest import Manifest, installed, matching
from redbear_host.pciids import PciNames

HELP: Final = "list the PCI functions of this machine, and who would drive them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--lab", action="store_true", help="list the device models of --lab instead"
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.add_argument(
        "--run-dir", type=path_argument, default=RUN_DIR, metavar="DIR", help="default: %(default)s"
    )


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    if args.lab:
        _print_lab(args.json)
        return 0
    from kernel_shim.rundir import RunDir

    rows = survey(
        host_functions(),
        PciNames.of_machine(),
        installed(),
        _refusals,
        _driven(RunDir(args.run_dir).read()),
    )
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return 0
    for row in rows:
        print(render(row))
    if not rows:
        print("this machine has no PCI functions; try a device model: redbear-host up --lab nvme")
    return 0


@dataclass(frozen=True)
class Row:
    """One function, as it is shown."""

    address: str
    title: str
    vendor: int
    device: int
    class_code: int
    driver: str  # of Linux; "" for none
    group: int | None  # the IOMMU group
    daemon: str  # ours that would drive it; "" for none
    running: str  # ours that drives it now; "" for none
    free: bool | None  # None where nobody looked: no daemon would take it, or we may not look
    reasons: tuple[str, ...] = ()  # why it is not free, or why that is not known


Refusals = Callable[[Bdf], Sequence[str]]
"""Tells why a function may not be taken; raises `ConfigError` when that cannot be told."""


def survey(
    functions: Iterable[HostFunction],
    names: PciNames,
    manifests: Sequence[Manifest],
    refusals: Refusals,
    driven: Mapping[str, str],
) -> list[Row]:
    """Put together what is known of each function; `driven` names who of ours drives which."""
    rows = []
    for function in functions:
        manifest = matching(function.ids, manifests)
        running = driven.get(str(function.address), "")
        free: bool | None = None
        reasons: tuple[str, ...] = ()
        if manifest is not None and not running:
            free, reasons = _look(function.address, refusals)
        rows.append(
            Row(
                address=str(function.address),
                title=names.line(function.ids),
                vendor=function.ids.vendor,
                device=function.ids.device,
                class_code=function.ids.class_code,
                driver=function.driver,
                group=function.group,
                daemon=manifest.name if manifest else "",
                running=running,
                free=free,
                reasons=reasons,
            )
        )
    return rows


def render(row: Row) -> str:
    """Return a function's lines."""
    driver = row.driver or "no driver"
    group = "no IOMMU group" if row.group is None else f"IOMMU group {row.group}"
    lines = [
        f"{row.address}  {row.title}",
        f"    {row.vendor:04x}:{row.device:04x} class {row.class_code:06x}, {driver}, {group}",
    ]
    if row.running:
        lines.append(f"    driven by {row.running}")
    elif row.free:
        lines.append(f"    {row.daemon} would drive it: redbear-host up --device {row.address}")
    elif row.daemon:
        can = "would drive it, but" if row.free is False else "would drive it; is it free?"
        lines += [f"    {row.daemon} {can} {reason}" for reason in row.reasons]
    return "\n".join(lines)


def _look(address: Bdf, refusals: Refusals) -> tuple[bool | None, tuple[str, ...]]:
    try:
        found = tuple(refusals(address))
    except ConfigError as error:
        return None, (f"{error.message} ({error.hint})" if error.hint else error.message,)
    return not found, found


def _refusals(address: Bdf) -> list[str]:
    from kernel_shim import claims

    return [f"{one.evidence} [{one.rule}]" for one in claims.check(str(address))]


def _driven(state: Mapping[str, Any]) -> dict[str, str]:
    """Read from an instance's state who drives which device."""
    return {one["device"]: one["name"] for one in state.get("daemons", ()) if one.get("device")}


def _print_lab(as_json: bool) -> None:
    from redbear_host.lab.devices import KINDS

    if as_json:
        kinds = [{"name": k.name, "what": k.what, "keys": dict(k.keys)} for k in KINDS.values()]
        print(json.dumps(kinds, indent=2))
        return
    for kind in KINDS.values():
        print(f"{kind.name}  {kind.what}")
        for key, meaning in kind.keys.items():
            print(f"    {key:<12}  {meaning}")
