"""Linux's input devices, by python-evdev: those the user has named, and no others.

They are opened before inputd is locked in, and **grabbed** (EVIOCGRAB: nobody else hears them) only
while somebody has a consumer open, the screen is ours, and the user has not let go of them:
Ctrl+Alt+Backspace, held for a second.  A grab ends with its descriptor, so with inputd, however
that ends.  A device that is named and comes later is opened by a successor: inputd ends itself.

Ref: linux/input.h; Documentation/input/event-codes.rst of the kernel.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from evdev import InputDevice

from daemons.inputd.desk import Desk
from daemons.inputd.devices import Devices
from daemons.inputd.newcomers import Newcomers
from daemons.inputd.source import Source
from daemons.inputd.state import State
from daemons.inputd.translator import EV_ABS, EV_KEY, EV_REL, Shape, Translator
from redbear_host.scheme.loop import Loop, Timer

log = logging.getLogger(__name__)

ALL: Final = "all"
FOLDER: Final = Path("/dev/input")
LINGER_S: Final = 2.0  # a consumer that is starting again finds its keyboard as it was
EMERGENCY_S: Final = 1.0
_AGAIN_S: Final = 1.0
_SETTLE_S: Final = 0.5  # devices come several at once
_EMERGENCY: Final = frozenset((14,)), frozenset((29, 97)), frozenset((56, 100))  # KEY_BACKSPACE, …
_INPUT_PROP_DIRECT: Final = 1


class _Device:
    """One that is open."""

    def __init__(self, path: Path, device: InputDevice[Any], translator: Translator) -> None:
        self.path: Final = path
        self.device: Final = device
        self.translator: Final = translator
        self.source: Final = Source(str(path))
        self.grabbed = False


class LinuxDevices(Devices):
    """The devices behind the option `devices`."""

    def __init__(self, wanted: str, desk: Desk, state: State, loop: Loop) -> None:
        """`wanted` are paths and names with commas between, or `all`."""
        self._wanted: Final = [word.strip() for word in wanted.split(",") if word.strip()]
        self._desk: Final = desk
        self._state: Final = state
        self._loop: Final = loop
        self._open: Final[dict[Path, _Device]] = {}
        self._awaits_more = False
        self._resting = False
        self._timer: Timer | None = None  # to ungrab, or to try to grab again
        self._emergency: Timer | None = None
        self._newcomers: Newcomers | None = None
        self._pid: Final = os.getpid()
        self.released = state.released
        desk.on_listeners = self._on_listeners

    # -- opening and closing -----------------------------------------------------------------------

    def open(self) -> None:
        """Open what is there, before we are locked in."""
        if ALL in self._wanted:
            log.warning("takes EVERY keyboard, mouse and controller of this machine, as was asked")
        with suppress(OSError):
            self._newcomers = Newcomers(FOLDER, self._loop, self._on_newcomer)
        found = set()
        for path in sorted(FOLDER.glob("event*")):
            words = self._words(path)
            if words:
                found |= words
                self._take(path)
        missing = [word for word in self._wanted if word not in found]
        self._awaits_more = bool(missing) or ALL in self._wanted
        for word in missing:
            if word != ALL:
                log.warning("there is no input device %s; it is taken when it comes", word)
        self._apply()

    def _words(self, path: Path) -> set[str]:
        """Return by which words of the option a device is meant."""
        words = {w for w in self._wanted if w.startswith("/") and Path(w).resolve() == path}
        names = {w for w in self._wanted if not w.startswith("/") and w != ALL}
        if names:
            name = Path(f"/sys/class/input/{path.name}/device/name")
            with suppress(OSError):
                words |= names & {name.read_text().strip()}
        return words | {ALL} & set(self._wanted)

    def _take(self, path: Path) -> None:
        try:
            device = InputDevice(path, readonly=True)
            shape = _shape(device, path)
            held = device.active_keys()
        except OSError as error:
            log.warning("%s cannot be opened: %s", path, error.strerror)
            return
        if not shape.is_useful:
            device.close()
            return
        one = self._open[path] = _Device(path, device, Translator(shape))
        one.translator.start(held)
        self._desk.add_source(one.source)
        self._loop.watch(device.fd, partial(self._on_events, one))
        log.info("has %s, %s", path, device.name)

    def close(self) -> None:
        """Close all; that ends the grabs."""
        if self._newcomers is not None:
            self._newcomers.close()
        for one in list(self._open.values()):
            self._drop(one)

    def _drop(self, one: _Device) -> None:
        del self._open[one.path]
        self._loop.unwatch(one.device.fd)
        one.device.close()
        self._desk.remove_source(one.source)

    def _on_newcomer(self) -> None:
        """End, so that a successor opens what has come; it has everything else that we have."""
        if self._awaits_more:
            self._awaits_more = False
            self._loop.at(self._loop.now() + _SETTLE_S, lambda: os.kill(self._pid, signal.SIGTERM))

    # -- grabbing ----------------------------------------------------------------------------------

    def _on_listeners(self) -> None:
        self._cancel()
        if self._desk.consumers:
            self._apply()
        else:
            self._timer = self._loop.at(self._loop.now() + LINGER_S, self._apply)

    def let_go(self) -> None:
        """Give the user his devices back."""
        self._set_released(True)

    def take_again(self) -> None:
        """Take them again."""
        self._set_released(False)

    def _set_released(self, released: bool) -> None:
        self.released = self._state.released = released
        self._apply()

    def rest(self) -> None:
        """Give them back while somebody else has the screen."""
        self._resting = True
        self._apply()

    def resume(self) -> None:
        """Take them again, since the screen is ours."""
        self._resting = False
        self._apply()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _apply(self) -> None:
        """Grab or let go of all devices, as things are."""
        self._cancel()
        wanted = bool(self._desk.consumers) and not self.released and not self._resting
        for one in self._open.values():
            if one.grabbed and not wanted:
                self._ungrab(one)
            elif wanted and not one.grabbed:
                self._grab(one)
        if wanted and not all(one.grabbed for one in self._open.values()):
            self._timer = self._loop.at(self._loop.now() + _AGAIN_S, self._apply)

    def _grab(self, one: _Device) -> None:
        if one.translator.down:
            return  # whoever saw it go down has to see it come up, or repeats it for ever
        try:
            one.device.grab()
        except OSError as error:
            log.warning("%s cannot be grabbed yet: %s", one.path, error.strerror)
            return
        one.grabbed = True

    def _ungrab(self, one: _Device) -> None:
        with suppress(OSError):  # it has left
            one.device.ungrab()
        one.grabbed = False
        self._desk.release(one.source)

    # -- events ------------------------------------------------------------------------------------

    def _on_events(self, one: _Device) -> None:
        try:
            for event in one.device.read():
                records = one.translator.take(event.type, event.code, event.value)
                if records is None or not one.grabbed:
                    continue
                self._desk.feed(one.source, records)
                if one.translator.overran:
                    one.translator.overran = False
                    self._desk.release(one.source)  # what was lost may have been releases
        except BlockingIOError:
            return
        except OSError:
            log.warning("%s has left", one.path)
            self._drop(one)
            self._awaits_more = True
            return
        if one.grabbed:
            self._look_for_emergency()
        elif not one.translator.down:
            self._apply()

    def _look_for_emergency(self) -> None:
        down = frozenset[int]().union(*(o.translator.down for o in self._open.values()))
        if all(down & keys for keys in _EMERGENCY):
            if self._emergency is None:
                when = self._loop.now() + EMERGENCY_S
                self._emergency = self._loop.at(when, self._on_emergency)
        elif self._emergency is not None:
            self._emergency.cancel()
            self._emergency = None

    def _on_emergency(self) -> None:
        log.warning("Ctrl+Alt+Backspace: lets go of all input devices; `redbear-host input grab`")
        self._emergency = None
        self.let_go()

    def describe(self) -> list[str]:
        """Return a line for each, for `status`."""
        return [
            f"device path={one.path} grabbed={int(one.grabbed)} name={one.device.name}"
            for one in self._open.values()
        ]


def _shape(device: InputDevice[Any], path: Path) -> Shape:
    found: dict[int, Any] = device.capabilities(absinfo=True)
    ranges = dict(_ranges(found.get(EV_ABS, ())))
    return Shape(
        number=int(path.name.removeprefix("event")),
        keys=frozenset(found.get(EV_KEY, ())),
        axes=frozenset(found.get(EV_REL, ())),
        ranges=ranges,
        direct=_INPUT_PROP_DIRECT in device.input_props(),
    )


def _ranges(axes: Iterable[tuple[int, object]]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Return the ranges of axes that have one."""
    for code, info in axes:
        low, high = int(getattr(info, "min", 0)), int(getattr(info, "max", 0))
        if low < high:
            yield code, (low, high)
