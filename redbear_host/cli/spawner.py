"""What Redox's pcid-spawner does: a daemon for each function that was named, whenever it is there.

At `up`, when `redbear-host add` names one, and when one that was named comes, or comes back.
Nothing that was not named is ever taken.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from redbear_host.bdf import Bdf
from redbear_host.cli import progress
from redbear_host.cli.base import start_class_services
from redbear_host.cli.plan import LAB_SEGMENT, Planned, plan_device, plan_lab
from redbear_host.config import Config, Device
from redbear_host.errors import ConfigError, RedbearError
from redbear_host.hostpci import host_function
from redbear_host.lab.devices import LabDevice
from redbear_host.manifest import installed

if TYPE_CHECKING:
    from kernel_shim.holding import Holding
    from kernel_shim.hotplug import Hotplug
    from kernel_shim.supervisor import Supervisor

_LOG: Final = logging.getLogger(__name__)


class Spawner:
    """Starts and ends the daemons of one instance's devices."""

    def __init__(self, supervisor: Supervisor, wanted: Config, labs: int) -> None:
        """`labs` is how many segments `up` may have used for lab devices."""
        self._supervisor: Final = supervisor
        self._wanted: Final = wanted
        self._named: Final = {str(device.address): device for device in wanted.devices}
        self._labs = labs

    def listen(self) -> Hotplug | None:
        """Hear of functions that come and go; None where Linux does not tell."""
        from kernel_shim.functions import appeared, left
        from kernel_shim.hotplug import Hotplug

        supervisor = self._supervisor

        def on_left(address: str) -> None:
            left(address, supervisor.services)

        def on_settled(address: str) -> None:
            if address in self._named:
                supervisor.soon(lambda: self._take_again(address))

        try:
            hotplug = Hotplug(
                supervisor.loop,
                lambda address: appeared(address, supervisor.services),
                on_settled,
                on_left,
            )
        except (ImportError, OSError) as error:
            _LOG.warning("functions that come and go are not noticed: %s", error)
            return None
        for address in self._named:  # it may have come while we did something else
            if supervisor.held(address) is None:
                on_settled(address)
        return hotplug

    # -- orders ------------------------------------------------------------------------------------

    def carry(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do what `add` or `remove` asks for; the result is what `--json` prints."""
        match order:
            case {"add": "device", "address": str(address), "wait": bool(wait)}:
                return self._add_device(Device(address=Bdf.parse(address), wait=wait))
            case {"add": "lab", "name": str(name), "options": dict(options)}:
                texts = {str(key): str(value) for key, value in options.items()}
                return self._add_lab(LabDevice(name, texts))
            case {"remove": str(name)}:
                return self._remove(name)
        raise ConfigError("this redbear-host does not know that order", "is another version up?")

    def _add_device(self, device: Device) -> dict[str, Any]:
        address = str(device.address)
        holding = self._supervisor.held(address)
        if holding is not None and not self._gone(holding):
            raise ConfigError(f"{address} is taken already", "see: redbear-host status")
        planned = plan_device(device, installed())
        if planned is not None:
            self._start(address, planned)
        self._named[address] = device
        return self._describe(address)

    def _add_lab(self, device: LabDevice) -> dict[str, Any]:
        segment = LAB_SEGMENT + self._labs
        planned = plan_lab(device, segment, installed())
        self._labs += 1  # a segment is used once: its name would come back with another device
        self._start(planned.address, planned)
        return self._describe(planned.address)

    def _remove(self, name: str) -> dict[str, Any]:
        address = self._address_of(name)
        found = self._describe(address)
        self._named.pop(address, None)
        holding = self._supervisor.held(address)
        if holding is not None:
            self._let_go(holding)
        return found

    def _address_of(self, name: str) -> str:
        """Return the address of what is called by it, by a scheme, or by a daemon's name."""
        for running in self._supervisor.services:
            device = running.service.device
            schemes = {scheme.name for scheme in running.schemes}
            if device is not None and name in {device.address, running.service.name, *schemes}:
                return device.address
        if name in self._named:
            return name
        raise ConfigError(
            f"no daemon drives {name!r}", "see what is driven, and its names: redbear-host status"
        )

    def _describe(self, address: str) -> dict[str, Any]:
        for running in self._supervisor.services:
            device = running.service.device
            if device is not None and device.address == address:
                schemes = [scheme.name for scheme in running.schemes]
                return {"address": address, "name": running.service.name, "schemes": schemes}
        return {"address": address, "name": None, "schemes": []}

    # -- devices -----------------------------------------------------------------------------------

    def _start(self, address: str, planned: Planned) -> None:
        """Take a device and start its daemon; if that fails, nothing of it is left."""
        supervisor = self._supervisor
        stale = supervisor.held(address)
        if stale is not None:
            self._let_go(stale)
        try:
            supervisor.lives.functions.learn(planned.take(supervisor), supervisor.services)
            planned.start(supervisor, self._wanted)
            start_class_services(supervisor, self._wanted)
        except BaseException:
            holding = supervisor.held(address)
            if holding is not None:
                self._let_go(holding)
            raise

    def _let_go(self, holding: Holding) -> None:
        with progress.step(f"give {holding.address} back"):
            self._supervisor.let_go(holding)

    def _gone(self, holding: Holding) -> bool:
        return any(
            running.gone
            for running in self._supervisor.services
            if running.service.device is not None
            and running.service.device.address == holding.address
        )

    def _take_again(self, address: str) -> None:
        """Take a function that was named and has come."""
        device = self._named.get(address)
        holding = self._supervisor.held(address)
        if device is None or (holding is not None and not self._gone(holding)):
            return
        if host_function(device.address) is None:
            return
        try:
            planned = plan_device(device, installed())
            if planned is not None:
                self._start(address, planned)
                _LOG.info("%s has come, and is driven", address)
        except (OSError, RedbearError) as error:
            _LOG.warning("%s has come, and is not driven: %s", address, error)


def named_but_absent(planned: Sequence[Planned], wanted: Config) -> list[str]:
    """Return the addresses that are waited for."""
    there = {one.address for one in planned}
    return [str(one.address) for one in wanted.devices if str(one.address) not in there]
