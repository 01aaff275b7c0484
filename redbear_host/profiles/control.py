"""netctl's verbs: what starting and stopping a profile means, and which is enabled."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, TypeAlias

from redbear_host.errors import ConfigError, TransportError
from redbear_host.profiles import plan
from redbear_host.profiles import profile as one
from redbear_host.profiles.dhcp import DhcpCommand, DhcpScheme
from redbear_host.profiles.places import Places
from redbear_host.profiles.profile import Profile
from redbear_host.profiles.radio import Radio, radio_of
from redbear_host.profiles.setting import How, is_ipv4, nameserver_writes, writes
from redbear_host.profiles.tree import Tree
from redbear_host.toml_table import did_you_mean

Step: TypeAlias = Callable[[str], AbstractContextManager[None]]

NO_ADDRESS: Final = "unconfigured"
_SOURCE: Final = "profile "


class Control:
    """netctl's work; `step` shows what takes time."""

    def __init__(self, places: Places, step: Step) -> None:
        self._places: Final = places
        self._step: Final = step
        self._tree: Final = Tree(places.netcfg, places.bare)
        self._dhcp: Final = DhcpScheme(places.dhcp)

    # -- profiles ----------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """List the profiles, sorted."""
        return one.names(self._places.profiles)

    def load(self, name: str) -> Profile:
        """Read one."""
        return one.load(self._places.profiles, name)

    @property
    def enabled(self) -> str:
        """The name of the enabled profile; empty for none."""
        return plan.enabled(self._places.active)

    def enable(self, name: str) -> None:
        """Have a profile started with every `up`; one that could not be is refused."""
        self.load(name)
        active = self._places.active
        fresh = active.with_name(f".{active.name}.new")
        try:
            active.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(f"{name}\n")
            fresh.replace(active)
        except OSError as error:
            raise self._not_written(error) from error

    def disable(self, name: str) -> str:
        """Undo that; without a name for whichever it is, which is returned (empty: none was)."""
        enabled = self.enabled
        if name and name != enabled:
            there = f"{enabled} is" if enabled else "no profile is"
            raise ConfigError(f"{name} is not enabled", f"{there} enabled")
        try:
            self._places.active.unlink(missing_ok=True)
        except OSError as error:
            raise self._not_written(error) from error
        return enabled

    def _not_written(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"{self._places.active} cannot be written: {error.strerror}", "run it with sudo"
        )

    # -- starting and stopping ---------------------------------------------------------------------

    def start(self, name: str, booting: bool = False) -> None:
        """Set a profile's adapter up; `TransportError` when it does not come to an address."""
        found = self.load(name)
        radio = radio_of(self._places.wifictl, found)
        self._tree.check(found.interface)
        if radio is not None:
            with self._step(f"join {radio[1].ssid} with {found.interface}"):
                radio[0].connect(radio[1])
        if found.setting.how is How.DHCP:
            self._by_dhcp(found, booting)
        elif found.setting.how is How.STATIC:
            self._leave_to_us(found)
            self._tree.apply(writes(found.interface, found.setting))

    def stop(self, name: str) -> None:
        """Take a profile's address and routes away; it stays enabled if it was."""
        found = self.load(name)
        how, interface = found.setting.how, found.interface
        if how is not How.BOUNDED:
            if self._dhcp.exists and not self._places.dhcpd_command:
                self._dhcp.say(interface, "stop")
            if how is How.STATIC and found.setting.gateways:
                self._tree.drop_default()
            given = [str(address) for address in found.setting.addresses]
            self._tree.clear(interface, given)
        if found.wifi is not None:
            Radio(self._places.wifictl, interface).disconnect()

    def retry(self, name: str) -> str:
        """Try again with a profile or an adapter; return the adapter's name."""
        interface, is_radio = self._interface(name)
        if is_radio:
            Radio(self._places.wifictl, interface).retry()
        else:
            self._dhcp.say(interface, "renew")
        return interface

    def scan(self, name: str) -> list[str]:
        """Look for radio networks with a profile's adapter, or an adapter."""
        interface, is_radio = self._interface(name)
        if not is_radio and interface in self._tree.adapters():
            raise ConfigError(f"{interface} is no wifi adapter", "there is nothing to scan")
        return Radio(self._places.wifictl, interface).scan()

    def _interface(self, name: str) -> tuple[str, bool]:
        """Find an adapter by its own name or a profile's; and whether it is a radio."""
        if name in self.names():
            found = self.load(name)
            return found.interface, found.wifi is not None
        if (self._places.wifictl / "ifaces" / name).is_dir():
            return name, True
        adapters = self._tree.adapters()
        if name not in adapters:
            known = [*self.names(), *adapters]
            raise ConfigError(f"{name} is no profile and no adapter", did_you_mean(name, known))
        return name, False

    def _leave_to_us(self, found: Profile) -> None:
        """Have dhcpd keep its hands off an adapter."""
        if self._dhcp.exists and not self._places.dhcpd_command:
            self._dhcp.say(found.interface, f"stop {_SOURCE}{found.name}")

    def _by_dhcp(self, found: Profile, booting: bool) -> None:
        interface = found.interface
        running: subprocess.Popen[bytes] | None = None
        if self._places.dhcpd_command:
            if booting or not self._has_address(interface):
                running = DhcpCommand(self._places.dhcpd_command).start(interface)
        else:
            if not self._dhcp.exists:
                raise TransportError(
                    f"there is no DHCP client: {self._places.dhcp} does not exist",
                    "start an instance with a network card: redbear-host up",
                )
            if self._dhcp.facts(interface).get("how") != "dhcp":
                self._tree.clear(interface)  # what another profile left
            servers = ",".join(map(str, found.setting.nameservers))
            dns = f"dns={servers} " if servers else ""
            self._dhcp.say(interface, f"start {dns}{_SOURCE}{found.name}")
        with self._step(f"wait for an address on {interface}"):
            self._wait(interface, running)
        self._tree.apply(nameserver_writes(found.setting.nameservers))

    def _wait(self, interface: str, running: subprocess.Popen[bytes] | None) -> None:
        until = time.monotonic() + self._places.wait
        while not self._has_address(interface):
            if running is not None and running.poll():
                raise TransportError(
                    f"the DHCP client of {interface} ended with status {running.returncode}"
                )
            if time.monotonic() >= until:
                raise TransportError(
                    f"{interface} has no address after {self._places.wait:g} s",
                    self._hint(interface),
                )
            time.sleep(self._places.poll)

    def _has_address(self, interface: str) -> bool:
        """Whether there is what DHCP brings; IPv6 comes without."""
        return any(is_ipv4(address) for address in self._tree.addresses(interface))

    def _hint(self, interface: str) -> str:
        state = self._dhcp.facts(interface).get("state", "")
        look = f"dhcpd is {state}; " if state else ""
        return f"{look}is there a DHCP server? REDBEAR_DHCPD_WAIT_MS says how long to wait"

    # -- what is shown -----------------------------------------------------------------------------

    def status(self, name: str) -> dict[str, Any]:
        """Describe a profile; without a name the enabled one, else one that was started."""
        enabled = self.enabled
        chosen = name or enabled or self._started()
        if not chosen:
            there = [one for name in self._tree.adapters() for one in self._tree.addresses(name)]
            return {"profile": "none", "enabled": False, "addresses": there}
        found = self.load(chosen)
        shown: dict[str, Any] = {
            "profile": chosen,
            "enabled": chosen == enabled,
            "connection": found.connection,
            "interface": found.interface,
            "addresses": self._tree.addresses(found.interface),
            "dns": self._tree.nameservers(),
            "dhcp": self._dhcp.facts(found.interface),
        }
        if found.wifi is not None:
            shown["wifi"] = {"ssid": found.wifi.ssid, "security": found.wifi.security}
            with suppress(TransportError, ConfigError):  # without a daemon there is no more
                shown["wifi"] |= Radio(self._places.wifictl, found.interface).facts()
        return shown

    def _started(self) -> str:
        """Return the profile that was started and not enabled; the first, where there are more."""
        started = (why.removeprefix(_SOURCE) for why in self._dhcp.why().values() if _SOURCE in why)
        return next((name for name in started if name in self.names()), "")
