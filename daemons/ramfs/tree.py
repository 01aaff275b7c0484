"""The tree of names: finding, making, moving and removing, as POSIX has it."""

from __future__ import annotations

import stat
from typing import Final, NamedTuple

from daemons.ramfs.content import Room
from daemons.ramfs.nodes import NODE_ROOM, Directory, Link, Node
from daemons.ramfs.permissions import SEARCH, WRITE, check, check_removal
from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller

_ROOT_MODE: Final = 0o1777  # everyone may make things, and remove what is theirs, as in /tmp
_LINKS_MOST: Final = 40  # symbolic links on the way, as Linux has it
_NAME_MAX: Final = 255  # bytes
_DIRECTORY_LINKS: Final = 2  # its name and its own "."

_ROOT_CALLER: Final = Caller(0, 0, 0)


class Place(NamedTuple):
    """Where a path leads: a name in a directory, and what has it, if anything has.

    The name is empty for the root, and for what `.` and `..` lead to.
    """

    parent: Directory
    name: str
    node: Node | None

    @property
    def found(self) -> Node:
        """What has the name; ENOENT if nothing has."""
        if self.node is None:
            raise Refused(e.ENOENT)
        return self.node


class Tree:
    """All there is, in `size` bytes."""

    def __init__(self, size: int) -> None:
        self.room: Final = Room(size)
        self._inodes = 1
        self.root: Final = Directory(1, _ROOT_MODE, _ROOT_CALLER, self.room)

    # -- finding -----------------------------------------------------------------------------------

    def find(self, start: Directory, path: str, follow: bool, caller: Caller) -> Place:
        """Go along `path`; `follow` says whether a link at its end is gone through.

        A link that leads out of the scheme (an absolute one, or by `..`) is EXDEV: the client reads
        it and goes on by itself.
        """
        links = 0
        at, names = start, path.split("/")[::-1]
        place = Place(at, "", at)
        through_link = False
        while names:
            name = names.pop()
            if name in ("", "."):
                continue
            if not isinstance(place.node, Directory):
                raise Refused(e.ENOENT if place.node is None else e.ENOTDIR)
            at = place.node
            check(at, SEARCH, caller)
            if name == "..":
                if at is self.root and through_link:
                    raise Refused(e.EXDEV)
                place = Place(at.parent, "", at.parent)
                continue
            if len(name.encode("utf-8", "surrogateescape")) > _NAME_MAX:
                raise Refused(e.ENAMETOOLONG)
            node = at.entries.get(name)
            if isinstance(node, Link) and (follow or any(part for part in names)):
                links += 1
                if links > _LINKS_MOST:
                    raise Refused(e.ELOOP)
                target = node.target.decode("utf-8", "surrogateescape")
                if target.startswith("/"):
                    raise Refused(e.EXDEV)
                names += target.split("/")[::-1]
                through_link = True
                place = Place(at, "", at)
                continue
            place = Place(at, name, node)
        return place

    def path_of(self, parent: Directory, name: str) -> str:
        """Return the path of a name, without a leading slash."""
        parts = [name] if name else []
        while parent is not self.root and parent.parent is not parent:
            parts.append(parent.name)
            parent = parent.parent
        return "/".join(reversed(parts))

    # -- making ------------------------------------------------------------------------------------

    def make(self, place: Place, kind: type[Node], mode: int, caller: Caller) -> Node:
        """Make a file, directory or link at a place where nothing is."""
        self._check_new(place, caller)
        parent = place.parent
        self._inodes += 1
        node = kind(self._inodes, mode, caller, self.room)
        if parent.mode & stat.S_ISGID:
            node.gid = parent.gid
            if kind is Directory:
                node.mode |= stat.S_ISGID
        self._enter(place, node)
        return node

    def link(self, node: Node, place: Place, caller: Caller) -> None:
        """Give a node one more name."""
        self._check_new(place, caller)
        if isinstance(node, Directory):
            raise Refused(e.EPERM)
        if not node.links:
            raise Refused(e.ENOENT)
        self.room.take(NODE_ROOM)
        node.links += 1
        node.note_change()
        self._enter(place, node)

    @staticmethod
    def _check_new(place: Place, caller: Caller) -> None:
        if place.node is not None:
            raise Refused(e.EEXIST)
        if not place.parent.links:
            raise Refused(e.ENOENT)  # the directory itself was removed
        check(place.parent, WRITE | SEARCH, caller)

    @staticmethod
    def _enter(place: Place, node: Node) -> None:
        parent = place.parent
        parent.entries[place.name] = node
        if isinstance(node, Directory):
            node.parent, node.name = parent, place.name
            parent.links += 1
        parent.touch()

    # -- removing and moving -----------------------------------------------------------------------

    def remove(self, place: Place, directory: bool, caller: Caller) -> None:
        """Remove a name: an empty directory's, or that of something else, as `directory` says."""
        node = place.found
        if not place.name:
            raise Refused(e.EBUSY)
        check_removal(place.parent, node, caller)
        if directory:
            if not isinstance(node, Directory):
                raise Refused(e.ENOTDIR)
            if node.entries:
                raise Refused(e.ENOTEMPTY)
        elif isinstance(node, Directory):
            raise Refused(e.EISDIR)
        self._leave(place.parent, place.name, node)
        self._lose_link(node)

    @staticmethod
    def _leave(parent: Directory, name: str, node: Node) -> None:
        del parent.entries[name]
        if isinstance(node, Directory):
            parent.links -= 1
        parent.touch()

    def _lose_link(self, node: Node) -> None:
        node.links -= _DIRECTORY_LINKS if isinstance(node, Directory) else 1
        if node.links:
            self.room.take(-NODE_ROOM)
        node.note_change()
        node.drop_if_unused()

    def rename(self, old: Place, new: Place, caller: Caller) -> None:
        """Give what is at `old` the name `new`, in place of what has it."""
        node, victim = old.found, new.node
        if not old.name or not new.name:
            raise Refused(e.EBUSY)
        if node is victim:
            return
        if not new.parent.links:
            raise Refused(e.ENOENT)
        if isinstance(node, Directory) and new.parent.is_inside(node):
            raise Refused(e.EINVAL)
        if isinstance(victim, Directory) and old.parent.is_inside(victim):
            raise Refused(e.ENOTEMPTY)  # at least of `old`, whatever that is
        check_removal(old.parent, node, caller)
        if victim is None:
            check(new.parent, WRITE | SEARCH, caller)
        else:
            check_removal(new.parent, victim, caller)
        if isinstance(node, Directory) and old.parent is not new.parent:
            check(node, WRITE, caller)  # its ".." changes
        if victim is not None:
            self._check_replaces(node, victim)
            self._leave(new.parent, new.name, victim)
            self._lose_link(victim)
        self._leave(old.parent, old.name, node)
        self._enter(new, node)
        node.note_change()

    @staticmethod
    def _check_replaces(node: Node, victim: Node) -> None:
        if isinstance(victim, Directory):
            if not isinstance(node, Directory):
                raise Refused(e.EISDIR)
            if victim.entries:
                raise Refused(e.ENOTEMPTY)
        elif isinstance(node, Directory):
            raise Refused(e.ENOTDIR)
