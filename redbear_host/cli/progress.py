"""Nested steps with their times, as they happen.

    with progress.step("start nvmed"):
        with progress.step("bind 0000:00:04.0 to vfio-pci"):
            ...

On a terminal a step is a line of a tree, shown when it starts and completed when it ends:

    start nvmed
    ├─ bind 0000:00:04.0 to vfio-pci                 ✓ 12 ms
    └─ ✓ 48 ms

Elsewhere it is one plain line when it ends.  A step that fails shows ✗ and lets the error pass.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, TextIO

TIMES: Final = 50  # the column of the times


class _Glyphs(NamedTuple):
    done: str
    failed: str
    branch: str
    stem: str
    last: str


_DRAWN: Final = _Glyphs("✓", "✗", "├─ ", "│  ", "└─ ")
_TYPED: Final = _Glyphs("ok", "FAILED", "|- ", "|  ", "`- ")
_GREEN, _RED, _DIM, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[m"


class Progress:
    """Tells of steps on one stream; `stream` None means whatever stderr is at the time."""

    def __init__(
        self,
        stream: TextIO | None = None,
        environment: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._given = stream
        self._environment = environment
        self._now = now
        self._open: list[str] = []
        self._unfinished = False  # the last line on the terminal waits for its step's time

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show a step for as long as the block runs."""
        depth = len(self._open)
        self.break_line()
        if self._terminal:
            self._write(self._indent(depth) + text)
            self._unfinished = True
        self._open.append(text)
        start = self._now()
        done = False
        try:
            yield
            done = True
        finally:
            self._finish(depth, done, self._now() - start)

    def break_line(self) -> None:
        """End the line of a step that still runs, because something else is about to be shown."""
        if self._unfinished:
            self._write("\n")
            self._unfinished = False

    def _finish(self, depth: int, done: bool, seconds: float) -> None:
        path = " > ".join(self._open)
        text = self._open.pop()
        took = f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
        glyphs = self._glyphs
        mark = self._colour(_GREEN if done else _RED, glyphs.done if done else glyphs.failed)
        if not self._terminal:
            self._write(f"{_TYPED.done if done else _TYPED.failed}: {path} ({took})\n")
        elif self._unfinished:
            gap = " " * max(TIMES - len(self._indent(depth) + text), 2)
            self._write(f"{gap}{mark} {self._colour(_DIM, took)}\n")
            self._unfinished = False
        else:
            self._write(f"{glyphs.stem * depth}{glyphs.last}{mark} {self._colour(_DIM, took)}\n")

    def _indent(self, depth: int) -> str:
        glyphs = self._glyphs
        return glyphs.stem * (depth - 1) + glyphs.branch if depth else ""

    @property
    def _stream(self) -> TextIO:
        return self._given or sys.stderr

    @property
    def _terminal(self) -> bool:
        return self._stream.isatty()

    @property
    def _glyphs(self) -> _Glyphs:
        try:
            "".join(_DRAWN).encode(self._stream.encoding or "ascii")
        except UnicodeEncodeError:
            return _TYPED
        return _DRAWN

    def _colour(self, colour: str, text: str) -> str:
        # NO_COLOR: https://no-color.org (present and not empty).
        if self._environment.get("NO_COLOR") or self._environment.get("TERM") == "dumb":
            return text
        return f"{colour}{text}{_PLAIN}"

    def _write(self, text: str) -> None:
        # A terminal that was closed must not keep us from the work, least of all from undoing it.
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()


_SHARED: Final = Progress()
step: Final = _SHARED.step
break_line: Final = _SHARED.break_line
