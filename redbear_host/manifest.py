"""Manifests: what a `daemons/NAME/daemon.toml` says, read without importing the daemon.

```toml
[daemon]
summary = "NVMe disks"
schemes = ["disk.{function}-nvme"]    # {function} becomes Redox's name: pci-0000-00-04.0; a name
                                      # without it is the first function's, the next one's is
                                      # NAME.{function}
file_roots = []                       # those of them whose root is a file: /scheme/rand
asks = []                             # what it may ask the shim: "namespace", "join", …
start = "always"                      # or "asked": only where a configuration says so; or "used":
                                      # when somebody first wants something of its schemes
with = ["network."]                   # started once a scheme is served whose name begins so
calls = ["input"]                     # schemes it is told of, and may ask to be connected with
keep_most = 64                        # how many descriptors the shim keeps for its successors

[daemon.restart]                      # more deaths before it was ready, and it is given up
at_most = 5
within = "10s"

[sandbox]                             # absent: it holds what it was handed, and nothing else
keeps = ["CAP_SETUID"]                # capabilities it does not give up
root = "path"                         # the option naming the folder that stays visible to it
network = false                       # true: it stays in the network namespace it has made itself

[match]                               # absent: the daemon drives no PCI function
class = 0x01
subclass = 0x08

[option.queues]                       # what `[daemon.NAME]` in a configuration may set
default = 4
least = 1                             # optional, of a number: what it may be
most = 64
among = ["auto", "none"]              # optional, of a text: the only ones it may be,
like = "[0-9]+x[0-9]+"                # or the regular expression that all of it matches
sentence = "How many I/O queue pairs to ask for."
```

`[match]` follows Redox's pcid-spawner: every field given must hold; `ids`, a table of vendors and
lists of devices, takes the place of `vendor` and `device`; `device_id_range` excludes its `end`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Final

from redbear_host.bdf import Bdf
from redbear_host.errors import ConfigError
from redbear_host.hw.pci.header import display_name
from redbear_host.hw.ports import PciIds
from redbear_host.quantity import Seconds
from redbear_host.sandbox.capabilities import KEEPABLE
from redbear_host.sandbox.lists import of_daemon
from redbear_host.sandbox.policy import Policy
from redbear_host.toml_table import build, did_you_mean, values

WITHIN: Final = Seconds(10)

_TABLES: Final = ("daemon", "match", "option", "sandbox")
_BOUNDS: Final = {"least", "most"}
_SHAPES: Final = {"among", "like"}
_STARTS: Final = ("always", "asked", "used")
_ELSEWHERE: Final = ("orbital",)  # daemons whose room is a package of its own


@dataclass(frozen=True, kw_only=True)
class Restart:
    """When to stop bringing a daemon back."""

    at_most: Annotated[int, "How many deaths before it was ready are forgiven."] = 5
    within: Annotated[Seconds, "The time in which they are counted."] = WITHIN


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What a daemon keeps when it enters the null namespace; its calls are in its `syscalls`."""

    keeps: Annotated[tuple[str, ...], "Capabilities."] = ()
    root: Annotated[str, "The option that names a folder, which it sees as its root."] = ""
    network: Annotated[bool, "It stays in a network namespace that it makes for itself."] = False


@dataclass(frozen=True, kw_only=True)
class Match:
    """Which PCI functions a daemon drives; a field that is None is not looked at."""

    class_: Annotated[int | None, "The base class, 0 to 0xFF."] = None
    subclass: Annotated[int | None, "The subclass, 0 to 0xFF."] = None
    interface: Annotated[int | None, "The programming interface, 0 to 0xFF."] = None
    vendor: Annotated[int | None, "The maker's id."] = None
    device: Annotated[int | None, "The device's id."] = None
    ids: frozenset[tuple[int, int]] | None = None  # pairs of vendor and device
    device_id_range: range | None = None

    def accepts(self, ids: PciIds) -> bool:
        """Tell whether every field given holds."""
        if self.ids is not None:
            known = (ids.vendor, ids.device) in self.ids
        else:
            known = self.vendor in (None, ids.vendor) and self.device in (None, ids.device)
        return (
            known
            and self.class_ in (None, ids.class_code >> 16)
            and self.subclass in (None, ids.class_code >> 8 & 0xFF)
            and self.interface in (None, ids.class_code & 0xFF)
            and (self.device_id_range is None or ids.device in self.device_id_range)
        )


@dataclass(frozen=True, kw_only=True)
class Option:
    """One setting a daemon takes; a configuration's value must be of the default's type."""

    default: str | int | bool
    sentence: str
    least: int | None = None
    most: int | None = None
    among: tuple[str, ...] = ()
    like: str = ""

    def check(self, value: str | int | bool) -> None:
        """Raise `ValueError` for a number out of range, and for a text that says nothing."""
        if isinstance(value, str):
            if self.among and value not in self.among:
                raise ValueError(f"{value!r} is none of {', '.join(self.among)}")
            if self.like and re.fullmatch(self.like, value, re.ASCII) is None:
                raise ValueError(f"{value!r} is not understood")
            return
        if self.least is not None and value < self.least:
            raise ValueError(f"{value} is less than {self.least}")
        if self.most is not None and value > self.most:
            raise ValueError(f"{value} is more than {self.most}")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One daemon, as the supervisor knows it."""

    name: str
    summary: Annotated[str, "What it drives or serves, in a few words."]
    schemes: Annotated[tuple[str, ...], "The names it serves below /scheme."]
    file_roots: Annotated[tuple[str, ...], "Those of them whose root is a file."] = ()
    start: Annotated[str, "When a daemon without [match] starts: always, asked, used."] = "always"
    with_: Annotated[tuple[str, ...], "How the schemes begin that it is started with."] = ()
    calls: Annotated[tuple[str, ...], "How those begin that it may be connected with."] = ()
    asks: Annotated[tuple[str, ...], "What it may ask the shim: join, part, keep, connect, …"] = ()
    keep_most: Annotated[int, "How many descriptors are kept for its successors."] = 64
    restart: Restart = field(default_factory=Restart)
    sandbox: Sandbox = field(default_factory=Sandbox)
    match: Match | None = None
    options: Mapping[str, Option] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """What `python -I -m` runs."""
        return self.name if self.name in _ELSEWHERE else f"daemons.{self.name}"

    def policy(self, options: Mapping[str, Any], landing: str | None = None) -> Policy:
        """Say what it may do once it is locked in, with these options and by this landing."""
        root = str(options[self.sandbox.root]) if self.sandbox.root else None
        rules = of_daemon(self.name, () if landing is None else (landing,))
        return Policy(
            rules=tuple(rules),
            keeps=self.sandbox.keeps,
            root=root,
            network=self.sandbox.network,
        )

    def scheme_names(
        self, function: Bdf | None, taken: Container[str] = frozenset()
    ) -> tuple[str, ...]:
        """Name its schemes for the function it drives; None for one that drives none.

        A name that tells no function is the first one's; where it is `taken`, the function is
        added: `audiohw.pci-0000-00-05.0`.
        """
        if self.match is not None and function is None:
            raise ValueError(f"{self.name} drives a PCI function; none was given")
        name = "" if function is None else display_name(function)
        names = [scheme.replace("{function}", name) for scheme in self.schemes]
        return tuple(f"{it}.{name}" if name and it in taken else it for it in names)

    def file_names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of its `scheme_names` whose root is a file."""
        pairs = zip(self.schemes, names, strict=True)
        return tuple(name for scheme, name in pairs if scheme in self.file_roots)


def installed() -> tuple[Manifest, ...]:
    """Read the manifests of all installed daemons, in the order of their names."""
    rooms = [*resources.files("daemons").iterdir(), *map(resources.files, _ELSEWHERE)]
    return _read(rooms)


def read_all(folder: Traversable) -> tuple[Manifest, ...]:
    """Read `NAME/daemon.toml` for every daemon below `folder`."""
    return _read(folder.iterdir())


def _read(rooms: Iterable[Traversable]) -> tuple[Manifest, ...]:
    found = []
    for room in sorted(rooms, key=lambda room: room.name):
        file = room / "daemon.toml"
        if room.is_dir() and file.is_file():
            found.append(parse(room.name, file.read_text(encoding="utf-8")))
    return tuple(found)


def matching(ids: PciIds, manifests: Iterable[Manifest]) -> Manifest | None:
    """Return the first manifest that accepts a function."""
    for manifest in manifests:
        if manifest.match is not None and manifest.match.accepts(ids):
            return manifest
    return None


def named(name: str, manifests: Iterable[Manifest]) -> Manifest:
    """Return the manifest of that name; `ConfigError` if there is no such daemon."""
    known = {manifest.name: manifest for manifest in manifests}
    if name not in known:
        raise ConfigError(f"there is no daemon {name!r}", did_you_mean(name, known))
    return known[name]


def parse(name: str, text: str) -> Manifest:
    """Read one manifest; `ConfigError` names the daemon, the key and what is wrong with it."""
    here = f"daemons/{name}/daemon.toml"
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{here}: {error}") from error
    for key in document:
        if key not in _TABLES:
            raise ConfigError(f"{here}: there is no table [{key}]", did_you_mean(key, _TABLES))
    daemon = _table(here, document, "daemon")
    restart = _table(here, daemon, "restart")
    options = _options(here, _table(here, document, "option"))
    daemon = {key: value for key, value in daemon.items() if key != "restart"}
    found = _values(Manifest, daemon, f"{here} [daemon]")
    match = _match(f"{here} [match]", document["match"]) if "match" in document else None
    for root in found.get("file_roots", ()):
        if root not in found.get("schemes", ()):
            raise ConfigError(f"{here} [daemon]: file_roots names {root!r}, which is no scheme")
    if found.get("start", _STARTS[0]) not in _STARTS:
        raise ConfigError(
            f"{here} [daemon]: start is {found['start']!r}", did_you_mean(found["start"], _STARTS)
        )
    for scheme in found.get("schemes", ()):
        _check_scheme(here, scheme, match)
    for key in ("with_", "calls"):
        if not all(found.get(key, ("network.",))):
            raise ConfigError(
                f"{here} [daemon]: {key.rstrip('_')} names every scheme", 'write it as ["network."]'
            )
    if match is not None and found.get("with_"):
        raise ConfigError(f"{here} [daemon]: a daemon with [match] is started with its device")
    return build(
        Manifest,
        found
        | {
            "name": name,
            "restart": _restart(f"{here} [daemon.restart]", restart),
            "sandbox": _sandbox(f"{here} [sandbox]", _table(here, document, "sandbox"), options),
            "match": match,
            "options": options,
        },
        f"{here} [daemon]",
    )


def _table(here: str, parent: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = parent.get(key, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{here}: {key} is not a table", f"write it as [{key}]")
    return table


def _values(kind: type, table: Mapping[str, Any], here: str) -> dict[str, Any]:
    return values(kind, table, Path(), lambda key: here)


def _check_scheme(here: str, scheme: str, match: Match | None) -> None:
    plain = scheme.replace("{function}", "pci")
    if not plain or any(character in plain for character in "/:{}\0"):
        raise ConfigError(
            f"{here} [daemon]: {scheme!r} cannot be the name of a scheme",
            "a name holds no '/' and no ':'; {function} stands for the PCI function",
        )
    if match is None and plain != scheme:
        raise ConfigError(
            f"{here} [daemon]: {scheme!r} names a PCI function and there is no [match]"
        )


def _restart(here: str, table: Mapping[str, Any]) -> Restart:
    restart = Restart(**_values(Restart, table, here))
    if restart.at_most < 0:
        raise ConfigError(f"{here}: at_most is {restart.at_most}; it counts deaths")
    if restart.within <= 0:
        raise ConfigError(f"{here}: within is no time at all")
    return restart


def _sandbox(here: str, table: Mapping[str, Any], options: Mapping[str, Option]) -> Sandbox:
    sandbox = Sandbox(**_values(Sandbox, table, here))
    for name in sandbox.keeps:
        if name not in KEEPABLE:
            raise ConfigError(f"{here}: keeps names {name!r}", did_you_mean(name, KEEPABLE))
    if sandbox.root and (
        sandbox.root not in options or not isinstance(options[sandbox.root].default, str)
    ):
        raise ConfigError(f"{here}: root names {sandbox.root!r}, which is no option with a text")
    return sandbox


def _match(here: str, table: Any) -> Match:
    if not isinstance(table, dict) or not table:
        raise ConfigError(
            f"{here}: it names nothing and would match every function",
            "give a class or ids, or leave [match] out",
        )
    plain = {k: v for k, v in table.items() if k not in ("ids", "device_id_range")}
    found = _values(Match, plain, here)
    for key, value in found.items():
        top = 0xFFFF if key in ("vendor", "device") else 0xFF
        if not 0 <= value <= top:
            raise ConfigError(f"{here}: {key.rstrip('_')} is {value:#x}, above {top:#x}")
    if "ids" in table:
        found["ids"] = _ids(here, table["ids"])
    if "device_id_range" in table:
        found["device_id_range"] = _device_id_range(here, table["device_id_range"])
    return Match(**found)


def _ids(here: str, table: Any) -> frozenset[tuple[int, int]]:
    if not isinstance(table, dict) or not table:
        raise ConfigError(f"{here}: ids is not a table", 'write { "0x8086" = [0x100e] }')
    pairs: set[tuple[int, int]] = set()
    for vendor, devices in table.items():
        try:
            maker = int(vendor, 16)
        except ValueError:
            maker = -1
        if not vendor.startswith("0x") or not 0 <= maker <= 0xFFFF:
            raise ConfigError(f"{here}: {vendor!r} is not a vendor", 'write it as "0x8086"')
        if not isinstance(devices, list) or not all(_is_id(device) for device in devices):
            raise ConfigError(
                f"{here}: the devices of vendor {vendor} are not a list of ids",
                "write them as [0x100e, 0x10d3]",
            )
        pairs.update((maker, device) for device in devices)
    return frozenset(pairs)


def _device_id_range(here: str, table: Any) -> range:
    if not isinstance(table, dict) or set(table) != {"start", "end"}:
        raise ConfigError(
            f"{here}: device_id_range needs start and end",
            "write { start = 0x1000, end = 0x1040 }; end is not included",
        )
    start, end = table["start"], table["end"]
    if not _is_id(start) or not (_is_id(end) or end == 0x1_0000) or start >= end:
        raise ConfigError(f"{here}: device_id_range from {start!r} to {end!r} holds no device id")
    return range(start, end)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0xFFFF


def _options(here: str, table: Mapping[str, Any]) -> dict[str, Option]:
    options = {}
    for name, entry in table.items():
        where = f"{here} [option.{name}]"
        known = {"default", "sentence"}
        if not isinstance(entry, dict) or set(entry) - _BOUNDS - _SHAPES != known:
            raise ConfigError(
                f"{where}: it needs a default and a sentence, and may have a least and a most, or "
                "an among or a like"
            )
        default, sentence = entry["default"], entry["sentence"]
        if not isinstance(default, str | int | bool) or not isinstance(sentence, str):
            raise ConfigError(
                f"{where}: the default is a text, a whole number or true or false, the sentence a "
                "text"
            )
        bounds = {key: entry[key] for key in sorted(_BOUNDS & set(entry))}
        if not all(type(number) is int for number in (default, *bounds.values())) and bounds:
            raise ConfigError(f"{where}: only a number has a least and a most")
        shapes = _shapes(where, default, entry)
        options[name] = Option(default=default, sentence=sentence, **bounds, **shapes)
        try:
            options[name].check(default)
        except ValueError as error:
            raise ConfigError(f"{where}: the default: {error}") from error
    return options


def _shapes(where: str, default: Any, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Read what an option's text may be."""
    shapes = {key: entry[key] for key in sorted(_SHAPES & set(entry))}
    if shapes and not isinstance(default, str):
        raise ConfigError(f"{where}: only a text has an among or a like")
    if "among" in shapes:
        among = shapes["among"]
        if not isinstance(among, list) or not all(isinstance(one, str) for one in among):
            raise ConfigError(f"{where}: among is not a list of texts", 'write ["on", "off"]')
        shapes["among"] = tuple(among)
    if "like" in shapes:
        try:
            re.compile(shapes["like"])
        except (TypeError, re.error) as error:
            raise ConfigError(f"{where}: like is no regular expression: {error}") from error
    return shapes
