"""Screens in memory for tests of the desktop: with buffers of different age, cursors and planes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orbital.desktop import Desktop
from orbital.output import Buffer, Frame, Layer
from orbital.rect import Rect
from orbital.region import disjoint
from orbital.window import Lent, Window, nothing
from redbear_host.abi.orbital import PRESSED, EventCode, OrbitalEvent, WindowFlag

GOLDEN = Path(__file__).parents[1] / "golden" / "orbital"


class Memory:
    """An output that keeps what it is to show; `picture` is what somebody would see.

    With more than one buffer it flips between them; what it hands out is spoilt wherever it is not
    said to be stale, so that who relies on anything else is found out.
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        name: str = "memory",
        buffers: int = 1,
        planes: int = 0,
        cursor: tuple[int, int] = (0, 0),
    ) -> None:
        self.name = name
        self.cursor_limits = cursor
        self.on_ready: Callable[[], object] = nothing
        self.on_changed: Callable[[], object] = nothing
        self.busy = False
        self.frames = 0
        self.damage: list[Rect] = []
        self.sprite: tuple[bytes, int, int] | None = None
        self.sprite_at = (0, 0)
        self.refuse: Callable[[int], bool] = lambda index: False
        self._planes = planes
        self._offered: list[Layer] = []
        self._taken: frozenset[int] = frozenset()
        self.shown: list[Layer] = []
        self._lent: dict[int, Buffer] = {}
        self.take_size(width, height, buffers)

    def take_size(self, width: int, height: int, buffers: int = 0) -> None:
        self.size = (width, height)
        count = buffers or len(self.buffers)
        self.buffers = [bytearray(b"\xee" * (width * height * 4)) for _ in range(count)]
        self.stale: list[list[Rect]] = [[Rect(0, 0, width, height)] for _ in range(count)]
        self.turn = 0

    def modes(self) -> Sequence[tuple[int, int]]:
        return [self.size]

    def set_mode(self, width: int, height: int) -> None:
        self.take_size(width, height)
        self.on_changed()

    def begin(self) -> Frame | None:
        if self.busy:
            return None
        pixels = memoryview(self.buffers[self.turn])
        return Frame(pixels, self.size[0] * 4, disjoint(self.stale[self.turn]))

    def present(self, damage: Sequence[Rect]) -> None:
        self.damage = list(damage)
        self.frames += 1
        self.stale[self.turn] = []
        for index, stale in enumerate(self.stale):
            if index != self.turn:
                stale += damage
        self.front = self.turn
        self.turn = (self.turn + 1) % len(self.buffers)
        self.shown = [self._offered[index] for index in sorted(self._taken)]

    def set_cursor(self, picture: memoryview | None, width: int, height: int) -> None:
        assert width <= self.cursor_limits[0] or picture is None
        self.sprite = None if picture is None else (bytes(picture), width, height)

    def move_cursor(self, x: int, y: int) -> None:
        self.sprite_at = (x, y)

    def lend(self, width: int, height: int) -> Buffer | None:
        key = len(self._lent) + 1
        memory = memoryview(bytearray(width * height * 4))
        self._lent[key] = Buffer(-1, memory, width * 4, width, height, key)
        return self._lent[key]

    def take_back(self, buffer: Buffer) -> None:
        del self._lent[buffer.key]

    def assign(self, layers: Sequence[Layer]) -> frozenset[int]:
        self._offered = list(layers)
        chosen = [
            index for index in range(len(layers)) if not self.refuse(layers[index].buffer.key)
        ]
        self._taken = frozenset(chosen[: self._planes])
        return self._taken

    def close(self) -> None:
        pass

    # -- what somebody sees ------------------------------------------------------------------------

    def picture(self) -> bytes:
        """What is on the screen with its planes, but for the cursor's: words 0x00RRGGBB."""
        width, height = self.size
        seen = bytearray(self.buffers[self.front])
        for layer in reversed(self.shown):
            blend(seen, width, layer)
        seen[3::4] = bytes(width * height)
        return bytes(seen)


def blend(seen: bytearray, width: int, layer: Layer) -> None:
    """Do what the hardware of a plane does: copy, or blend as pixman would."""
    from orbital.pixels import Image

    canvas = Image(width, len(seen) // 4 // width, seen, alpha=False)
    buffer = layer.buffer
    image = Image(buffer.width, buffer.height, buffer.pixels, buffer.stride, alpha=not layer.opaque)
    (canvas.copy if layer.opaque else canvas.over)(image, 0, 0, layer.place)
    image.close()
    canvas.close()


def whole(desktop: Desktop, name: str = "memory", *, cursor: bool = False) -> bytes:
    """The same screen painted in one go; words 0x00RRGGBB."""
    width, height, memory = desktop.picture(name, cursor=cursor)
    memory[3::4] = bytes(width * height)
    return bytes(memory)


def colour_of(word: int, width: int, height: int) -> bytearray:
    return bytearray(word.to_bytes(4, "little") * (width * height))


def open_window(
    desktop: Desktop,
    letters: str = "",
    place: tuple[int, int, int, int] = (-1, -1, 100, 60),
    word: int = 0xFF336699,
    title: str = "window",
    lent_by: Any = None,
) -> Window:
    """Open a window of one colour."""
    from redbear_host.abi.orbital import LETTERS

    flags = WindowFlag(0)
    for letter in letters:
        flags |= LETTERS[letter]
    x, y, width, height = place
    width, height = desktop.fit(flags, width, height)
    lent = None
    pixels: Any = colour_of(word, width, height)
    if lent_by is not None:
        buffer = lent_by.lend(width, height)
        buffer.pixels[:] = pixels
        lent, pixels = Lent(lent_by, buffer), buffer.pixels
    return desktop.open(flags, x, y, width, height, title, pixels, lent=lent)


def pixels_of(window: Window) -> memoryview:
    """The memory of a window, as its client would draw in it."""
    assert window.image is not None
    return window.image._held.cast("B")


def at(desktop: Desktop, x: int, y: int) -> None:
    """Move the pointer to a point, as an absolute device of a screen would."""
    desktop.pointer.move_to(x, y)


def press(desktop: Desktop, buttons: int) -> None:
    desktop.input(OrbitalEvent(code=EventCode.BUTTON, a=buttons, b=0))


def click(desktop: Desktop, x: int, y: int) -> None:
    at(desktop, x, y)
    press(desktop, 1)
    press(desktop, 0)


def key(desktop: Desktop, scancode: int, *, down: bool = True, character: str = "\0") -> None:
    value = scancode | (PRESSED if down else 0)
    desktop.input(OrbitalEvent(code=EventCode.KEY, a=ord(character), b=value))


def chord(desktop: Desktop, *scancodes: int) -> None:
    """Press keys one after the other, and let go of them backwards."""
    for scancode in scancodes:
        key(desktop, scancode)
    for scancode in reversed(scancodes):
        key(desktop, scancode, down=False)


def events(window: Window) -> list[tuple[str, int, int]]:
    """Take what waits for a window: names of codes, and the two numbers."""
    data = window.events.take(10_000)
    found = []
    for start in range(0, len(data), 24):
        event = OrbitalEvent.load(data, start)
        name = (
            EventCode(event.code).name if event.code < 1 << 16 else f"CHORD+{event.code & 0xFFFF}"
        )
        found.append((name, event.a, event.b))
    return found


def kinds(window: Window) -> list[str]:
    return [name for name, _, _ in events(window)]
