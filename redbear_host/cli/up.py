"""`redbear-host up`: take devices, start their daemons, mount /scheme, and stay."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from redbear_host import config, log
from redbear_host.bdf import Bdf
from redbear_host.cli import progress, vnc
from redbear_host.cli.arguments import path_argument
from redbear_host.cli.base import base_services, kernel_service, start_class_services
from redbear_host.cli.detach import Detached
from redbear_host.cli.plan import Planned, check_lab, plan
from redbear_host.cli.spawner import Spawner, named_but_absent
from redbear_host.cli.tree import tree
from redbear_host.errors import ConfigError, RedbearError
from redbear_host.lab.devices import ALL, parse
from redbear_host.manifest import installed

HELP: Final = "take devices, start their daemons and mount what they serve below /scheme"

_PS2: Final = "ps2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--config", type=path_argument, metavar="FILE", help="read this configuration (TOML)")
    add(
        "--device",
        action="append",
        default=[],
        dest="devices",
        metavar="BDF",
        help="take this PCI function of the machine, such as 0000:04:00.0; may be repeated",
    )
    add(
        "--await",
        action="append",
        default=[],
        dest="awaited",
        metavar="BDF",
        help="the same for one that may not be there yet: it is taken once it is plugged in",
    )
    add(
        "--lab",
        action="append",
        default=[],
        dest="labs",
        metavar="NAME[:key=value,…]",
        help="add a device model of QEMU, such as nvme:file=disk.img,serial=RB01; may be repeated; "
        "`all` for one of each that there is a daemon for",
    )
    add(
        "--file",
        type=path_argument,
        metavar="DIR",
        help="serve this directory of the host as the scheme `file`, read-write",
    )
    add(
        "--vnc",
        action="store_true",
        help="serve display.vnc, a display that VNC viewers and browsers see; how they get there "
        "is printed, and shown by: redbear-host vnc",
    )
    add(
        "--kms",
        action="append",
        default=[],
        dest="cards",
        metavar="CARD",
        help="show Orbital's windows on the screens of this graphics card of Linux, such as card0; "
        "may be repeated",
    )
    add(
        "--input",
        action="append",
        default=[],
        dest="inputs",
        metavar="DEVICE",
        help="take this keyboard or mouse of Linux while somebody reads the scheme input: a path "
        "below /dev/input, a device's name, all, or ps2 for what is behind the scheme serio; may "
        "be repeated",
    )
    add("--mount", type=path_argument, metavar="DIR", help="mount below DIR instead of /scheme")
    add("--run-dir", type=path_argument, metavar="DIR", help="keep lock, state and logs in DIR")
    add(
        "--destructive",
        action="store_true",
        help="let programs send the devices named here commands that destroy data or the device, "
        "such as nvme format; only for what may be lost",
    )
    add("--plan", action="store_true", help="say what would be done, and do nothing")
    add(
        "--no-sandbox",
        action="store_false",
        dest="confined",
        help="let daemons keep all rights of root: only to find out why one fails when it is "
        "confined",
    )
    add("--detach", action="store_true", help="return once everything is up")


def run(args: argparse.Namespace) -> int:
    """Bring it up and stay until Ctrl-C or `down`; with --detach return once it is up."""
    if not args.plan and os.geteuid() != 0:
        raise ConfigError("redbear-host up needs root, for mount(2) and VFIO", "run it with sudo")
    wanted = _config(args)
    planned = plan(wanted)
    if args.plan:
        for line in _describe(wanted, planned):
            print(line)
        return 0
    if not args.detach:
        return _serve(wanted, planned, None)
    detached = Detached()
    if detached.parent:
        return detached.outcome()
    return _serve(wanted, planned, detached)


def _config(args: argparse.Namespace) -> config.Config:
    base = config.Config()
    daemons: dict[str, dict[str, str]] = {}
    if args.file is not None:
        daemons["filed"] = {"root": str(args.file.absolute())}
    if args.vnc:
        daemons["vncd"] = {}
    if args.cards:
        daemons["orbital"] = {"cards": " ".join(args.cards)}
    devices = [word for word in args.inputs if word != _PS2]
    if devices:
        daemons["inputd"] = {"devices": ",".join(devices)}
    if _PS2 in args.inputs:
        daemons["ps2d"] = {}
    if args.config is not None:
        base = config.load(args.config, installed(), check_lab)
    wanted = config.merge(
        base,
        mount=args.mount,
        run_dir=args.run_dir,
        devices=[Bdf.parse(text) for text in args.devices],
        awaited=[Bdf.parse(text) for text in args.awaited],
        labs=[_lab(text) for text in args.labs],
        destructive=args.destructive,
        daemons=daemons,
        confined=args.confined,
    )
    wanted.check(installed())
    return wanted


def _lab(text: str) -> config.Lab:
    if text == ALL:
        return config.Lab(ALL)
    device = parse(text)
    return config.Lab(device.kind, device.options)


def _describe(wanted: config.Config, planned: Sequence[Planned]) -> list[str]:
    lines = [f"mount schemes below {wanted.general.mount}"]
    for one in planned:
        lines += one.describe()
    lines += [f"wait for {address}" for address in named_but_absent(planned, wanted)]
    return lines


def _serve(wanted: config.Config, planned: Sequence[Planned], detached: Detached | None) -> int:
    """Do it, from the preflight to the end."""
    from kernel_shim.answers import Answers
    from kernel_shim.orders import Orders
    from kernel_shim.rundir import RunDir
    from kernel_shim.supervisor import Supervisor

    if not wanted.confined:
        logging.getLogger(__name__).warning(
            "NO SANDBOX: every daemon has all rights of root, and whoever finds a hole in one has"
        )
    run_dir = RunDir(wanted.general.run_dir)
    supervisor = Supervisor(run_dir, wanted.general.mount)
    with ExitStack() as stack:
        stack.callback(_close, supervisor)
        Answers(supervisor)
        with progress.step(f"mount {wanted.general.mount}"):
            supervisor.open()
        for one in planned:
            supervisor.lives.functions.learn(one.take(supervisor), ())
        # Before pcid looks: what comes later is told.
        spawner = Spawner(supervisor, wanted, len(planned))
        hotplug = spawner.listen()
        if hotplug is not None:
            stack.callback(hotplug.close)
        console = "" if detached is not None else _terminal()
        base = [kernel_service(wanted, console), *base_services(wanted)]
        names = ", ".join(service.name for service in base if not service.lazy)
        with progress.step(f"start {names}"):
            supervisor.start(*base)
        for one in planned:
            one.start(supervisor, wanted)
        start_class_services(supervisor, wanted)
        orders = Orders(run_dir.orders, supervisor.loop, supervisor.soon, spawner.carry)
        stack.callback(orders.close)
        devices = [one.service for one in supervisor.services if one.service.device is not None]
        shown = {"pci"}.union(*(service.schemes for service in devices))
        for line in tree(wanted.general.mount, shown):
            print(line)
        if any(vnc.SCHEME in one.service.schemes for one in supervisor.services):
            print("\n".join(vnc.ways(vnc.look(wanted.general.mount))))
        sys.stdout.flush()
        if detached is not None:
            detached.up(run_dir.log_path("supervisor"))
            log.setup("supervisor")
        else:
            print("press Ctrl-C to take it down")
        supervisor.run()
    return 0


def _terminal() -> str:
    """Return the path of the terminal we run on, which is the scheme `debug`'s console; or ""."""
    try:
        return os.ttyname(sys.stdout.fileno())
    except OSError:
        return ""


def _close(supervisor: Any) -> None:
    if not supervisor.opened:
        return  # refused: nothing was done, and what another instance does goes on
    with progress.step("take everything down"):
        try:
            supervisor.close()
        except RedbearError as err:
            logging.getLogger(__name__).error("%s", err)
            raise
