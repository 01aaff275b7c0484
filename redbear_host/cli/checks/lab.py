"""Checks what `redbear-host up --lab` needs, and `redbear-host lab vm`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from redbear_host.cli.checks.machine import Finding, Machine, fail, ok, warn
from redbear_host.errors import ConfigError, RedbearError, TransportError

QEMU: Final = "qemu-system-x86_64"
QEMU_OLDEST: Final = (7, 2)  # the oldest the lab was tried with: Debian 12's
FUSE_MAJOR: Final = 7
CONNECTIONS: Final = "/sys/fs/fuse/connections"


def root(machine: Machine) -> Finding:
    """Check who we are: mounting needs root."""
    if machine.uid != 0:
        return fail(
            "root", f"user {machine.uid}: mounting and VFIO need root", "sudo redbear-host …"
        )
    return ok("root", "running as root")


def device_node(machine: Machine) -> Finding:
    """Check that /dev/fuse is there and opens."""
    try:
        os.close(os.open(machine.path("/dev/fuse"), os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return fail(
            "/dev/fuse", "there is none", "modprobe fuse; in a container: --device /dev/fuse"
        )
    except OSError as error:
        advice = "sudo redbear-host doctor" if machine.uid else "in a container: --device /dev/fuse"
        return fail("/dev/fuse", f"it does not open: {error.strerror}", advice)
    return ok("/dev/fuse", "opens")


def trial_mount(machine: Machine) -> Finding:
    """Check that the kernel lets us mount, and speaks a FUSE we understand."""
    try:
        minor = machine.try_fuse()
    except (ConfigError, TransportError) as error:
        return fail("FUSE", error.message, error.hint or "boot Linux 5.4 or newer")
    except RedbearError as error:
        return fail("FUSE", str(error), "boot Debian's own kernel")
    return ok("FUSE", f"a trial mount works; protocol {FUSE_MAJOR}.{minor}")


def fusectl(machine: Machine) -> Finding:
    """Check that a mount whose daemon hangs can be broken."""
    if not machine.path(CONNECTIONS).is_dir():
        return warn("fusectl", f"there is no {CONNECTIONS}: a stuck mount stays", "modprobe fuse")
    if any(kind == "fusectl" for _, kind in _mounts(machine)):
        return ok("fusectl", f"mounted on {CONNECTIONS}")
    return ok("fusectl", "not mounted; redbear-host does it when a stuck mount must be broken")


def mount_point(machine: Machine) -> Finding:
    """Check that nothing else is where the schemes go."""
    point = machine.mount
    other = f"choose another with --mount DIR, or clear {point}"
    if _running(machine):
        return ok("mount point", f"{point}: redbear-host is up")
    below = [place for place, _ in _mounts(machine) if place == point or point in place.parents]
    if below:
        return fail("mount point", f"{below[0]} is mounted, and redbear-host is not up", other)
    here = machine.path(point)
    if here.exists() and not here.is_dir():
        return fail("mount point", f"{point} is not a folder", other)
    held = machine.names(str(point))
    if held:
        return fail("mount point", f"{point} is not empty: it holds {held[0]}", other)
    return ok("mount point", f"{point} is free")


def run_directory(machine: Machine) -> Finding:
    """Check that no earlier instance left something behind."""
    from kernel_shim.rundir import RunDir

    folder = RunDir(machine.path(machine.run_dir))
    try:
        state = folder.read()
        running = folder.locked_by_other()
    except (ConfigError, OSError) as error:
        said = error.message if isinstance(error, ConfigError) else str(error)
        return warn("run directory", said, "sudo redbear-host doctor")
    except TransportError as error:
        return fail("run directory", error.message, error.hint)
    if running:
        return ok("run directory", f"{machine.run_dir}: up, process {state.get('pid', 'unknown')}")
    if state:
        pid = state.get("pid", "unknown")
        return fail(
            "run directory",
            f"{machine.run_dir}: an instance (process {pid}) ended without cleaning up",
            "redbear-host down",
        )
    return ok("run directory", f"{machine.run_dir}: nothing was left behind")


def qemu(machine: Machine) -> Finding:
    """Check that QEMU is there and new enough."""
    install = "apt install qemu-system-x86"
    path = machine.program(QEMU)
    if path is None:
        return fail("QEMU", f"{QEMU} is not installed", install)
    try:
        said = machine.ask([path, "--version"])
    except TransportError as error:
        return fail("QEMU", error.message, install)
    match = re.search(r"version (\d+)\.(\d+)\S*", said)
    if match is None:
        return fail("QEMU", f"{path} does not tell its version", install)
    if (int(match[1]), int(match[2])) < QEMU_OLDEST:
        return fail("QEMU", f"{path} is {match[0]}; 7.2 is needed", install)
    return ok("QEMU", f"{path}, {match[0]}")


def guest(machine: Machine) -> Finding:
    """Look for a kernel and a busybox for `lab vm`."""
    from redbear_host.lab.initrd import initrd
    from redbear_host.lab.kernel import find_kernel

    try:
        kernel = find_kernel(machine.path("/boot"), machine.path("/lib/modules"))
        initrd(kernel, busybox=machine.path("/bin/busybox"))
    except ConfigError as error:
        return warn("lab vm", error.message, error.hint)
    return ok("lab vm", f"can boot Linux {kernel.version}")


def _running(machine: Machine) -> bool:
    from kernel_shim.rundir import RunDir

    try:
        return RunDir(machine.path(machine.run_dir)).locked_by_other()
    except ConfigError:
        return False  # not ours to see; `run_directory` says so


def _mounts(machine: Machine) -> list[tuple[Path, str]]:
    """List mount points and file system types (proc_pid_mountinfo(5)); touches no mount."""
    found = []
    for line in machine.text("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) > 4 and right:
            point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4])
            found.append((Path(point), right.split()[0]))
    return found
