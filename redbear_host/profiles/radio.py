"""The scheme `wifictl`, as Red Bear has it: one line to each of an adapter's files, in an order.

No daemon of ours serves it yet; where one does, this speaks to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from redbear_host.errors import ConfigError, TransportError
from redbear_host.profiles.profile import Profile, Wifi

_STEPS: Final = ("prepare", "init-transport", "activate-nic", "connect")
_FAILED: Final = "failed"
STATUS: Final = (
    *("status", "link-state", "firmware-status", "transport-status"),
    *("transport-init-status", "activation-status", "connect-result", "disconnect-result"),
    "last-error",
)


class Radio:
    """One adapter below wifictl."""

    def __init__(self, root: Path, interface: str) -> None:
        """Find it; `TransportError` without a daemon, `ConfigError` without the adapter."""
        if not root.is_dir():
            raise TransportError(
                f"there is no wifi daemon: {root} does not exist",
                "only profiles with Connection=ethernet can be started",
            )
        self._interface: Final = interface
        self._folder: Final = root / "ifaces" / interface
        if not self._folder.is_dir():
            raise ConfigError(f"{interface} is no wifi adapter", f"see {root / 'ifaces'}")

    def connect(self, wifi: Wifi) -> None:
        """Say all there is to say; `TransportError` at the first step that fails."""
        self._say("ssid", wifi.ssid)
        self._say("security", wifi.security)
        if wifi.key:
            self._say("key", wifi.key)
        for step in _STEPS:
            self._say(step, "1")

    def disconnect(self) -> None:
        """Leave the network."""
        self._say("disconnect", "1")

    def retry(self) -> None:
        """Begin again."""
        self._say("retry", "1")

    def scan(self) -> list[str]:
        """Look for networks; return a line for each."""
        self._say("scan", "1")
        return self._read("scan-results").splitlines()

    def facts(self) -> dict[str, str]:
        """Return what its status files say."""
        return {name.replace("-", "_"): self._read(name) for name in STATUS}

    def _say(self, name: str, value: str) -> None:
        try:
            (self._folder / name).write_text(f"{value}\n")
        except OSError as error:
            raise TransportError(
                f"{self._interface}: {name} does not take its value: {error.strerror}"
            ) from error
        failed = [node for node in STATUS[:-1] if _FAILED in self._read(node)]
        if failed:
            why = self._read("last-error") or "it does not say why"
            raise TransportError(f"{self._interface}: {name} failed ({failed[0]}): {why}")

    def _read(self, name: str) -> str:
        try:
            return (self._folder / name).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return ""


def radio_of(root: Path, profile: Profile) -> tuple[Radio, Wifi] | None:
    """Return a profile's radio and what it is told; None for a cable."""
    if profile.wifi is None:
        return None
    return Radio(root, profile.interface), profile.wifi
