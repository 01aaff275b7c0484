"""Rules about system calls: what the lines of a list become, and travels to the daemon.

A daemon imports this and not `lists`: how long it takes to start, its clients wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple


class Check(StrEnum):
    """What must hold of an argument."""

    ALWAYS = "always"
    IN = "in"  # it is one of the values
    WITHOUT = "without"  # it has none of the bits
    WITH = "with"  # it has one of the bits


class Rule(NamedTuple):
    """One line: a call is allowed if `check` holds of its argument, and what is `also` said."""

    call: str
    check: Check = Check.ALWAYS
    argument: int = 0
    values: tuple[int, ...] = ()
    also: Rule | None = None  # what must hold as well; its call is the same

    @property
    def conditions(self) -> list[Rule]:
        """All checks of the line, one after the other."""
        return [self, *(self.also.conditions if self.also is not None else ())]


def to_wire(rules: Sequence[Rule]) -> list[Any]:
    """Return what `from_wire` takes, for JSON."""
    return [
        [[one.call, one.check, one.argument, list(one.values)] for one in rule.conditions]
        for rule in rules
    ]


def from_wire(entries: Sequence[Any]) -> list[Rule]:
    """Take rules that the shim sent."""
    rules = []
    for conditions in entries:
        rule: Rule | None = None
        for call, check, argument, values in reversed(conditions):
            rule = Rule(call, Check(check), argument, tuple(values), rule)
        if rule is not None:
            rules.append(rule)
    return rules
