"""What the daemon of the scheme `pci` is told: whom we drive, the lab's functions, and who comes.

```
set-up: facts["lab"] = [FACTS, …], facts["drivers"] = {ADDRESS: DAEMON}
shim → pcid   {"function": FACTS}          of the lab: it is there; else only its driver has changed
              {"function": FACTS}          with two descriptors, of its files `config` and `uevent`:
                                           the machine has it now
              {"no_function": ADDRESS}     it has left
```

FACTS hold `address`, `driver` (a daemon's name, or empty), and of the lab `config`, in hexadecimal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from kernel_shim.host import MACHINE, Host
from kernel_shim.service import Running


class Functions:
    """The functions that daemons of ours drive."""

    def __init__(self) -> None:
        self._taken: Final[dict[str, Mapping[str, Any]]] = {}

    def facts(self, running: Running) -> dict[str, Any]:
        """Return what a new life of the scheme's daemon is told; nothing for another's."""
        if not running.service.lists_functions:
            return {}
        return {
            "lab": [facts for facts in self._taken.values() if "config" in facts],
            "drivers": {address: facts["driver"] for address, facts in self._taken.items()},
        }

    def learn(self, facts: Mapping[str, Any], services: Iterable[Running]) -> None:
        """Hear that a daemon of ours drives a function."""
        self._taken[facts["address"]] = facts
        _tell(services, {"function": facts})

    def forget(self, address: str, services: Iterable[Running]) -> None:
        """Hear that none does any more: one of the lab is gone then, the machine's stays."""
        facts = self._taken.pop(address, None)
        if facts is None:
            return
        if "config" in facts:
            _tell(services, {"no_function": address})
        else:
            _tell(services, {"function": {"address": address, "driver": ""}})


def appeared(address: str, services: Iterable[Running], host: Host = MACHINE) -> None:
    """Let it be shown that the machine has another function."""
    folder = host.folder(address)
    with suppress(OSError), ExitStack() as files:  # it may have left already
        fds = [files.enter_context((folder / n).open("rb")).fileno() for n in ("config", "uevent")]
        _tell(services, {"function": {"address": address, "driver": "", "ids": _ids(folder)}}, fds)


def left(address: str, services: Iterable[Running]) -> None:
    """Let it be shown that the machine has it no longer."""
    _tell(services, {"no_function": address})


def _ids(folder: Path) -> dict[str, int]:
    names = {
        "vendor": "vendor",
        "device": "device",
        "subsystem_vendor": "subsystem_vendor",
        "subsystem": "subsystem_device",
        "class_code": "class",
        "revision": "revision",
    }
    return {key: int((folder / name).read_text(), 16) for key, name in names.items()}


def _tell(services: Iterable[Running], message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
    for running in services:
        if running.service.lists_functions:
            running.tell(message, fds)
