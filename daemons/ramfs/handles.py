"""What clients have open."""

from __future__ import annotations

from dataclasses import dataclass

from daemons.ramfs.nodes import Directory, Node


@dataclass(slots=True)
class Handle:
    """One open file, directory or link, and the name it was opened by."""

    node: Node
    parent: Directory
    name: str  # in `parent`; empty for the root
    may_read: bool
    may_write: bool
    looks: bool  # O_STAT: neither reads nor writes, whatever the permissions
