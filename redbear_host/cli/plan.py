"""What `up` is going to do with each device: decided before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Protocol

from redbear_host.bdf import Bdf
from redbear_host.cli import progress
from redbear_host.config import Config, Device, Lab
from redbear_host.errors import ConfigError
from redbear_host.hostpci import HostFunction, host_function
from redbear_host.lab.devices import ALL, KINDS, SLOTS, LabDevice
from redbear_host.lab.farends import Supplies
from redbear_host.lab.machine import Machine
from redbear_host.manifest import Manifest, installed, matching, named

if TYPE_CHECKING:
    import kernel_shim.device
    from kernel_shim.supervisor import Supervisor

LAB_SEGMENT: Final = 0x1AB0  # "lab0": no machine has that many PCI segments, so no name clashes


_DESTRUCTIVE: Final = "    let programs send it commands that destroy data or the device"


class Planned(Protocol):
    """One device, and the daemon for it."""

    @property
    def address(self) -> str:
        """Where it is: `DDDD:BB:DD.F`."""
        ...

    def describe(self) -> list[str]:
        """Return the lines that `up --plan` prints."""
        ...

    def take(self, supervisor: Supervisor) -> Mapping[str, Any]:
        """Take the device; return what pcid is told: its address, its driver, a lab's config."""
        ...

    def start(self, supervisor: Supervisor, wanted: Config) -> None:
        """Start its daemon."""
        ...


def plan(wanted: Config) -> list[Planned]:
    """Match devices with daemons; `ConfigError` when one cannot be served."""
    manifests = installed()
    devices = [plan_device(device, manifests) for device in wanted.devices]
    planned: list[Planned] = [one for one in devices if one is not None]
    labs = [(one, lab) for lab in wanted.labs for one in _lab_devices(lab, manifests)]
    planned += [
        plan_lab(device, LAB_SEGMENT + number, manifests, lab.destructive)
        for number, (device, lab) in enumerate(labs)
    ]
    return planned


def check_lab(name: str, options: Mapping[str, str]) -> None:
    """Raise `ConfigError` for a lab device that cannot be."""
    if name != ALL or options:
        LabDevice(name, options).check()


def _lab_devices(lab: Lab, manifests: Sequence[Manifest]) -> list[LabDevice]:
    """Return the device that was named, or with ALL one of each that we have a daemon for."""
    if lab.name != ALL:
        return [LabDevice(lab.name, lab.options)]
    return [LabDevice(kind.name) for kind in KINDS.values() if matching(kind.ids, manifests)]


def plan_lab(
    device: LabDevice, segment: int, manifests: Sequence[Manifest], destructive: bool = False
) -> PlannedLab:
    """Match a lab device with its daemon; `segment` tells it from all others."""
    ids = KINDS[device.kind].ids
    manifest = matching(ids, manifests)
    if manifest is None:
        raise ConfigError(
            f"no daemon drives the lab's {device.kind} ({_ids(ids)}) yet", _drivable(manifests)
        )
    device.check()
    return PlannedLab(device, segment, manifest, destructive)


def plan_device(device: Device, manifests: Sequence[Manifest]) -> PlannedFunction | None:
    """Match a function of the machine with its daemon; None if it is absent and may be."""
    function = host_function(device.address)
    if function is None:
        if device.wait:
            return None
        raise ConfigError(
            f"there is no PCI function at {device.address}",
            "list those of this machine with: redbear-host devices   (or wait for it: --await)",
        )
    if device.driver:
        return PlannedFunction(device, function, named(device.driver, manifests))
    manifest = matching(function.ids, manifests)
    if manifest is None:
        raise ConfigError(
            f"no daemon drives {device.address} ({_ids(function.ids)})", _drivable(manifests)
        )
    return PlannedFunction(device, function, manifest)


def _ids(ids: Any) -> str:
    return f"{ids.vendor:04x}:{ids.device:04x}, class {ids.class_code:06x}"


def _drivable(manifests: Sequence[Manifest]) -> str:
    return f"there are: {', '.join(f'{m.name} ({m.summary})' for m in manifests if m.match)}"


def _start(
    supervisor: Supervisor,
    wanted: Config,
    manifest: Manifest,
    address: Bdf,
    device: kernel_shim.device.Device,
    landing: str,
    destructive: bool,
) -> None:
    from kernel_shim.service import Service

    name = f"{manifest.name}.{address.scheme_name}"
    taken = {scheme for running in supervisor.services for scheme in running.service.schemes}
    schemes = manifest.scheme_names(address, taken)
    with progress.step(f"start {name}"):
        supervisor.start(
            Service(
                name=name,
                module=manifest.module,
                schemes=schemes,
                file_roots=manifest.file_names(schemes),
                asks=frozenset(manifest.asks),
                calls=manifest.calls,
                keep_most=manifest.keep_most,
                device=device,
                policy=wanted.policy(manifest, landing),
                options=wanted.options(manifest),
                facts={"destructive": destructive},
                early_deaths=manifest.restart.at_most,
                within=float(manifest.restart.within),
            )
        )


class PlannedFunction:
    """A PCI function of this machine, by VFIO."""

    def __init__(self, device: Device, function: HostFunction, manifest: Manifest) -> None:
        self.address: Final = str(device.address)
        self._address: Final = device.address
        self._device: Final = device
        self._function: Final = function
        self._manifest: Final = manifest
        self._taken: kernel_shim.device.Device | None = None

    def describe(self) -> list[str]:
        """Return the lines that `up --plan` prints."""
        from kernel_shim.claims import check

        lines = [f"take {self._address} from {self._function.driver or 'nobody'}, bind vfio-pci"]
        lines += [
            f"    REFUSED [{r.rule}]: {r.evidence}; {r.hint}" for r in check(str(self._address))
        ]
        names = ", ".join(self._manifest.scheme_names(self._address))
        lines.append(f"    start {self._manifest.name} to serve {names}")
        return lines + [_DESTRUCTIVE] * self._device.destructive

    def take(self, supervisor: Supervisor) -> Mapping[str, Any]:
        """Check that nobody uses it, bind it to vfio-pci, claim it."""
        from kernel_shim.take import take

        address = str(self._address)
        with progress.step(f"take {address}"):
            holding = supervisor.hold(address)
            self._taken = take(address, holding.note_binding)
            holding.keep(self._taken)
        return {"address": address, "driver": self._manifest.name}

    def start(self, supervisor: Supervisor, wanted: Config) -> None:
        """Start its daemon."""
        if self._taken is not None:
            destructive = self._device.destructive
            _start(
                *(supervisor, wanted, self._manifest, self._address, self._taken, "vfio"),
                destructive,
            )


class PlannedLab:
    """A device model of QEMU, in a machine of its own."""

    def __init__(
        self, device: LabDevice, segment: int, manifest: Manifest, destructive: bool
    ) -> None:
        self.address: Final = str(Bdf(segment, 0, SLOTS[0], 0))
        self._device: Final = device
        self._segment: Final = segment
        self._manifest: Final = manifest
        self._destructive: Final = destructive
        self._machine: Machine | None = None

    def describe(self) -> list[str]:
        """Return the lines that `up --plan` prints."""
        keys = ",".join(f"{key}={value}" for key, value in self._device.options.items())
        return [
            f"start QEMU with {self._device.kind}{':' + keys if keys else ''}",
            f"    start {self._manifest.name}",
            *[_DESTRUCTIVE] * self._destructive,
        ]

    def take(self, supervisor: Supervisor) -> Mapping[str, Any]:
        """Start its QEMU."""
        with progress.step(f"start QEMU's {self._device.kind}"), ExitStack() as undo:
            holding = supervisor.hold(self.address)
            supplies = undo.enter_context(Supplies())
            told = self._device.arguments(holding.scratch(), supplies=supplies)
            holding.note_files(supplies.files)
            self._machine = Machine(told, segment=self._segment, supplies=supplies)
            undo.pop_all()
            function = self._machine.functions[0]
            holding.keep(function)
            holding.note_process(f"QEMU of {function.address}", self._machine.qemu.pid)
        return {
            "address": function.address,
            "config": function.config_image().hex(),
            "driver": self._manifest.name,
        }

    def start(self, supervisor: Supervisor, wanted: Config) -> None:
        """Start its daemon."""
        if self._machine is not None:
            function = self._machine.functions[0]
            address = Bdf.parse(function.address)
            _start(
                *(supervisor, wanted, self._manifest, address, function, "qtest"),
                self._destructive,
            )
