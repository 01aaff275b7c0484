from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from redbear_host import __version__, cli
from redbear_host.errors import ConfigError, DeviceError, TransportError

Verb = Callable[[Callable[[argparse.Namespace], int]], None]


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Verb:
    """Install a verb `try` that does what the test wants."""

    def install(action: Callable[[argparse.Namespace], int]) -> None:
        module = ModuleType("redbear_host.cli.try")
        module.HELP = "try something"  # type: ignore[attr-defined]
        module.add_arguments = lambda parser: parser.add_argument("--size", type=int)  # type: ignore[attr-defined]
        module.run = action  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(cli, "VERBS", ("try",))

    return install


def raising(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def action(args: argparse.Namespace) -> int:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "status", "shown"),
    [
        (ConfigError("no such device", "look"), 2, "redbear-host: no such device\nhint: look\n"),
        (ConfigError("no such device"), 2, "redbear-host: no such device\n"),
        (TransportError("no /dev/fuse", "modprobe fuse"), 3, "hint: modprobe fuse\n"),
        (DeviceError("<CSTS 0xffffffff>"), 3, "redbear-host: <CSTS 0xffffffff>\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_becomes_its_status_and_a_sentence(
    verb: Verb,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    shown: str,
) -> None:
    verb(raising(error))
    assert cli.main(["try"]) == status
    err = capsys.readouterr().err
    assert err.endswith(shown)
    assert "Traceback" not in err


def test_a_bug_shows_its_traceback(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    verb(raising(KeyError("lost")))
    assert cli.main(["try"]) == 1
    err = capsys.readouterr().err
    assert "KeyError: 'lost'" in err
    assert "this is a bug" in err


def test_the_verb_decides_the_status_of_a_normal_end(verb: Verb) -> None:
    verb(lambda args: 42)
    assert cli.main(["try"]) == 42


@pytest.mark.parametrize(
    ("argv", "level"),
    [
        (["try"], logging.INFO),
        (["-v", "try"], logging.DEBUG),
        (["try", "-v"], logging.DEBUG),
        (["try", "-vv"], 5),
        (["try", "-vvv"], 5),
    ],
)
def test_verbose_counts_before_and_after_the_verb(verb: Verb, argv: list[str], level: int) -> None:
    seen = []
    verb(lambda args: seen.append(logging.getLogger().level) or 0)
    assert cli.main(argv) == 0
    assert seen == [level]


def test_a_bad_log_variable_is_the_users_mistake(
    verb: Verb, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    verb(lambda args: 0)
    monkeypatch.setenv("REDBEAR_LOG", "loud")
    assert cli.main(["try"]) == 2
    assert "REDBEAR_LOG=loud" in capsys.readouterr().err


def test_no_verb_shows_the_help_and_fails(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    verb(lambda args: 0)
    assert cli.main([]) == 2
    assert "try something" in capsys.readouterr().err


def test_help_lists_the_verbs(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    verb(lambda args: 0)
    assert cli.main(["--help"]) == 0
    assert "try something" in capsys.readouterr().out


def test_the_version_is_told(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    verb(lambda args: 0)
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"redbear-host {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        (["dwon"], "there is no verb 'dwon'", "did you mean 'down'?"),
        (["logs", "--folow"], "unrecognized arguments: --folow", "redbear-host logs --help"),
        (["--folow"], "unrecognized arguments: --folow", "redbear-host --help"),
        (["logs", "-n", "x"], "invalid int value: 'x'", "redbear-host logs --help"),
        (["lab"], "required: LAB", "redbear-host lab --help"),
    ],
)
def test_a_slip_on_the_command_line_gets_a_sentence_and_a_hint(
    capsys: pytest.CaptureFixture[str], argv: list[str], message: str, hint: str
) -> None:
    assert cli.main(argv) == 2
    err = capsys.readouterr().err
    assert message in err
    assert f"hint: {hint}\n" in err


@pytest.mark.parametrize("argument", ["--help", "--run-dir=."])
def test_a_reader_that_leaves_is_no_error(tmp_path: Path, argument: str) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log/nvmed.log").write_text("a line\n")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "redbear_host", "logs", argument],
            stdout=pipe,
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (cli.CLOSED_PIPE, b"")


def run_logs(tmp_path: Path, redirection: str) -> subprocess.CompletedProcess[str]:
    """Run `redbear-host logs` with a shell's redirections."""
    (tmp_path / "log").mkdir()
    (tmp_path / "log/nvmed.log").write_text("a line\n")
    command = f'"{sys.executable}" -m redbear_host logs --run-dir "{tmp_path}" {redirection}'
    return subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_closed_stream_is_no_error(tmp_path: Path, closed: str) -> None:
    done = run_logs(tmp_path, closed)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("" if ">&- " in closed or closed == ">&-" else "a line\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    done = run_logs(tmp_path, ">/dev/full")
    assert done.returncode == cli.MACHINE
    assert done.stderr == (
        "redbear-host: the output cannot be written: No space left on device\n"
        "hint: send it elsewhere\n"
    )


def test_another_error_of_the_system_is_a_bug(
    verb: Verb, capfd: pytest.CaptureFixture[str]
) -> None:
    verb(raising(OSError(28, "a run directory on a full disk")))
    assert cli.main(["try"]) == 1
    assert "a run directory on a full disk" in capfd.readouterr().err


def test_another_broken_pipe_is_a_bug(verb: Verb, capfd: pytest.CaptureFixture[str]) -> None:
    verb(raising(BrokenPipeError("a daemon's socket")))
    assert cli.main(["try"]) == 1
    assert "a daemon's socket" in capfd.readouterr().err


def test_a_verb_is_imported_only_when_it_is_typed() -> None:
    code = (
        "import sys; from redbear_host import cli; cli.main(['logs', '--run-dir', '/nonexistent'])"
        "; print(sorted(m for m in sys.modules if m.startswith(('redbear_host.lab', 'asyncio'))))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", cli.VERBS)
def test_every_verb_has_a_line_of_help_and_explains_itself(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: redbear-host {name}")
    assert cli.main(["--help"]) == 0
    assert f"\n    {name} " in capsys.readouterr().out
