"""The language of system call lists: what a daemon may ask of Linux, one call a line.

```
use scheme                               # all of redbear_host/sandbox/lists/scheme
getrandom                                # fresh seeds
ioctl 1 in FIONBIO FIOCLEX               # Python's set_blocking, set_inheritable
mmap 2 without PROT_EXEC                 # memory, never code
newfstatat 3 with AT_EMPTY_PATH          # fstat, never by a path
socket 0 in AF_INET and 1 in SOCK_DGRAM  # both hold
```

The number counts the call's arguments from 0; all that can be looked at are 32 bits wide, or have
nothing of interest above.  A call with several lines is allowed by any of them.  Every call needs a
reason.  A daemon's list is `daemons/NAME/syscalls`; one without has `use scheme`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from redbear_host.errors import ConfigError
from redbear_host.sandbox.constants import CONSTANTS
from redbear_host.sandbox.numbers import NUMBERS
from redbear_host.sandbox.rules import Check, Rule

MOST_CALLS: Final = 45  # that a daemon may have on its list

_DEFAULT: Final = "use scheme  # a daemon that says nothing else\n"
_ARGUMENTS: Final = 6


def of_daemon(name: str, also: Sequence[str] = (), folder: Traversable | None = None) -> list[Rule]:
    """Read a daemon's list, and those of the classes named by `also`: its landing's.

    `ConfigError` names the file and the line of what cannot be read.
    """
    room = room_of(name) if folder is None else folder / name
    file = room / "syscalls"
    text = file.read_text(encoding="utf-8") if file.is_file() else _DEFAULT
    rules = parse(text, f"daemons/{name}/syscalls")
    for other in also:
        rules += _of_class(other, f"the landing of {name}")
    rules = list(dict.fromkeys(rules))
    calls = {rule.call for rule in rules}
    if len(calls) > MOST_CALLS:
        raise ConfigError(f"daemons/{name}/syscalls: {len(calls)} calls, above {MOST_CALLS}")
    return rules


def room_of(name: str) -> Traversable:
    """Return the folder of an installed daemon; Orbital's is a package of its own."""
    return resources.files(name) if name == "orbital" else resources.files("daemons") / name


def parse(text: str, here: str) -> list[Rule]:
    """Read a list; the lines of those it uses come in their place."""
    rules: list[Rule] = []
    for number, line in enumerate(text.splitlines(), 1):
        words, _, why = line.partition("#")
        if not words.strip():
            continue
        place = f"{here}:{number}"
        if not why.strip():
            raise ConfigError(f"{place}: {words.strip()!r} has no reason", "write it after a #")
        call, *rest = words.split()
        if call == "use":
            for other in rest:
                rules += _of_class(other, place)
        else:
            rules.append(_rule(place, call, rest))
    return rules


def _of_class(name: str, place: str) -> list[Rule]:
    file = resources.files(__package__) / "lists" / name
    if "/" in name or not file.is_file():
        raise ConfigError(f"{place}: there is no class {name!r} of daemons")
    return parse(file.read_text(encoding="utf-8"), f"redbear_host/sandbox/lists/{name}")


def _rule(place: str, call: str, rest: list[str]) -> Rule:
    if call not in NUMBERS:
        raise ConfigError(
            f"{place}: no system call {call!r} is known",
            "add its numbers to redbear_host/sandbox/numbers.py",
        )
    if not rest:
        return Rule(call)
    if "and" in rest:
        at = rest.index("and")
        first, second = (_rule(place, call, part) for part in (rest[:at], rest[at + 1 :]))
        if Check.ALWAYS in (first.check, second.check):
            raise ConfigError(f"{place}: 'and' does not stand between two checks")
        return first._replace(also=second)
    if len(rest) < 3 or rest[1] not in (Check.IN, Check.WITHOUT, Check.WITH):
        raise ConfigError(
            f"{place}: {' '.join(rest)!r} is no check", "write it as: mmap 2 without PROT_EXEC"
        )
    if not rest[0].isdecimal() or int(rest[0]) >= _ARGUMENTS:
        raise ConfigError(f"{place}: {rest[0]!r} is no argument; they count from 0 to 5")
    values = tuple(_value(place, word) for word in rest[2:])
    return Rule(call, Check(rest[1]), int(rest[0]), values)


def _value(place: str, word: str) -> int:
    if word in CONSTANTS:
        return CONSTANTS[word]
    try:
        value = int(word, 0)
    except ValueError:
        raise ConfigError(
            f"{place}: no constant {word!r} is known", "add it to redbear_host/sandbox/constants.py"
        ) from None
    if not 0 <= value < 1 << 32:
        raise ConfigError(f"{place}: {word} does not have 32 bits")
    return value
