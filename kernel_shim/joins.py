"""Class services and the drivers they are for: who is told of what, and the wires between them.

A class service (`with = ["network."]` in its manifest) is told which schemes of those names are
served, and may put a **wire** into one: a descriptor, of a TAP, which its driver then moves frames
through.  The wires are the shim's, like FUSE connections: the driver has them in every set-up, so
that a connection over one outlives the driver.  The messages, all over the control sockets:

```
service → shim   {"join": SCHEME, "id": n}, with or without one descriptor; "mac": the card's
                 {"part": SCHEME, "id": n}         takes the wire out
                 {"keep": NAME, "id": n}           with one descriptor, for its own successors
                 {"connect": SCHEME, "id": n}      the answer brings a socket at its ring door
                 {"forget": NAME, "id": n}         closes what was kept by that name
                 of `keep` and `forget` without an id a refusal is logged, and nothing answered
shim → service   set-up: facts["with"] = {SCHEME: FACTS}, "kept": {NAME: index of the descriptor}
                 {"with": SCHEME, "facts": FACTS}  it is served, or its facts have changed
                 {"without": SCHEME}               it is served no more; its wire is out
driver → shim    {"adapter": SCHEME, "facts": {"mac": "52:54:00:…", "link": Mb/s, "mtu": bytes}}
shim → driver    set-up: "joins": [{"scheme", "by", "fd": index, "mac": text or null}]
                 {"join": SCHEME, "by": SERVICE, "mac": text or null}, with one descriptor
                 {"part": SCHEME, "by": SERVICE}
```

What a service may be connected with its manifest names (`calls`), and it is told of those schemes
as well.  Who calls there is the shim: so a daemon that is locked in reaches them at any time, and
again when their daemons were restarted.

A join takes the place of an earlier one by the same service; a join without a descriptor leaves the
wire and gives the card another address.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kernel_shim import keepable
from kernel_shim.service import Running, State
from redbear_host.abi import errno as e
from redbear_host.errors import Refused

log = logging.getLogger(__name__)

_NAME_MOST: Final = 64
_NONE: Final = ("/",)  # how no scheme begins
_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_NUMBERS: Final = {"link": 1 << 24, "mtu": 1 << 16}  # Mb/s, bytes: the most that makes sense


@dataclass
class _Wire:
    """One end of a TAP, and the address its card is to have."""

    fd: int
    mac: str | None


@dataclass
class _Scheme:
    """A scheme that class services may be for."""

    driver: Running
    facts: dict[str, Any] = field(default_factory=dict)
    wires: dict[str, _Wire] = field(default_factory=dict)  # by the service's name


class Joins:
    """All schemes there are, and what is joined to them."""

    def __init__(self) -> None:
        self._schemes: Final[dict[str, _Scheme]] = {}
        self._services: Final[list[Running]] = []
        self._kept: Final[dict[str, dict[str, int]]] = {}
        self._waiting: Final[set[str]] = set()  # schemes whose daemon starts with their first use

    @property
    def served(self) -> tuple[str, ...]:
        """The names of all schemes whose daemons have been ready."""
        return tuple(self._schemes)

    # -- what the supervisor sees happen -----------------------------------------------------------

    def add(self, running: Running) -> None:
        """Hear of a service before its first life."""
        if _told_of(running):
            self._services.append(running)

    def on_waiting(self, running: Running) -> None:
        """Hear that a daemon waits for the first use of its schemes, and whoever calls is one."""
        self._waiting.update(scheme.name for scheme in running.schemes)

    def on_ready(self, running: Running) -> None:
        """Hear that a daemon serves; each life says so, the first counts."""
        for scheme in running.schemes:
            self._waiting.discard(scheme.name)
            if scheme.name not in self._schemes:
                self._schemes[scheme.name] = _Scheme(running)
                self._tell(scheme.name)

    def on_lost(self, running: Running) -> None:
        """Hear that a daemon's device has left, or that it is given up."""
        self._let_go(running.service.name)
        for scheme in running.schemes:
            self._waiting.discard(scheme.name)
            lost = self._schemes.pop(scheme.name, None)
            if lost is None:
                continue
            for by, wire in lost.wires.items():
                running.tell({"part": scheme.name, "by": by})
                keepable.close(wire.fd)
            for service in self._for(scheme.name):
                service.tell({"without": scheme.name})

    def on_facts(self, running: Running, said: Mapping[str, Any]) -> None:
        """Take what a driver says of its card; ValueError for what makes no sense."""
        name, facts = said["adapter"], said.get("facts")
        if not isinstance(facts, dict) or name not in {one.name for one in running.schemes}:
            raise ValueError(f"no scheme of its own: {name!r}")
        known: dict[str, Any] = {}
        for key, most in _NUMBERS.items():
            if key in facts:
                if type(facts[key]) is not int or not 0 <= facts[key] <= most:
                    raise ValueError(f"{key} is {facts[key]!r}")
                known[key] = facts[key]
        if "mac" in facts:
            known["mac"] = _mac(facts["mac"])
        scheme = self._schemes.get(name)
        if scheme is None:  # it says so before it is ready, as it should
            scheme = self._schemes[name] = _Scheme(running)
        if scheme.facts != known:
            scheme.facts = known
            self._tell(name)

    def setup(self, running: Running, fds: list[int]) -> dict[str, Any]:
        """Return what a new life's set-up says of this; descriptors are added to `fds`."""
        said: dict[str, Any] = {}
        kept = self._kept.get(running.service.name, {})
        if kept:
            said["kept"] = {name: len(fds) + index for index, name in enumerate(kept)}
            fds += kept.values()
        joins = []
        for mounted in running.schemes:
            scheme = self._schemes.get(mounted.name)
            for by, wire in scheme.wires.items() if scheme is not None else ():
                entry = {"scheme": mounted.name, "by": by, "fd": len(fds), "mac": wire.mac}
                joins.append(entry)
                fds.append(wire.fd)
        if joins:
            said["joins"] = joins
        return said

    def facts(self, running: Running) -> dict[str, Any]:
        """Return what a new life of a class service is told of the schemes it is for."""
        if not _told_of(running):
            return {}
        known = {name: self._schemes[name].facts for name in self._schemes_for(running)}
        may_call = running.service.calls or _NONE
        return {"with": known | {name: {} for name in self._waiting if name.startswith(may_call)}}

    # -- what services ask -------------------------------------------------------------------------

    def join(self, running: Running, said: Mapping[str, Any], fds: list[int]) -> None:
        """Put a wire in.

        EACCES for a scheme the service is not for, ENODEV for one that is not served, EINVAL
        without a descriptor where there is no wire yet, and for one that may not be held
        (`kernel_shim.keepable`).  The descriptor is taken out of `fds`.
        """
        name, service = str(said["join"]), running.service.name
        scheme = self._scheme(running, name)
        mac = None if said.get("mac") is None else _mac(said["mac"])
        wire = scheme.wires.get(service)
        if fds:
            _check(fds[0])
            if wire is not None:
                keepable.close(wire.fd)
            wire = scheme.wires[service] = _Wire(fds.pop(), mac)
        elif wire is None:
            raise Refused(e.EINVAL)
        else:
            wire.mac = mac
        scheme.driver.tell({"join": name, "by": service, "mac": wire.mac}, [wire.fd])

    def part(self, running: Running, said: Mapping[str, Any]) -> None:
        """Take a wire out; ENOTCONN when there is none."""
        name, service = str(said["part"]), running.service.name
        scheme = self._scheme(running, name)
        wire = scheme.wires.pop(service, None)
        if wire is None:
            raise Refused(e.ENOTCONN)
        keepable.close(wire.fd)
        scheme.driver.tell({"part": name, "by": service})

    def keep(self, running: Running, said: Mapping[str, Any], fds: list[int]) -> None:
        """Hold a descriptor for a service's successors; it takes the place of one so named.

        EINVAL without one that may be held (`kernel_shim.keepable`), ENFILE for too many.
        """
        name = str(said["keep"])[:_NAME_MOST]
        kept = self._kept.setdefault(running.service.name, {})
        if not fds:
            raise Refused(e.EINVAL)
        _check(fds[0])
        if name in kept:
            keepable.close(kept.pop(name))
        elif len(kept) >= running.service.keep_most:
            raise Refused(e.ENFILE)
        kept[name] = fds.pop()

    def forget(self, running: Running, said: Mapping[str, Any]) -> None:
        """Let go of what is kept for a service's successors; ENOENT if nothing is, by that name."""
        kept = self._kept.get(running.service.name, {})
        name = str(said["forget"])[:_NAME_MOST]
        if name not in kept:
            raise Refused(e.ENOENT)
        keepable.close(kept.pop(name))

    def _let_go(self, service: str) -> None:
        """Take out the wires of a service that is given up, and what was kept for it."""
        for name, scheme in self._schemes.items():
            wire = scheme.wires.pop(service, None)
            if wire is not None:
                keepable.close(wire.fd)
                scheme.driver.tell({"part": name, "by": service})
        for fd in self._kept.pop(service, {}).values():
            keepable.close(fd)

    def close(self) -> None:
        """Let go of all descriptors."""
        for scheme in self._schemes.values():
            for wire in scheme.wires.values():
                keepable.close(wire.fd)
            scheme.wires.clear()
        for kept in self._kept.values():
            for fd in kept.values():
                keepable.close(fd)
        self._schemes.clear()
        self._kept.clear()

    # -- who is for what ---------------------------------------------------------------------------

    def check(self, running: Running, name: str) -> None:
        """Refuse what it may not be connected with: EACCES if it is not for it, ENODEV for none."""
        if not name.startswith(_told_of(running) or _NONE):
            raise Refused(e.EACCES)
        if name not in self._schemes and name not in self._waiting:
            raise Refused(e.ENODEV)

    def _scheme(self, running: Running, name: str) -> _Scheme:
        if not name.startswith(running.service.with_ or _NONE):
            raise Refused(e.EACCES)
        scheme = self._schemes.get(name)
        if scheme is None:
            raise Refused(e.ENODEV)
        return scheme

    def _schemes_for(self, running: Running) -> Iterator[str]:
        return (name for name in self._schemes if name.startswith(_told_of(running)))

    def _for(self, name: str) -> Iterator[Running]:
        return (
            one
            for one in self._services
            if name.startswith(_told_of(one)) and one.state is not State.FAILED
        )

    def _tell(self, name: str) -> None:
        for service in self._for(name):
            service.tell({"with": name, "facts": self._schemes[name].facts})


def _told_of(running: Running) -> tuple[str, ...]:
    """Return how the schemes begin that a service is told of."""
    return (*running.service.with_, *running.service.calls)


def _check(fd: int) -> None:
    if not keepable.is_known(fd):
        raise Refused(e.EINVAL)


def _mac(text: object) -> str:
    if not isinstance(text, str) or _MAC.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no hardware address")
    return text
