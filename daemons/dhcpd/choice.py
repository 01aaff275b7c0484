"""What to do with an adapter that appears: the user's word first, then what is there, then DHCP."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from daemons.dhcpd.memory import Remembered, Wish
from redbear_host.profiles.setting import How, Setting


class Act(StrEnum):
    """What is done."""

    DHCP = "dhcp"
    STATIC = "static"
    LEAVE = "left alone"


class Choice(NamedTuple):
    """And why; empty where nobody said anything."""

    act: Act
    why: str


def choose(
    remembered: Remembered, present: Sequence[str], setting: Setting | str | None, auto: bool
) -> Choice:
    """Choose, by what was asked of an earlier life, the addresses there are, and the files.

    `setting` is a sentence where the files make no sense; `auto` is whether adapters that nobody
    speaks of are asked for by DHCP.
    """
    if remembered.wish is Wish.STOP:
        return Choice(Act.LEAVE, remembered.why)
    if remembered.wish is Wish.START:
        return Choice(Act.DHCP, remembered.why)
    if remembered.lease is not None:
        return Choice(
            Act.DHCP, remembered.why
        )  # begun by an earlier life; files may have changed since
    if present:
        return Choice(Act.LEAVE, f"it has {present[0]} already")
    if isinstance(setting, str):
        return Choice(Act.LEAVE, setting)
    if setting is None:
        return Choice(Act.DHCP, "") if auto else Choice(Act.LEAVE, "auto is off")
    if setting.how is How.STATIC:
        return Choice(Act.STATIC, setting.source)
    if setting.how is How.BOUNDED:
        return Choice(Act.LEAVE, setting.source)
    return Choice(Act.DHCP, setting.source)
