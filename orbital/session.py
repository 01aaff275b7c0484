"""A life of Orbital: the desktop, who draws on it, who sees it, and who sits before it."""

from __future__ import annotations

import logging
import os
import pwd
import resource
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from orbital import pixels, text
from orbital.clients import Clients
from orbital.clipboard import Clipboard
from orbital.control import ControlScheme
from orbital.desktop import Desktop
from orbital.gate import Gate
from orbital.input import NAME as INPUT
from orbital.input import Consumer
from orbital.outputs import Kind
from orbital.outputs.displays import PREFIX
from orbital.scheme import OrbitalScheme
from orbital.screens import Screens
from orbital.theme import Theme
from orbital.volume import NAME as AUDIO
from orbital.volume import VolumeKeys
from redbear_host.abi.orbital import EventCode
from redbear_host.daemon import Daemon
from redbear_host.errors import ConfigError

log = logging.getLogger(__name__)

_ALONE: Final = 3  # the VT where there is no inputd: Redox's for a desktop
_INPUT_S: Final = 1.0  # to wait for it, where it is said to be there
_ORPHANS_S: Final = 10.0  # for programs of the ring door to come back to their windows
_SOON_S: Final = 0.02  # until it is written down what has changed,
_EACH_S: Final = 0.0005  # and so much later for each window, since all are written each time


class Session:
    """Made before the daemon is locked in, and started when it serves."""

    def __init__(self, daemon: Daemon) -> None:
        options = daemon.options
        _raise_descriptors()
        pixels.require()
        if not text.prepare():
            log.warning("windows have no titles: Pillow is not installed (pip install pillow)")
        self._daemon: Final = daemon
        self._loop: Final = daemon.loop
        self.desktop: Final = Desktop(_theme(options["theme"]), daemon.loop.now)
        self.desktop.on_work = lambda: daemon.loop.soon(self._draw)
        self._screens: Final = Screens(self.desktop, daemon)
        daemon.callback(self._screens.close)
        most = options["memory"] << 20
        self._clients: Final = Clients(self.desktop, daemon, daemon.kept, most)
        self._gate: Final = Gate()
        self._clipboard: Final = Clipboard()
        self._clipboard.on_changed = self._on_clipboard
        self.desktop.keys.clipboard_size = lambda: max(len(self._clipboard) - 1, 0)
        self._scheme: Final = OrbitalScheme(
            self.desktop, self._clients, self._clipboard, self._gate
        )
        self._control: Final = ControlScheme(
            self.desktop,
            self._clients,
            self._clipboard,
            self._gate,
            _operators(options["operators"]),
        )
        self.desktop.on_list = self._on_list
        self.desktop.keys.on_terminal = lambda number: self._screens.switch_to(number)
        self._consumer: Final = Consumer(daemon, self.desktop.input)
        self._consumer.on_terminal = self._on_terminal
        self._consumer.on_lost = self.desktop.release_input
        self._volume: Final = VolumeKeys(daemon)
        self.desktop.on_volume = self._volume.turn
        # Without a screen of ours, the keyboard is somebody else's.
        self._calls: Final = () if options["output"] == Kind.NONE else (INPUT, AUDIO)
        self._held: Final[set[str]] = set()  # those of them that were called
        self._saves = False  # a timer runs
        self._listed = False  # windows came or went in this round
        daemon.on_told = self._on_told
        daemon.callback(self._clients.save)

    def serve(self) -> None:
        """Serve both schemes, and begin with what there is."""
        daemon = self._daemon
        self._screens.on_settled = self._on_settled
        self._screens.on_leaving = self._clients.take_back
        for name in daemon.facts.get("with", {}):
            self._on_with(name)
        daemon.serve(self._scheme.name, self._scheme)
        self._clients.forget_left()  # by now each file of Linux's has its window again
        daemon.serve(self._control.name, self._control)
        now = self._loop.now()
        wait = _INPUT_S if INPUT in self._held else 0.0
        self._loop.at(now + wait, self._start_alone)
        if daemon.life > 1:
            self._loop.at(now + _ORPHANS_S, self._close_orphans)

    def _on_settled(self) -> None:
        self._clients.put_back()
        self._gate.open()

    def _on_terminal(self, vt: int) -> None:
        """Put screens up now that what is typed arrives; nobody has a window before."""
        if vt or not (self._screens.started or self._screens.needs_terminal):
            self._screens.start(vt or _ALONE)

    def _start_alone(self) -> None:
        """Do without inputd, if it has given us no terminal; it may yet."""
        if not self._screens.started:
            self._screens.start(_ALONE)

    def _draw(self) -> None:
        self.desktop.draw()
        self._save_soon()

    # -- what the shim tells -----------------------------------------------------------------------

    def _on_told(self, message: dict[str, Any], fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)
        if "seat" in message:
            self._screens.on_seat(message)
        elif "with" in message:
            self._on_with(message["with"])
        elif "without" in message:
            self._on_without(message["without"])

    def _on_with(self, name: str) -> None:
        if name.startswith(PREFIX):
            self._screens.add(name)
        elif name in self._calls and name not in self._held:
            self._held.add(name)
            (self._consumer if name == INPUT else self._volume).start()

    def _on_without(self, name: str) -> None:
        if name.startswith(PREFIX):
            self._screens.remove(name)

    # -- what a successor goes on with -------------------------------------------------------------

    def _on_list(self) -> None:
        self._control.note_list()
        if not self._listed:  # who has opened a window has it, also if we die in the next moment
            self._listed = True
            self._loop.soon(self._save)

    def _save_soon(self) -> None:
        if not self._saves:
            self._saves = True
            pause = _SOON_S + _EACH_S * len(self._clients)
            self._loop.at(self._loop.now() + pause, self._save)

    def _save(self) -> None:
        self._saves = self._listed = False
        self._clients.save()

    def _close_orphans(self) -> None:
        for client in self._clients.orphans():
            log.info("window %d is closed: nobody came back for it", client.number)
            self._clients.close(client)

    def _on_clipboard(self) -> None:
        focused = self.desktop.focused
        if focused is not None:
            focused.post(EventCode.CLIPBOARD_UPDATE)


def _raise_descriptors() -> None:
    """Have room for the memory of all windows, and all programs."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _theme(path: str) -> Theme:
    """Read orbital.toml; what is wrong in it is complained of, and costs nothing else."""
    if not path:
        return Theme()
    try:
        said = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ConfigError(
            f"orbital: the theme {path} cannot be read: {why}",
            "without the option theme, Orbital has colours of its own",
        ) from error
    theme = Theme.parse(said, lambda name: Path(name).read_bytes())
    for complaint in theme.complaints:
        log.warning("%s: %s", path, complaint)
    if theme.pictures:
        _prepare_pictures()
    return theme


def _prepare_pictures() -> None:
    """Load what reads files of pictures, while there are files."""
    try:
        pillow = import_module("PIL.Image")
    except ImportError:
        log.warning("the theme's pictures are not read: Pillow is not installed")
    else:
        pillow.preinit()


def _operators(names: str) -> list[int]:
    """Return the users that a configuration names, by their numbers."""
    found = []
    for word in names.replace(",", " ").split():
        try:
            found.append(int(word) if word.isdecimal() else pwd.getpwnam(word).pw_uid)
        except KeyError:
            raise ConfigError(
                f"orbital: there is no user {word!r} for orbital.ctl",
                "operators are users of /etc/passwd, or their numbers",
            ) from None
    return found
