"""The keyboard: who gets what is typed, and what the Super key does.

A window hears of the release of a key exactly if it heard of its press, whoever has the focus then.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from orbital.placing import snapped
from orbital.pointer import Pointer
from orbital.switcher import Switcher
from orbital.window import Window, nothing
from orbital.windows import Windows
from redbear_host.abi.orbital import PRESSED, EventCode, WindowFlag
from redbear_host.abi.scancodes import Key

__all__ = ["CHORD", "Keys", "Volume"]

SUPER: Final = frozenset({Key.LEFT_SUPER, Key.RIGHT_SUPER})
SHIFT: Final = frozenset({Key.LEFT_SHIFT, Key.RIGHT_SHIFT})
ARROWS: Final = {Key.UP: (0, -1), Key.DOWN: (0, 1), Key.LEFT: (-1, 0), Key.RIGHT: (1, 0)}
PAD_ARROWS: Final = {Key.NUM_8: (0, -1), Key.NUM_2: (0, 1), Key.NUM_4: (-1, 0), Key.NUM_6: (1, 0)}
PAD_BUTTONS: Final = {Key.NUM_5: 1, Key.NUM_1: 2, Key.NUM_7: 4}  # left, middle, right

CHORD: Final = 0x1000_0000
"""Added to the code KEY of a chord with Super that the desktop does not know, as Redox does."""

_COPY, _CUT, _PASTE = 1, 2, 3
_CLIPBOARD: Final = {Key.C: _COPY, Key.X: _CUT, Key.V: _PASTE}
_SPEEDS: Final = (1, 2, 4, 8, 16, 32, 64)  # points that a mouse key moves the pointer


class Volume(StrEnum):
    """What may be typed about the sound."""

    DOWN = "down"
    UP = "up"
    MUTE = "mute"


_VOLUMES: Final = {
    Key.BRACE_OPEN: Volume.DOWN,
    Key.BRACE_CLOSE: Volume.UP,
    Key.BACKSLASH: Volume.MUTE,
}
_MEDIA: Final = {
    Key.VOLUME_DOWN: Volume.DOWN,
    Key.VOLUME_UP: Volume.UP,
    Key.MEDIA_MUTE: Volume.MUTE,
}


_TERMINALS: Final = (*range(0x3B, 0x45), 0x57, 0x58)  # F1 to F12


class Keys:
    """Which keys are held, and what they mean to the desktop."""

    def __init__(self, windows: Windows, pointer: Pointer) -> None:
        self.on_volume: Callable[[Volume], object] = nothing
        self.on_terminal: Callable[[int], bool] = lambda number: False
        """Called for Ctrl+Alt+F1 to F12; false where there are no virtual terminals to go to."""
        self.clipboard_size: Callable[[], int] = lambda: 0
        """Returns how many bytes a window can paste, for CLIPBOARD."""
        self.help_shown = False  # Super is held, and nothing was done with it yet
        self.outlines = False  # Super+F10: show what is painted
        self.costs = False  # Super+F12: show what a frame costs
        self.mouse = False  # Super+keypad 0: the keypad is a mouse
        self.switcher: Final = Switcher(windows)
        self._windows: Final = windows
        self._pointer: Final = pointer
        self._held: Final[set[int]] = set()
        self._owners: Final[dict[int, Window]] = {}  # who heard of the press of a held key
        self._chorded: Final[dict[int, Window]] = {}  # who heard of a held chord
        self._speed = 3
        self._buttons = 0  # that the keypad holds

    def key(self, scancode: int, pressed: bool, character: int) -> None:
        """Hear of a key; `character` is what it types, or 0."""
        if pressed:
            self._held.add(scancode)
        else:
            self._held.discard(scancode)
        if scancode in SUPER:
            self._super(pressed)
        elif pressed:
            self._press(scancode, character)
        else:
            self._let_go(scancode)

    def text(self, character: int) -> None:
        """Hear of a character that no key of ours stands for."""
        window = self._windows.focused
        if window is not None and _is_text(character) and not self._commanding:
            window.post(EventCode.TEXT_INPUT, character, 0)

    def controller(self, code: int, a: int, b: int) -> None:
        """Hear of a game controller."""
        if self._windows.focused is not None:
            self._windows.focused.post(code, a, b)

    def release(self) -> None:
        """Hear that the keyboard is somebody else's: what was held is let go, as windows see it."""
        for scancode in list(self._held):
            if scancode not in SUPER:
                self._let_go(scancode)
        self._held.clear()
        self._pointer.carrying = False
        self.switcher.give_up()
        self._help(False)

    def forget(self, window: Window) -> None:
        """Hear that a window is gone."""
        for owners in (self._owners, self._chorded):
            for scancode in [key for key, owner in owners.items() if owner is window]:
                del owners[scancode]
        self.switcher.forget(window)

    # -- typing ------------------------------------------------------------------------------------

    @property
    def _super_held(self) -> bool:
        return not SUPER.isdisjoint(self._held)

    @property
    def _shift_held(self) -> bool:
        return not SHIFT.isdisjoint(self._held)

    @property
    def _commanding(self) -> bool:
        """Whether what is typed is a command to a program and no text; AltGr only makes text."""
        return Key.CTRL in self._held or Key.ALT in self._held or self._super_held

    def _press(self, scancode: int, character: int) -> None:
        if self._super_held:
            self._chord(scancode, character)
            return
        if self._goes_to_terminal(scancode):
            return
        if scancode in _MEDIA:
            self.on_volume(_MEDIA[Key(scancode)])
            return
        if self.mouse and self._mouse_key(scancode):
            return
        window = self._windows.focused
        if window is None:
            return
        self._owners[scancode] = window
        if _is_text(character) and not self._commanding:
            window.post(EventCode.TEXT_INPUT, character, 0)
            character = 0  # typed already
        window.worked_in = True
        window.post(EventCode.KEY, character, scancode | PRESSED)

    def _goes_to_terminal(self, scancode: int) -> bool:
        if scancode not in _TERMINALS or not {Key.CTRL, Key.ALT} <= self._held:
            return False
        return self.on_terminal(_TERMINALS.index(scancode) + 1)

    def _let_go(self, scancode: int) -> None:
        window = self._owners.pop(scancode, None)
        if window is not None:
            window.post(EventCode.KEY, 0, scancode)
        window = self._chorded.pop(scancode, None)
        if window is not None:
            window.post(EventCode.KEY + CHORD, 0, scancode)
        if self._buttons and scancode in PAD_BUTTONS:
            self._hold(self._buttons & ~PAD_BUTTONS[Key(scancode)])

    # -- Super -------------------------------------------------------------------------------------

    def _super(self, pressed: bool) -> None:
        self._pointer.carrying = self._super_held
        if not self._super_held:
            self.switcher.choose()
        self._help(pressed and self._super_held)

    def _help(self, shown: bool) -> None:
        if self.help_shown != shown:
            self.help_shown = shown
            self._windows.cursor_moved()

    def _chord(self, scancode: int, character: int) -> None:
        if scancode in SHIFT or scancode in (Key.CTRL, Key.ALT):
            return
        self._help(False)
        windows, window = self._windows, self._windows.focused
        if scancode == Key.TAB:
            self.switcher.step(-1 if self._shift_held else 1)
        elif scancode in _VOLUMES:
            self.on_volume(_VOLUMES[Key(scancode)])
        elif scancode == Key.F10:
            self.outlines = not self.outlines
            windows.repaint()
        elif scancode == Key.F12:
            self.costs = not self.costs
            windows.repaint()
        elif scancode == Key.NUM_0:
            self.mouse = not self.mouse
            self._hold(0)
        elif not (window is not None and self._command(window, scancode)):
            self._unknown(scancode, character)

    def _command(self, window: Window, scancode: int) -> bool:
        """Do to the focused window what a chord says; tell whether it says anything."""
        windows = self._windows
        if scancode == Key.Q:
            if not window.flags & WindowFlag.UNCLOSABLE:
                window.post(EventCode.QUIT)
        elif scancode in _CLIPBOARD:
            action = _CLIPBOARD[Key(scancode)]
            window.worked_in = True
            size = self.clipboard_size() if action == _PASTE else 0
            window.post(EventCode.CLIPBOARD, action, size)
        elif scancode in ARROWS:
            across, down = ARROWS[Key(scancode)]
            if self._shift_held:
                windows.tile(window, across, down)
            else:
                windows.float(window)
                windows.put(window, *snapped(window.place, across, down))
        elif scancode == Key.ENTER and self._shift_held:
            windows.toggle_full_screen(window)
        elif scancode in (Key.M, Key.ENTER):
            windows.toggle_maximised(window)
        elif scancode == Key.H:
            windows.minimise(window)
        else:
            return False
        return True

    def _unknown(self, scancode: int, character: int) -> None:
        """Tell the window that was opened first, which is the launcher's; no background's."""
        before = (one for one in self._windows.stack if not one.behind)
        window = min(before, key=lambda one: one.id, default=None)
        if window is not None:
            self._chorded[scancode] = window
            window.post(EventCode.KEY + CHORD, character, scancode | PRESSED)

    # -- the keypad as a mouse ---------------------------------------------------------------------

    def _mouse_key(self, scancode: int) -> bool:
        """Do what a key of the keypad means; tell whether it means anything."""
        if scancode in PAD_ARROWS:
            across, down = PAD_ARROWS[Key(scancode)]
            step = _SPEEDS[self._speed]
            self._pointer.move_by(across * step, down * step)
        elif scancode in PAD_BUTTONS:
            self._hold(self._buttons | PAD_BUTTONS[Key(scancode)])
        elif scancode in (Key.NUM_9, Key.NUM_3):
            faster = 1 if scancode == Key.NUM_9 else -1
            self._speed = max(0, min(self._speed + faster, len(_SPEEDS) - 1))
        else:
            return False
        return True

    def _hold(self, buttons: int) -> None:
        if buttons != self._buttons:
            self._buttons = buttons
            self._pointer.press(buttons)


def _is_text(character: int) -> bool:
    """Tell whether a character is more than what a control key stands for (Esc, Tab, Enter)."""
    return character >= 0x20 and character != 0x7F
