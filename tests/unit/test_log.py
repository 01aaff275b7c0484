from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import pytest

from redbear_host import log
from redbear_host.errors import ConfigError

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (\w+) +(\w+): (.*)\n")


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("test_log.part", "test_log"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def logged(rules: str = "", program: str = "nvmed") -> io.StringIO:
    out = io.StringIO()
    log.setup(program, rules, stream=out)
    return out


def test_an_event_is_one_line_with_time_level_and_program() -> None:
    out = logged()
    logging.getLogger("test_log").warning("queue %d is full", 3)
    match = LINE.fullmatch(out.getvalue())
    assert match is not None
    assert match.groups() == ("warning", "nvmed", "queue 3 is full")


def test_a_message_cannot_start_a_line_or_move_the_cursor() -> None:
    out = logged()
    logging.getLogger("test_log").error("serial %s", "A\n2026-01-01 error nvmed: lie\x1b[2J\x9b")
    assert out.getvalue().count("\n") == 1
    assert "\\x0a2026" in out.getvalue()
    assert "\\x1b[2J\\x9b" in out.getvalue()


def test_a_traceback_is_indented_below_its_line() -> None:
    out = logged()
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("test_log").exception("a bug")
    head, *rest = out.getvalue().splitlines()
    assert head.endswith("nvmed: a bug")
    assert rest[-1] == "    ValueError: broken"
    assert all(line.startswith("    ") for line in rest)


def test_info_is_told_and_debug_is_not_unless_asked_for() -> None:
    out = logged()
    logging.getLogger("test_log").debug("quiet")
    logging.getLogger("test_log").info("told")
    assert [line.split(": ")[1] for line in out.getvalue().splitlines()] == ["told"]


@pytest.mark.parametrize(
    ("rules", "level"),
    [
        ("debug", logging.DEBUG),
        ("TRACE", log.TRACE),
        ("nvmed=trace", log.TRACE),
        ("nvmed.0000-04-00.0=trace", log.TRACE),
        ("nvm=trace", logging.INFO),
        ("ahcid=trace", logging.INFO),
        ("error,nvmed=debug", logging.DEBUG),
        ("nvmed=debug, error", logging.ERROR),
        ("", logging.INFO),
    ],
)
def test_the_last_rule_that_fits_sets_the_level(rules: str, level: int) -> None:
    logged(rules, "nvmed.0000-04-00.0")
    assert logging.getLogger().level == level
    for other in ("ahcid", "nvm"):
        logging.getLogger(other).setLevel(logging.NOTSET)


def test_a_rule_may_name_a_module() -> None:
    out = logged("error,test_log.part=debug")
    logging.getLogger("test_log.part").debug("near")
    logging.getLogger("test_log").debug("far")
    assert "near" in out.getvalue()
    assert "far" not in out.getvalue()


@pytest.mark.parametrize("rules", ["loud", "nvmed=loud", "=debug", "nvmed="])
def test_rules_that_cannot_be_read_are_refused_with_the_levels(rules: str) -> None:
    with pytest.raises(ConfigError, match="is not a level") as caught:
        log.parse(rules)
    assert "trace, debug, info, warning, error" in caught.value.hint


def test_an_unfinished_line_is_ended_before_the_log_writes() -> None:
    out = io.StringIO("working", newline="")
    out.seek(0, io.SEEK_END)
    log.setup("up", stream=out, before=lambda: print(file=out))
    logging.getLogger("test_log").info("told")
    assert out.getvalue().startswith("working\n")


def test_the_variable_counts_unless_the_caller_has_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDBEAR_LOG", "nvmed=error")
    log.setup("nvmed", stream=io.StringIO())
    assert logging.getLogger().level == logging.ERROR
    log.setup("nvmed", "debug", stream=io.StringIO())
    assert logging.getLogger().level == logging.DEBUG


def test_setting_up_twice_writes_each_line_once() -> None:
    logged()
    out = logged()
    logging.getLogger("test_log").info("once")
    assert out.getvalue().count("once") == 1
