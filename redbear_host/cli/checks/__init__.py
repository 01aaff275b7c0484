"""What `doctor` looks at.  A check is a function from a `Machine` to a `Finding`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from redbear_host.cli.checks import extras, install, lab, vfio
from redbear_host.cli.checks.machine import Finding, Machine

Check: TypeAlias = Callable[[Machine], Finding]

CHECKS: Final[tuple[Check, ...]] = (
    install.python,
    install.packages,
    install.names,
    lab.root,
    lab.device_node,
    lab.trial_mount,
    lab.fusectl,
    lab.mount_point,
    lab.run_directory,
    lab.qemu,
    lab.guest,
    vfio.modules,
    vfio.iommu,
    vfio.interrupt_remapping,
    vfio.lockdown,
    vfio.memlock,
    extras.screen,
    extras.sound,
    extras.keyboards,
)
