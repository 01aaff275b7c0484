"""The text of `/scheme/input/status`: a line for each thing, `KIND key=value …`, the name last."""

from __future__ import annotations

from collections.abc import Iterable

from daemons.inputd.desk import Desk
from daemons.inputd.keymaps import KEYMAPS


def status(desk: Desk, devices: Iterable[str], released: bool) -> str:
    """Return the lines."""
    best = desk.displays.best
    lines = [
        f"keymap name={desk.typist.keymap.name}",
        *(f"layout name={name}" for name in KEYMAPS),
        f"grab wanted={int(not released)}",
    ]
    for vt, consumer in sorted(desk.consumers.items()):
        active = int(vt == desk.active)
        waiting = f"waiting={len(consumer)} dropped={consumer.dropped}"
        lines.append(f"vt number={vt} active={active} pid={consumer.pid} {waiting}")
    for name, how in desk.displays.names():
        lines.append(f"display best={int(name == best)} how={how} name={name}")
    lines += devices
    for source in desk.sources:
        lines.append(f"source events={source.events} refused={source.refused} name={source.name}")
    return "\n".join(lines) + "\n"
