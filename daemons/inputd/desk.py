"""The desk: events come in from sources, and go to whoever has the active terminal.

Knows no files and no Linux.  Ref: Redox, inputd; how we differ: docs/protocol.md, "Input".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from daemons.inputd.consumer import Consumer, Record
from daemons.inputd.displays import DisplayHandle, Displays
from daemons.inputd.keymaps import KEYMAPS
from daemons.inputd.source import Source
from daemons.inputd.state import VTS, State
from daemons.inputd.typist import Typist
from redbear_host.abi import errno as e
from redbear_host.abi.orbital import POINTER_RANGE, PRESSED, EventCode
from redbear_host.abi.scancodes import FUNCTION_KEYS, Key
from redbear_host.errors import Refused

log = logging.getLogger(__name__)

BOOT_LOG: Final = 1  # the VT of consumer_bootlog
FIRST: Final = 2  # the first VT of all others

_KEY, _MOUSE, _BUTTON = EventCode.KEY.value, EventCode.MOUSE.value, EventCode.BUTTON.value
_SCROLL, _RELATIVE = EventCode.SCROLL.value, EventCode.MOUSE_RELATIVE.value
_TEXT: Final = EventCode.TEXT_INPUT.value
_AXIS, _PAD_BUTTON = EventCode.CONTROLLER_AXIS.value, EventCode.CONTROLLER_BUTTON.value
_BUTTONS: Final = 7
_HELD_MOST: Final = 256  # characters without a key, and buttons of controllers, that a source holds
_FAR: Final = (1 << 31) - 1  # the most that a motion or an axis can say
_PAD: Final = (1 << 63) - 1  # id | axis << 32, and no sign
_SUPER: Final = (Key.LEFT_SUPER, Key.RIGHT_SUPER)
_SHIFT: Final = (Key.LEFT_SHIFT, Key.RIGHT_SHIFT)
_SURROGATES: Final = range(0xD800, 0xE000)
_UNICODE_END: Final = 0x11_0000


class Desk:
    """All terminals, sources and displays."""

    def __init__(self, typist: Typist, state: State) -> None:
        """Begin as `state` says that a predecessor has ended."""
        self.typist: Final = typist
        self.displays: Final = Displays()
        self.consumers: Final[dict[int, Consumer]] = {}
        self.active = 0
        self.on_consumer: Callable[[Consumer], object] = lambda consumer: None
        """Called when a consumer has something to read."""
        self.on_display: Callable[[DisplayHandle], object] = lambda handle: None
        self.on_listeners: Callable[[], object] = lambda: None
        """Called when the first consumer has come, or the last has gone."""
        self._state: Final = state
        self._sources: Final[list[Source]] = []
        self._down: Final[dict[int, int]] = {}  # keys, and on how many sources
        self._expected: Final = state.owners  # VTs of a predecessor, for who had them
        self._was_active: Final = state.active
        for vt in self._expected:
            state.set_owner(vt, 0)
        state.active = 0

    # -- terminals ---------------------------------------------------------------------------------

    def open(self, pid: int, wanted: int = 0) -> Consumer:
        """Give a process the VT it had, or the lowest that is free; ENOSPC when there is none.

        `wanted` is the VT of a handle that a predecessor had opened.
        """
        if wanted and wanted not in self.consumers:
            return self._open(wanted, pid)
        for vt, owner in self._expected.items():
            if owner == pid and vt != BOOT_LOG:
                return self._open(vt, pid)
        for vt in range(FIRST, VTS):
            if vt not in self.consumers and vt not in self._expected:
                return self._open(vt, pid)
        raise Refused(e.ENOSPC)

    def open_boot_log(self, pid: int) -> Consumer:
        """Give a process VT 1, which there is once: EEXIST."""
        if BOOT_LOG in self.consumers:
            raise Refused(e.EEXIST)
        return self._open(BOOT_LOG, pid)

    def _open(self, vt: int, pid: int) -> Consumer:
        consumer = self.consumers[vt] = Consumer(vt, pid)
        self._state.set_owner(vt, pid)
        if self._expected.pop(vt, None) is None:
            self._state.see(vt, 0, 0)
        else:
            consumer.adopt(*self._state.seen(vt))  # it may have come up while nobody looked
        # Nobody else is active as long as the one who was is expected.
        if not self.active and self._was_active not in self._expected:
            self._activate(vt)
        if len(self.consumers) == 1:
            self.on_listeners()
        return consumer

    def expect_no_more(self) -> None:
        """Wait no longer for those who had a VT of a predecessor."""
        self._expected.clear()
        if not self.active and self.consumers:
            self._activate(max(self.consumers))

    def close(self, consumer: Consumer) -> None:
        """Take a VT away; if it was active, the highest that is left is."""
        del self.consumers[consumer.vt]
        self._state.set_owner(consumer.vt, 0)
        if self.active == consumer.vt:
            self.active = self._state.active = 0
            if self.consumers:
                self._activate(max(self.consumers))
        if not self.consumers:
            self.on_listeners()

    def switch(self, vt: int) -> None:
        """Make another VT the active one; ENOENT if there is none of that number."""
        if vt not in self.consumers:
            raise Refused(e.ENOENT)
        if vt != self.active:
            self._let_go()
            self._activate(vt)

    def _activate(self, vt: int) -> None:
        self.active = self._state.active = vt
        log.info("VT %d is active", vt)
        for handle in self.displays.handles:
            handle.activate(vt)
            self.on_display(handle)

    def _let_go(self) -> None:
        """Release what the active VT has seen pressed."""
        consumer = self.consumers.get(self.active)
        if consumer is not None:
            consumer.release_all()
            self.on_consumer(consumer)

    def take(self, consumer: Consumer, room: int) -> bytes:
        """Take what a terminal's reader reads, and note for a successor what he believes then."""
        before = consumer.seen_keys, consumer.seen_buttons
        data = consumer.take(room)
        if before != (consumer.seen_keys, consumer.seen_buttons):
            self._state.see(consumer.vt, consumer.seen_keys, consumer.seen_buttons)
        return data

    # -- displays ----------------------------------------------------------------------------------

    def add_display(self, handle: DisplayHandle) -> None:
        """Take a driver's handle; it hears of the active VT at once."""
        self._note_display(self.displays.add(handle))
        if self.active:
            handle.activate(self.active)

    def remove_display(self, handle: DisplayHandle) -> None:
        """Forget a driver's handle."""
        self._note_display(self.displays.remove(handle))

    def serve_display(self, name: str) -> None:
        """Hear that a display is served."""
        self._note_display(self.displays.serve(name))

    def end_display(self, name: str) -> None:
        """Hear that a display is served no more."""
        self._note_display(self.displays.end(name))

    def _note_display(self, taken_over: bool) -> None:
        if taken_over:
            log.info("%s has taken over", self.displays.best)
            for consumer in self.consumers.values():
                consumer.stale = True
                self.on_consumer(consumer)

    # -- settings ----------------------------------------------------------------------------------

    def use_keymap(self, name: str) -> None:
        """Type with another layout; EINVAL if there is none of that name."""
        if name not in KEYMAPS:
            raise Refused(e.EINVAL)
        self.typist.use(name)
        self._state.keymap = list(KEYMAPS).index(name)
        log.info("the keymap is %s", name)

    # -- events ------------------------------------------------------------------------------------

    def add_source(self, source: Source) -> None:
        """Have one more source."""
        self._sources.append(source)

    @property
    def sources(self) -> tuple[Source, ...]:
        """All sources."""
        return tuple(self._sources)

    def remove_source(self, source: Source) -> None:
        """Let go of what is held on a source, and forget it."""
        self.release(source)
        self._sources.remove(source)

    def release(self, source: Source) -> None:
        """Let go of what is held on a source."""
        self.feed(
            source,
            [
                *((_KEY, 0, key) for key in tuple(source.keys)),
                *((_KEY, character, 0) for character in tuple(source.characters)),
                (_BUTTON, 0, 0),
                *((_PAD_BUTTON, which, 0) for which in tuple(source.pad_buttons)),
            ],
        )

    def is_down(self, *keys: int) -> bool:
        """Tell whether one of the keys is down, on whatever source."""
        return any(key in self._down for key in keys)

    def feed(self, source: Source, records: Iterable[Record]) -> None:
        """Take what a source says; what no input device would say is counted and dropped."""
        active = self.active
        consumer = self.consumers.get(active)
        for code, a, b in records:
            source.events += 1
            if code == _KEY:
                self._key(source, a, b)
                continue
            if self.active != active:
                active = self.active
                consumer = self.consumers.get(active)
            found = self._checked(source, code, a, b)
            if found is None:
                source.refused += 1
            elif consumer is not None:
                consumer.put(*found)
        consumer = self.consumers.get(self.active)
        if consumer:
            self.on_consumer(consumer)

    def _checked(self, source: Source, code: int, a: int, b: int) -> Record | None:
        """Return a record as it is passed on; None for nonsense."""
        if code == _MOUSE:
            return code, max(0, min(POINTER_RANGE, a)), max(0, min(POINTER_RANGE, b))
        if code in (_RELATIVE, _SCROLL):
            return code, max(-_FAR, min(_FAR, a)), max(-_FAR, min(_FAR, b))
        if code == _BUTTON:
            source.buttons = a & _BUTTONS
            held = 0
            for one in self._sources:
                held |= one.buttons
            return code, held, 0
        if code == _TEXT and a and _is_character(a):
            return code, a, 0
        if code == _AXIS:
            return code, a & _PAD, max(-_FAR, min(_FAR, b))
        if code == _PAD_BUTTON:
            which = a & _PAD
            if b and len(source.pad_buttons) >= _HELD_MOST and which not in source.pad_buttons:
                return None
            (source.pad_buttons.add if b else source.pad_buttons.discard)(which)
            return code, which, int(bool(b))
        return None

    def _key(self, source: Source, a: int, b: int) -> None:
        """Take a KEY: fill in its character, note modifiers, switch VTs."""
        key, pressed = b & 0xFF, b & PRESSED
        if not (key or a) or not _is_character(a):
            source.refused += 1
            return
        if not key and pressed and len(source.characters) >= _HELD_MOST:
            source.refused += 1
            return
        repeats = key in self._down
        if key and not self._note(source, key, pressed):
            return  # it is still held elsewhere
        if not key:
            (source.characters.add if pressed else source.characters.discard)(a)
        elif pressed:
            alt_gr = self.is_down(Key.ALT_GR)
            a = a or self.typist.press(key, self.is_down(*_SHIFT), alt_gr, repeats)
            if key in FUNCTION_KEYS and self.is_down(*_SUPER):
                vt = FUNCTION_KEYS.index(key) + 1
                if vt in self.consumers:
                    self.switch(vt)
                    return
        consumer = self.consumers.get(self.active)
        if consumer is not None:
            consumer.put(_KEY, a, pressed | key)

    def _note(self, source: Source, key: int, pressed: int) -> bool:
        """Note a key of a source; False for a release while another source holds it."""
        if pressed:
            if key not in source.keys:
                source.keys.add(key)
                self._down[key] = self._down.get(key, 0) + 1
            return True
        if key in source.keys:
            source.keys.discard(key)
            left = self._down[key] - 1
            if left:
                self._down[key] = left
                return False
            del self._down[key]
            return True
        return key not in self._down


def _is_character(number: int) -> bool:
    return 0 <= number < _UNICODE_END and number not in _SURROGATES
