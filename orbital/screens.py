"""Which screens the desktop has, where they stand, and what happens when they come and go."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NamedTuple

from orbital.desktop import Desktop
from orbital.output import Output
from orbital.outputs import Kind, Source, choose
from orbital.outputs.displays import PREFIX, DisplaySource
from orbital.outputs.headless import HeadlessSource, read_size
from orbital.window import nothing
from redbear_host.abi.orbital import SCALE_ONE
from redbear_host.daemon import Daemon
from redbear_host.errors import ConfigError

VNC: Final = PREFIX + "vnc"  # shows what the first screen does, unless it is told otherwise

_PATIENCE_S: Final = 1.0  # for displays to say what they are, before those that have are used
_WORD: Final = re.compile(r"([^=\s]+)=(-?\d{1,6}),(-?\d{1,6})(?:@(\d{2,3}))?", re.ASCII)


class Spot(NamedTuple):
    """Where a screen stands, and its scale in 160ths; 0: the usual."""

    at: tuple[int, int]
    scale: int


def read_layout(text: str) -> dict[str, Spot]:
    """Read `NAME=X,Y@PERCENT …`; `ConfigError` for what is none."""
    found = {}
    for word in text.split():
        match = _WORD.fullmatch(word)
        if match is None:
            raise ConfigError(
                f"orbital: layout: {word!r} says nothing",
                "write NAME=X,Y or NAME=X,Y@PERCENT, as display.vesa=0,0 card0-HDMI-A-1=1920,0@150",
            )
        name, x, y, percent = match.groups()
        found[name] = Spot((int(x), int(y)), int(percent or 0) * SCALE_ONE // 100)
    return found


class _Nothing:
    """No screens."""

    def __init__(self) -> None:
        self.on_outputs: Callable[[], object] = nothing
        self.outputs: Final[list[Output]] = []

    def close(self) -> None:
        """Have nothing to give back."""


class Screens:
    """The source of screens in use, and its outputs on the desktop."""

    def __init__(self, desktop: Desktop, daemon: Daemon) -> None:
        """Read the options; what only root can open is opened now.  `ConfigError` for nonsense."""
        self.on_settled: Callable[[], object] = nothing
        """Called once, when the screens that there are have been put up."""
        self.on_leaving: Callable[[Output], object] = lambda output: None
        """Called with a screen before it goes: it wants back what it has lent."""
        self.switch_to: Callable[[int], bool] = lambda terminal: False
        """Go to another of Linux's virtual terminals; false where we have none."""
        self._desktop: Final = desktop
        options = daemon.options
        self._daemon: Final = daemon
        self._loop: Final = daemon.loop
        self.on_seat: Callable[[dict[str, Any]], object] = lambda message: None
        """Hears when cards have to be let go of, or are ours again."""
        self._wanted: Final[str] = options["output"]
        self._cards: Final[list[str]] = options["cards"].split()
        self._size: Final[str] = options["size"]
        self._rate: Final[int] = options["rate"]
        self._layout: Final = read_layout(options["layout"])
        read_size(self._size)
        self._displays: Final[set[str]] = set()
        self._vt = 0
        self._kind: Kind | None = None
        self._source: Source | None = None
        self._old: Source | None = None  # shown until the one that follows has said what it has
        self._shown: list[Output] = []
        self._settled = False
        if choose(self._wanted, self._cards, ()) is Kind.KMS:
            self._use(Kind.KMS)

    @property
    def started(self) -> bool:
        """Whether it was said which terminal is ours."""
        return bool(self._vt)

    @property
    def needs_terminal(self) -> bool:
        """Whether what is shown depends on which terminal is ours."""
        return choose(self._wanted, self._cards, self._displays) is Kind.DISPLAY

    def start(self, vt: int) -> None:
        """Put screens up; `vt` is our virtual terminal."""
        if vt != self._vt:
            self._vt, first = vt, not self._vt
            if self._kind is Kind.DISPLAY and not first:
                self._use(Kind.DISPLAY)  # their pictures belong to a terminal
            else:
                self._choose()
            if not self._settled and self._kind is Kind.KMS:
                self._put_up()  # they were opened before anybody was there to be told
            if first:
                self._loop.at(self._loop.now() + _PATIENCE_S, self._put_up)

    def add(self, name: str) -> None:
        """Hear of a scheme `display.*` that is served."""
        self._displays.add(name)
        if self._vt:
            self._choose()
        if isinstance(self._source, DisplaySource):
            self._source.add(name)

    def remove(self, name: str) -> None:
        """Hear of one that is served no more."""
        self._displays.discard(name)
        if isinstance(self._source, DisplaySource):
            self._source.remove(name)
        if self._vt:
            self._choose()

    def close(self) -> None:
        """Give all screens back."""
        for output in self._shown:
            self._desktop.remove_output(output)
        for source in (self._source, self._old):
            if source is not None:
                source.close()

    def _choose(self) -> None:
        kind = choose(self._wanted, self._cards, self._displays)
        if kind is not self._kind:
            self._use(kind)

    def _use(self, kind: Kind) -> None:
        if self._old is not None:
            self._old.close()
        self._old, self._kind = self._source, kind
        source = self._source = self._open(kind)
        source.on_outputs = self._on_outputs
        if self._vt:
            self._on_outputs()

    def _open(self, kind: Kind) -> Source:
        if kind is Kind.NONE:
            return _Nothing()
        if kind is Kind.HEADLESS:
            return HeadlessSource(self._loop, self._size, self._rate)
        if kind is Kind.DISPLAY:
            return DisplaySource(self._displays, self._vt, self._daemon, self._rate)
        return self._open_cards()

    def _open_cards(self) -> Source:
        seat = self._daemon.seat
        if seat is None or not seat.cards:
            raise ConfigError(
                "orbital: output is kms, and no card is ours",
                'write cards = "card0", or --kms card0',
            )
        cards: Any = import_module("orbital.outputs.cards")  # a restart is waited for by clients
        found = cards.CardSource(seat, self._loop, self._daemon.say)
        self.on_seat = found.on_told
        self.switch_to = found.switch_to
        source: Source = found
        return source

    def _on_outputs(self) -> None:
        """Follow the source, once all that it has at first is known."""
        source = self._source
        waits = not self._settled or self._old is not None
        if waits and isinstance(source, DisplaySource) and not source.settled:
            return
        self._put_up()

    def _put_up(self) -> None:
        source = self._source
        if source is None:
            return
        wanted = list(source.outputs)
        for output in self._shown:
            if output not in wanted:
                self.on_leaving(output)
                self._desktop.remove_output(output)
        for output in wanted:
            if output not in self._shown:
                self._add(output, wanted)
        self._shown = wanted
        if self._old is not None:
            self._old.close()
            self._old = None
        if not self._settled:
            self._settled = True
            self.on_settled()

    def _add(self, output: Output, others: list[Output]) -> None:
        spot = self._layout.get(output.name)
        at = spot.at if spot is not None else None
        if spot is None and output.name.startswith(VNC) and len(others) > 1:
            first = next(iter(self._desktop.layout), None)
            at = first.place[:2] if first is not None else None
        self._desktop.add_output(output, at, spot.scale if spot is not None else 0)
