"""What `audio.ctl` shows, as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from daemons.audiod.player import Player
from daemons.audiod.stream import Stream

_COLUMNS: Final = (
    *("ID", "PID", "USER", "FORMAT", "VOLUME", "PLAYED", "QUEUED", "UNDERRUNS", "SILENCE"),
    *("STATE", "PROGRAM"),
)


def clients(streams: Iterable[Stream]) -> str:
    """Return a line for each stream, behind one with the names of the columns."""
    lines = [" ".join(_COLUMNS)]
    for one in streams:
        cells: tuple[object, ...] = (
            *(one.number, one.pid, one.caller.uid, one.format, one.volume, one.head),
            *(one.level, one.underruns, one.silence, _state(one), _plain(one.program)),
        )
        lines.append(" ".join(map(str, cells)))
    return "\n".join(lines) + "\n"


def _state(stream: Stream) -> str:
    if stream.closed:
        return "ending"
    return "waiting" if stream.filling else "playing"


def _plain(name: str) -> str:
    """Return a program's name in which nothing can be mistaken for another line."""
    return "".join(c if c.isprintable() else "?" for c in name) or "?"


def stats(player: Player) -> str:
    """Return lines `NAME VALUE`."""
    facts = {
        "card": int(player.connected),
        "connections": player.connections,
        "rate": player.rate,
        "blocks": player.blocks,
        "clipped": player.mixer.clipped,
        "streams": len(player.streams),
        "underruns": player.underruns + sum(one.underruns for one in player.streams.values()),
    }
    return "".join(f"{name} {value}\n" for name, value in facts.items())
