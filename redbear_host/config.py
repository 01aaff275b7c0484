"""What the user asked for: one TOML file with what it includes, and the command line over it.

```toml
include = ["site.toml"]      # relative to this file; read first, so this file overrides it

[general]
mount = "/scheme"

[[device]]
address = "0000:04:00.0"

[[lab]]
name = "nvme"
size = "64M"

[daemon.nvmed]               # what the daemon's own manifest declares below [option]
queues = 2
```

Later files override earlier ones setting by setting: a `[[device]]` by its address, a daemon's
option by its name.  `[[lab]]` devices add up.  A file that is included twice counts once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

from redbear_host.bdf import Bdf
from redbear_host.errors import ConfigError
from redbear_host.manifest import Manifest, Option, named
from redbear_host.sandbox.policy import Policy
from redbear_host.toml_place import line_of
from redbear_host.toml_table import build, convert, did_you_mean, values

MOUNT: Final = Path("/scheme")
RUN_DIR: Final = Path("/run/redbear-host")
PATHS: Final = ("file", "wav")  # keys of lab devices that name a file, relative to the one read


@dataclass(frozen=True, kw_only=True)
class General:
    """`[general]`: where things are."""

    mount: Annotated[Path, "The folder below which the schemes are mounted."] = MOUNT
    run_dir: Annotated[Path, "The folder of the lock, the state and the logs."] = RUN_DIR


@dataclass(frozen=True, kw_only=True)
class Device:
    """`[[device]]`: a PCI function of this machine to take away from Linux."""

    address: Annotated[Bdf, "Its PCI address, as `redbear-host devices` shows it."]
    driver: Annotated[str, "The daemon to drive it; empty: the first whose manifest matches."] = ""
    destructive: Annotated[bool, "Programs may send it commands that destroy data or it."] = False
    wait: Annotated[bool, "It may not be there yet; it is taken once it is plugged in."] = False


@dataclass(frozen=True)
class Lab:
    """`[[lab]]`: a device model of QEMU to drive.

    `name` says which, `destructive` what it does at a `[[device]]`; the other keys are the device's
    own (`redbear-host devices --lab` lists them), here as the texts that follow `--lab NAME:` on
    the command line.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    destructive: bool = False


CheckLab = Callable[[str, Mapping[str, str]], object]
"""Raises `ConfigError` for a lab device that cannot be: `redbear_host.lab.devices.LabDevice`."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything the user asked for."""

    general: General = field(default_factory=General)
    devices: tuple[Device, ...] = ()
    labs: tuple[Lab, ...] = ()
    daemons: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # only what was set
    confined: bool = True  # the command line's --no-sandbox says otherwise; no file can

    def options(self, manifest: Manifest) -> dict[str, Any]:
        """Return all options of a daemon: what was set, else its manifest's defaults.

        The one that names the folder it works on must name one: `ConfigError`.
        """
        found = {name: option.default for name, option in manifest.options.items()}
        found |= self.daemons.get(manifest.name, {})
        root = manifest.sandbox.root
        folder = str(found[root]) if root else ""
        if root and not (folder and Path(folder).is_dir()):
            wrong = f"there is no directory {folder}" if folder else f"{root} is not set"
            raise ConfigError(f"{manifest.name}: {wrong}", manifest.options[root].sentence)
        return found

    def check(self, manifests: Iterable[Manifest]) -> None:
        """Look at the options of all daemons that were asked for, before anything is started."""
        for manifest in manifests:
            if manifest.name in self.daemons:
                self.options(manifest)

    def policy(self, manifest: Manifest, landing: str | None = None) -> Policy | None:
        """Say what a daemon may do once it serves; None: whatever root may."""
        return manifest.policy(self.options(manifest), landing) if self.confined else None


def load(path: Path, manifests: Iterable[Manifest], check_lab: CheckLab) -> Config:
    """Read a configuration file.

    `manifests` say which daemons and options there are, `check_lab` knows the lab's devices.
    """
    reader = _Reader(tuple(manifests), check_lab)
    reader.read(path.absolute(), ())
    return Config(
        general=General(**reader.general),
        devices=tuple(build(Device, found, where) for found, where in reader.devices.values()),
        labs=tuple(reader.labs),
        daemons=reader.daemons,
    )


def merge(
    config: Config,
    *,
    mount: Path | None = None,
    run_dir: Path | None = None,
    devices: Iterable[Bdf] = (),
    awaited: Iterable[Bdf] = (),
    labs: Iterable[Lab] = (),
    destructive: bool = False,
    daemons: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    confined: bool = True,
) -> Config:
    """Lay the command line over a configuration: paths replace, devices and labs come on top.

    A device the file already names keeps the settings it has there, as does a daemon those of its
    options that the command line leaves alone.  `destructive` is for what the command line names.
    """
    paths = {
        name: path.absolute()
        for name, path in (("mount", mount), ("run_dir", run_dir))
        if path is not None
    }
    by_address = {device.address: device for device in config.devices}
    for address in devices:
        found = by_address.get(address, Device(address=address))
        by_address[address] = replace(found, destructive=found.destructive or destructive)
    for address in awaited:
        found = by_address.get(address, Device(address=address))
        by_address[address] = replace(found, wait=True)
    return replace(
        config,
        general=replace(config.general, **paths),
        devices=tuple(by_address.values()),
        labs=(*config.labs, *(replace(lab, destructive=destructive) for lab in labs)),
        daemons={
            name: {**config.daemons.get(name, {}), **daemons.get(name, {})}
            for name in (*config.daemons, *daemons)
        },
        confined=confined,
    )


class _Reader:
    """Reads a file and what it includes, the included first."""

    def __init__(self, manifests: tuple[Manifest, ...], check_lab: CheckLab) -> None:
        self._manifests = manifests
        self._check_lab = check_lab
        self._done: set[Path] = set()
        self.general: dict[str, Any] = {}
        self.devices: dict[Bdf, tuple[dict[str, Any], str]] = {}
        self.labs: list[Lab] = []
        self.daemons: dict[str, dict[str, Any]] = {}

    def read(self, path: Path, chain: tuple[Path, ...]) -> None:
        real = path.resolve()
        told = " includes ".join(str(step) for step in (*chain, path))
        if any(step.resolve() == real for step in chain):
            raise ConfigError(f"{told}: the files include each other in a circle")
        if real in self._done:
            return
        self._done.add(real)
        try:
            text = path.read_text(encoding="utf-8")
            document = tomllib.loads(text)
        except OSError as error:
            raise ConfigError(f"{told}: {error.strerror}", "check the path") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{told}: it is not UTF-8 text (byte {error.start})") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{told}: it is not TOML: {error}") from error
        self._take(_File(path, text), document, (*chain, path))

    def _take(self, file: _File, document: dict[str, Any], chain: tuple[Path, ...]) -> None:
        takers = {
            "general": self._general,
            "device": self._devices,
            "lab": self._labs,
            "daemon": self._daemons,
        }
        for key in document:
            if key != "include" and key not in takers:
                raise ConfigError(
                    f"{file.where('', 0, key)}: there is no section {key!r}",
                    did_you_mean(key, ["include", *takers]),
                )
        try:
            includes = convert(tuple[str, ...], document.get("include", []), Path())
        except ValueError as error:
            raise ConfigError(f"{file.where('', 0, 'include')}: include: {error}") from error
        for name in includes:
            self.read(file.path.parent / name, chain)
        for key, take in takers.items():
            if key in document:
                take(file, document[key])

    def _general(self, file: _File, table: Any) -> None:
        file.check_table("general", table)
        self.general |= file.values(General, "general", 0, table)

    def _devices(self, file: _File, tables: Any) -> None:
        here: set[Bdf] = set()
        for index, table in enumerate(file.tables("device", tables)):
            found = file.values(Device, "device", index, table)
            where = file.where("device", index)
            if found.get("driver"):
                place = file.where("device", index, "driver")
                if self._named(place, found["driver"]).match is None:
                    raise ConfigError(f"{place}: {found['driver']} drives no PCI function")
            address = found.get("address")
            if address is None:
                build(Device, found, where)
            elif address in here:
                raise ConfigError(f"{where}: device {address} is named twice in this file")
            else:
                here.add(address)
                before, where = self.devices.get(address, ({}, where))
                self.devices[address] = (before | found, where)

    def _labs(self, file: _File, tables: Any) -> None:
        for index, table in enumerate(file.tables("lab", tables)):
            where = file.where("lab", index)
            name = table.get("name")
            if not isinstance(name, str):
                raise ConfigError(
                    f"{where}: a lab device needs a name", "redbear-host devices --lab lists them"
                )
            options = {}
            destructive = table.get("destructive", False)
            if not isinstance(destructive, bool):
                raise ConfigError(
                    f"{where}: destructive: {destructive!r} is neither true nor false"
                )
            for key, value in table.items():
                if key not in ("name", "destructive"):
                    options[key] = _lab_text(file.where("lab", index, key), key, value)
                if key in PATHS:
                    options[key] = str(file.path.parent / Path(options[key]).expanduser())
            try:
                self._check_lab(name, options)
            except ConfigError as error:
                raise ConfigError(f"{where}: {error.message}", error.hint) from error
            self.labs.append(Lab(name, options, destructive))

    def _daemons(self, file: _File, tables: Any) -> None:
        file.check_table("daemon", tables)
        for name, table in tables.items():
            section = f"daemon.{name}"
            manifest = self._named(file.where(section, 0), name)
            file.check_table(section, table)
            chosen = self.daemons.setdefault(name, {})
            for key, value in table.items():
                where = file.where(section, 0, key)
                chosen[key] = _option(where, name, manifest.options, key, value)
                if key == manifest.sandbox.root and value:
                    chosen[key] = str(file.path.parent / Path(value).expanduser())

    def _named(self, where: str, name: str) -> Manifest:
        try:
            return named(name, self._manifests)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error.message}", error.hint) from error


def _lab_text(where: str, key: str, value: Any) -> str:
    """Return a lab device's value as the text it would be on the command line."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ConfigError(f"{where}: {key}: {value!r} is neither a text nor a whole number")
    return str(value)


def _option(where: str, daemon: str, known: Mapping[str, Option], key: str, value: Any) -> Any:
    """Check one option of a daemon against its manifest."""
    if key not in known:
        raise ConfigError(
            f"{where}: {daemon} has no option {key!r}",
            did_you_mean(key, known) or f"{daemon} takes no options",
        )
    try:
        found = convert(type(known[key].default), value, Path())
        known[key].check(found)
        return found
    except ValueError as error:
        raise ConfigError(f"{where}: {key}: {error}", known[key].sentence) from error


class _File:
    """One file being read: finds where a key was written, for messages."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._text = text

    def where(self, section: str, index: int, key: str = "") -> str:
        """Tell the place of a key, or of a section's header; the file alone if it is not found."""
        line = line_of(self._text, section, index, key)
        return f"{self.path}, line {line}" if line else str(self.path)

    def values(self, kind: type, section: str, index: int, table: Any) -> dict[str, Any]:
        return values(kind, table, self.path.parent, lambda key: self.where(section, index, key))

    def check_table(self, section: str, table: Any) -> None:
        if not isinstance(table, dict):
            where = self.where("", 0, section)
            raise ConfigError(f"{where}: {section} is not a table", f"write it as [{section}]")

    def tables(self, section: str, tables: Any) -> list[dict[str, Any]]:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            where = self.where(section, 0)
            raise ConfigError(
                f"{where}: {section} is not a list of tables", f"write it as [[{section}]]"
            )
        return tables
