"""Logging as every program of this project does it: one line an event, to stderr.

```
2026-03-01 12:00:00.123 info  nvmed: controller 0000:04:00.0: 2 namespaces
```

A daemon's stderr is its file `log/NAME.log` in the run directory.  How much is told is in the
environment variable `REDBEAR_LOG`: a level for all (`debug`), for one program or one module
(`nvmed=trace`, `schemefs=debug`), or several of these with commas; the last that fits counts.
`nvmed` means every `nvmed.ADDRESS`, too.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Final, TextIO

from redbear_host.errors import ConfigError

TRACE: Final = 5  # every register access

LEVELS: Final = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
VARIABLE: Final = "REDBEAR_LOG"

# A peer or a device may choose part of a message; it may not choose where a line ends.
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def setup(
    program: str,
    rules: str | None = None,
    *,
    level: int = logging.INFO,
    stream: TextIO | None = None,
    before: Callable[[], None] = lambda: None,
) -> None:
    """Send this process's log to `stream` (stderr), as `program`.

    `rules` is by default what REDBEAR_LOG holds; `level` counts where they say nothing.  `before`
    runs before each line, for a program that keeps a line of the terminal unfinished.  Raises
    `ConfigError` for rules that cannot be read.
    """
    logging.addLevelName(TRACE, "TRACE")
    chosen = parse(os.environ.get(VARIABLE, "") if rules is None else rules)
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    handler = _Handler(stream or sys.stderr, before)
    handler.setFormatter(_Formatter(program))
    root.addHandler(handler)
    for name, number in [("", level), *chosen]:
        if name == "" or f"{program}.".startswith(f"{name}."):
            root.setLevel(number)
        else:
            logging.getLogger(name).setLevel(number)


def parse(rules: str) -> list[tuple[str, int]]:
    """Read what REDBEAR_LOG holds: pairs of a name ("" for all) and a level."""
    return [_rule(rules, rule.strip()) for rule in rules.split(",") if rule.strip()]


def _rule(rules: str, rule: str) -> tuple[str, int]:
    name, equals, word = rule.rpartition("=")
    number = LEVELS.get(word.strip().lower())
    if number is None or (equals and not name.strip()):
        raise ConfigError(
            f"{VARIABLE}={rules}: {rule!r} is not a level",
            f"levels: {', '.join(LEVELS)}; for one program, write nvmed=debug",
        )
    return name.strip(), number


class _Formatter(logging.Formatter):
    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        head = f"{when}.{int(record.msecs):03} {record.levelname.lower():<7} {self._program}: "
        lines = [head + record.getMessage().translate(_CONTROLS), *_below(self, record)]
        return "\n".join(lines)


def _below(formatter: logging.Formatter, record: logging.LogRecord) -> Iterable[str]:
    """Yield a traceback's lines, indented so that each visibly belongs to the line above."""
    if record.exc_info:
        for line in formatter.formatException(record.exc_info).splitlines():
            yield "    " + line.translate(_CONTROLS)


class _Handler(logging.StreamHandler[TextIO]):
    def __init__(self, stream: TextIO, before: Callable[[], None]) -> None:
        super().__init__(stream)
        self._before = before

    def emit(self, record: logging.LogRecord) -> None:
        self._before()
        super().emit(record)
