"""The screens Orbital draws on, and which of the three kinds it takes.

A kind of screen is a `Source`; each has its module: `orbital.outputs.kms` (cards of Linux's, by
`open_cards`), `displays` (schemes `display.*`) and `headless` (memory).  That of KMS is imported
only where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from typing import Protocol

from orbital.output import Output


class Kind(StrEnum):
    """What the option `output` may say beside `auto`."""

    KMS = "kms"
    DISPLAY = "display"
    HEADLESS = "headless"
    NONE = "none"  # no screen, and no keyboard either


class Source(Protocol):
    """Where screens come from.

    `orbital.outputs.kms.open_cards(names, loop)` returns one: `names` are those of the option
    `cards` (`card0`, or a path of a node), opened as root before the daemon is locked in; it raises
    `ConfigError` for a card that is not there or is somebody else's.
    """

    on_outputs: Callable[[], object]
    """Called when `outputs` has changed: a monitor was plugged in, a display's daemon came."""

    @property
    def outputs(self) -> Sequence[Output]:
        """The screens there are now, in the order in which they stand side by side by default."""
        ...

    def close(self) -> None:
        """Give all of them back as they were found."""
        ...


def choose(wanted: str, cards: Collection[str], displays: Collection[str]) -> Kind:
    """Say which kind to use.

    `wanted` is the option `output`, `cards` those that the user named, `displays` the schemes
    `display.*` that are served.  `auto` takes cards that were named, else displays, else memory: a
    card of the machine's is never taken unasked, since somebody may sit before it.
    """
    if wanted != "auto":
        return Kind(wanted)
    if cards:
        return Kind.KMS
    return Kind.DISPLAY if displays else Kind.HEADLESS
