"""The services every instance has: the kernel's schemes, and daemons that drive no device."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from redbear_host.cli import progress
from redbear_host.config import Config
from redbear_host.errors import TransportError
from redbear_host.manifest import Manifest, installed

if TYPE_CHECKING:
    from kernel_shim.service import Running, Service
    from kernel_shim.supervisor import Supervisor

_LOG: Final = logging.getLogger(__name__)
_ASKED: Final = "asked"
_USED: Final = "used"
_LISTS: Final = "pci"  # the scheme that shows the functions


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


def base_services(wanted: Config) -> list[Service]:
    """Return the daemons that drive no device and are started always, or were asked for."""
    return [
        _service(manifest, wanted)
        for manifest in _without_device(wanted)
        if manifest.start == _USED or not manifest.with_
    ]


def start_class_services(supervisor: Supervisor, wanted: Config) -> None:
    """Start the daemons that come with schemes (`with` in their manifests), where those are served.

    What has cards of Linux's to show itself on does not wait for its first use either.
    May be called again whenever a device was added: what runs already is left alone.
    """
    from kernel_shim.seat import cards_of

    waiting = [manifest for manifest in _without_device(wanted) if manifest.with_]
    while True:
        for one in supervisor.services:
            due_now = _is_due(supervisor, one.service.with_) or cards_of(one.service.options)
            if one.service.lazy and one.life == 0 and due_now:
                _use(supervisor, one, needed=bool(cards_of(one.service.options)))
        running = {one.service.name for one in supervisor.services}
        due = [
            manifest
            for manifest in waiting
            if manifest.name not in running and _is_due(supervisor, manifest.with_)
        ]
        if not due:
            return
        # One of them may be what another comes with.
        with progress.step(f"start {', '.join(manifest.name for manifest in due)}"):
            supervisor.start(*(_service(manifest, wanted) for manifest in due))


def _use(supervisor: Supervisor, running: Running, needed: bool) -> None:
    """Start what waits for its first use; what it comes with is of use without it."""
    try:
        with progress.step(f"start {running.service.name}"):
            supervisor.use(running)
    except TransportError as error:
        if needed:
            raise
        _LOG.warning("%s; %s", error, error.hint)


def _is_due(supervisor: Supervisor, with_: tuple[str, ...]) -> bool:
    return bool(with_) and any(name.startswith(with_) for name in supervisor.lives.joins.served)


def _without_device(wanted: Config) -> list[Manifest]:
    """Return the daemons that drive no device, but for those that must be asked for and are not."""
    return [
        manifest
        for manifest in installed()
        if manifest.match is None and (manifest.start != _ASKED or manifest.name in wanted.daemons)
    ]


def _service(manifest: Manifest, wanted: Config) -> Service:
    from kernel_shim.service import Service

    run_dir = wanted.general.run_dir
    return Service(
        name=manifest.name,
        module=manifest.module,
        schemes=manifest.scheme_names(None),
        file_roots=manifest.file_roots,
        asks=frozenset(manifest.asks),
        with_=manifest.with_,
        calls=manifest.calls,
        keep_most=manifest.keep_most,
        lazy=manifest.start == _USED,
        policy=wanted.policy(manifest),
        options=wanted.options(manifest),
        facts={
            "scratch": str(run_dir / "scratch"),
            "run_dir": str(run_dir),
            "mount": str(wanted.general.mount),
        },
        lists_functions=_LISTS in manifest.schemes,
        early_deaths=manifest.restart.at_most,
        within=float(manifest.restart.within),
    )
