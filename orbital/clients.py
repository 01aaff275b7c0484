"""All windows of all programs: what each may have, and what a successor goes on with."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from os import close as close_fd
from typing import Any, Final, NamedTuple, Protocol

from orbital.client import Client, Owner
from orbital.desktop import Desktop
from orbital.ledger import Ledger
from orbital.memory import Memory, WindowMemory, borrow, room_for
from orbital.output import Output
from orbital.paths import WindowPath
from orbital.rect import Rect
from redbear_host.abi import errno as e
from redbear_host.abi.display import WORD
from redbear_host.abi.orbital import EventCode, WindowFlag
from redbear_host.errors import Refused

log = logging.getLogger(__name__)

LEDGER: Final = "ledger"  # what the shim keeps the ledger by
WINDOWS_MOST: Final = 1024  # of all
OF_A_USER: Final = 512  # but root, who must not be locked out
OF_A_PROGRAM: Final = 128

_TILED: Final = WindowFlag.MAXIMIZED | WindowFlag.FULLSCREEN
_NAME: Final = re.compile(r"(\d{1,18})\.(\d{1,5})\.(\d{1,5})", re.ASCII)


class Keeper(Protocol):
    """What outlives us: the shim."""

    def keep(self, name: str, fd: int) -> None:
        """Hold a descriptor."""
        ...

    def forget(self, name: str) -> None:
        """Let go of it."""
        ...


class Left(NamedTuple):
    """Memory that a predecessor had kept."""

    width: int
    height: int
    fd: int


class Clients:
    """The windows by their numbers.

    A number is the window's st_ino, and is never given twice in an instance's life.
    """

    def __init__(
        self, desktop: Desktop, keeper: Keeper, kept: Mapping[str, int], most: int
    ) -> None:
        """Open a predecessor's windows again; `most` is how many bytes a user may have."""
        self.on_event: Callable[[Client], object] = lambda client: None
        """Called after each event that was put into a window's queue."""
        self.desktop: Final = desktop
        self._keeper: Final = keeper
        self._most: Final = most
        self._all: Final[dict[int, Client]] = {}
        self._of_user: Final[Counter[int]] = Counter()
        self._of_program: Final[Counter[tuple[int, int]]] = Counter()
        self._bytes: Final[Counter[int]] = Counter()
        self._next = 1
        self._ledger: Final = Ledger(kept.get(LEDGER, -1))
        if LEDGER not in kept:
            keeper.keep(LEDGER, self._ledger.fd)
        self._places: dict[int, tuple[int, int]] = {}  # of windows and the pointer, a life ago
        self._pointer: tuple[int, int] | None = None
        self._left: Final[dict[int, list[Left]]] = {}  # by the numbers of windows
        self._blank: Final[set[int]] = set()  # windows whose pixels are lost
        self._restore(kept)

    def __iter__(self) -> Iterator[Client]:
        return iter(list(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)

    def get(self, number: int) -> Client | None:
        """Return a window by its number."""
        return self._all.get(number)

    def of(self, owner: Owner) -> list[Client]:
        """Return the windows of a program, the last that it opened last."""
        found = [client for client in self._all.values() if client.owner[:2] == owner[:2]]
        return sorted(found, key=lambda client: client.number)

    # -- opening and closing -----------------------------------------------------------------------

    def open(self, wanted: WindowPath, owner: Owner, number: int = 0) -> Client:
        """Open a window.

        EINVAL for a size that no window can have, EMFILE for one too many of a program or a user,
        ENFILE of all, ENOMEM for more pixels than a user may have.  `number` is that of a
        predecessor's window of which nothing else is known.
        """
        self._check_count(owner)
        try:
            width, height = self.desktop.fit(wanted.flags, wanted.width, wanted.height)
        except ValueError as error:
            raise Refused(e.EINVAL, str(error)) from None
        self._check_room(owner, room_for(width, height))
        memory = self._find_left(number, width, height) or self._memory_for(width, height)
        client = self._make(number or self._next, wanted, owner, memory)
        self._keep(client)
        return client

    def _memory_for(self, width: int, height: int) -> Memory:
        """Make memory; a screen's own for a window as large as that screen, if it lends some."""
        for screen in self.desktop.layout:
            if screen.size == (width, height):
                lent = borrow(screen.output, width, height)
                if lent is not None:
                    return lent
        return WindowMemory(width, height)

    def _find_left(self, number: int, width: int, height: int) -> Memory | None:
        """Return what was kept of a window that a predecessor had no time to write down."""
        for one in self._left.get(number, ()):
            if one[:2] == (width, height):
                self._left[number].remove(one)
                return WindowMemory(width, height, one.fd)
        return None

    def _check_count(self, owner: Owner) -> None:
        if self._of_program[owner.pid, owner.uid] >= OF_A_PROGRAM:
            raise Refused(e.EMFILE, f"{OF_A_PROGRAM} windows of one program")
        if owner.uid and self._of_user[owner.uid] >= OF_A_USER:
            raise Refused(e.EMFILE, f"{OF_A_USER} windows of one user")
        if len(self._all) >= WINDOWS_MOST:
            raise Refused(e.ENFILE, f"{WINDOWS_MOST} windows")

    def _check_room(self, owner: Owner, more: int) -> None:
        if self._bytes[owner.uid] + more > self._most:
            raise Refused(e.ENOMEM, f"more than {self._most} bytes of pixels of one user")

    def _make(self, number: int, wanted: WindowPath, owner: Owner, memory: Memory) -> Client:
        try:
            window = self.desktop.open(
                wanted.flags,
                wanted.x,
                wanted.y,
                memory.width,
                memory.height,
                wanted.title,
                memory.memory,
                lent=memory.lent,
            )
        except ValueError as error:
            memory.close()
            raise Refused(e.EINVAL, str(error)) from None
        client = Client(number, owner, wanted.name, window, memory, wanted.rgba)
        window.tag = client
        window.on_event = lambda: self.on_event(client)
        self._next = max(self._next, number + 1)
        self._all[number] = client
        self._count(client, 1)
        return client

    def _count(self, client: Client, sign: int) -> None:
        owner = client.owner
        self._of_user[owner.uid] += sign
        self._of_program[owner.pid, owner.uid] += sign
        if not self._of_program[owner.pid, owner.uid]:
            del self._of_program[owner.pid, owner.uid]
        self._bytes[owner.uid] += sign * client.memory.room

    def resize(self, client: Client, width: int, height: int) -> None:
        """Give a window other memory; the errors are those of `open`.

        What a program has mapped stays its own, and shows nothing any more.
        """
        old = client.memory
        if (width, height) == (old.width, old.height):
            return
        try:
            width, height = self.desktop.fit(WindowFlag(0), width, height)
        except ValueError as error:
            raise Refused(e.EINVAL, str(error)) from None
        self._check_room(client.owner, room_for(width, height) - old.room)
        self._replace(client, self._memory_for(width, height))

    def _replace(self, client: Client, memory: Memory) -> None:
        old = client.memory
        try:
            self.desktop.resize(
                client.window, memory.width, memory.height, memory.memory, lent=memory.lent
            )
        except ValueError as error:
            memory.close()
            raise Refused(e.EINVAL, str(error)) from None
        self._bytes[client.owner.uid] += memory.room - old.room
        client.take(memory)
        self._keep(client)
        self._forget(client.number, old)
        old.close()

    def take_back(self, output: Output) -> None:
        """Hear that a screen goes: windows in its memory get their own, and are told to map it."""
        for client in self:
            lent = client.memory.lent
            if lent is not None and lent.output is output:
                with suppress(Refused):  # it stays as it is then: nothing is pulled from under it
                    self._replace(client, WindowMemory(client.memory.width, client.memory.height))
                    client.window.post(EventCode.RESIZE, client.window.width, client.window.height)

    def close(self, client: Client) -> None:
        """Close a window."""
        if self._all.pop(client.number, None) is None:
            return
        self.desktop.close(client.window)
        self._count(client, -1)
        self._forget(client.number, client.memory)
        client.memory.close()

    # -- what a successor goes on with -------------------------------------------------------------

    def _keep(self, client: Client) -> None:
        memory = client.memory
        if memory.fd >= 0 and memory.lent is None:
            self._keeper.keep(f"{client.number}.{memory.width}.{memory.height}", memory.fd)

    def _forget(self, number: int, memory: Memory) -> None:
        if memory.fd >= 0 and memory.lent is None:
            self._keeper.forget(f"{number}.{memory.width}.{memory.height}")

    def save(self) -> None:
        """Write down all that is not in the memory of windows."""
        desktop = self.desktop
        clients = (window.tag for window in desktop.list())
        focused = desktop.focused
        has_focus = focused.tag if focused is not None else None
        self._ledger.write(
            {
                "next": self._next,
                "windows": [one.describe() for one in clients if isinstance(one, Client)],
                "focus": has_focus.number if isinstance(has_focus, Client) else 0,
                "pointer": [desktop.pointer.x, desktop.pointer.y],
            }
        )

    def _restore(self, kept: Mapping[str, int]) -> None:
        """Open a predecessor's windows; what cannot be is let go of."""
        left = self._left
        for name, fd in kept.items():
            found = _NAME.fullmatch(name)
            if found is not None:
                number, width, height = map(int, found.groups())
                left.setdefault(number, []).append(Left(width, height, fd))
        entry = self._ledger.entry
        self._next = max(entry.get("next", 1), 1, *(number + 1 for number in left))
        windows = entry.get("windows", ())
        for said in sorted(windows, key=lambda said: int(said["number"])):
            with suppress(Refused):
                self._restore_one(said, left)
        for said in reversed(windows):  # those behind first
            client = self._all.get(said["number"])
            if client is not None:
                self.desktop.stack.raise_(client.window)
                self.desktop.focus(client.window)
        focus = self._all.get(entry.get("focus", 0))
        if focus is not None:
            self.desktop.focus(focus.window)
        for client in self._all.values():
            client.window.events.take(1 << 30)  # it has had them
            if client.number in self._blank:
                client.window.post(EventCode.RESIZE, client.window.width, client.window.height)
        if "pointer" in entry:
            self._pointer = tuple(entry["pointer"])

    def _restore_one(self, said: Mapping[str, Any], left: dict[int, list[Left]]) -> None:
        number, (width, height) = said["number"], said["size"]
        (x, y), flags = said["place"], WindowFlag(said["flags"]) & ~_TILED
        wanted = WindowPath(flags, x, y, width, height, said["title"], said["name"])
        fd = -1
        if width * height * WORD:
            of_it = left.get(number, [])
            match = next((one for one in of_it if one[:2] == (width, height)), None)
            if match is None:  # it was a screen's, and has gone with it
                self._blank.add(number)
            else:
                of_it.remove(match)
                fd = match.fd
        owner = Owner(*said["owner"])
        memory = WindowMemory(width, height, fd)
        client = self._make(number, wanted, owner, memory)
        if number in self._blank:
            self._keep(client)
        client.rgba = said["rgba"]
        client.take(memory)
        self._settle(client, said)

    def _settle(self, client: Client, said: Mapping[str, Any]) -> None:
        desktop, window = self.desktop, client.window
        desktop.move(window, *said["place"])
        if said["floating"] is not None:
            window.floating = Rect(*said["floating"])
        if said["flags"] & _TILED:
            window.flags |= WindowFlag(said["flags"]) & _TILED
        shown, grabs, relative = said["pointer"]
        desktop.set_pointer(window, shown=shown, grabs=grabs, relative=relative)
        if said["minimised"]:
            desktop.minimise(window)
        self._places[client.number] = (window.place.x, window.place.y)

    def forget_left(self) -> None:
        """Let go of memory nobody has come back for: of windows closed or resized at the end."""
        for number, rest in self._left.items():
            for memory in rest:
                self._keeper.forget(f"{number}.{memory.width}.{memory.height}")
                close_fd(memory.fd)
        self._left.clear()

    def put_back(self) -> None:
        """Put windows where a predecessor had them, now that all its screens are there again."""
        places, self._places = self._places, {}
        for number, place in places.items():
            client = self._all.get(number)
            if client is not None and client.window.place[:2] != place:
                self.desktop.move(client.window, *place)
        if self._pointer is not None:
            self.desktop.pointer.x, self.desktop.pointer.y = self._pointer
            self.desktop.cursor_moved()
            self._pointer = None

    def orphans(self) -> list[Client]:
        """Return windows that nobody has open: a predecessor's, of who called at the ring door."""
        return [client for client in self._all.values() if not client.handles]
