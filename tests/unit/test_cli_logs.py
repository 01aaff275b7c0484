from __future__ import annotations

from pathlib import Path

import pytest

from redbear_host import cli
from redbear_host.cli.logs import Logs, follow

AT = "2026-03-01 12:00:0{}.000 info    {}: {}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "nvmed.log").write_text(
        AT.format(1, "nvmed", "start")
        + AT.format(3, "nvmed", "a bug")
        + "    Traceback (most recent call last):\n    KeyError\n"
    )
    (folder / "pcid.log").write_text(AT.format(2, "pcid", "start") + AT.format(4, "pcid", "end"))
    return folder


def said(lines: list[bytes]) -> list[str]:
    return [line.decode().rstrip().rpartition(": ")[2].strip() for line in lines]


def test_logs_are_shown_in_the_order_of_time_with_tracebacks_whole(folder: Path) -> None:
    found = b"".join(Logs(folder).new()).decode().splitlines()
    assert [line.split()[-1] for line in found] == [
        "start", "start", "bug", "last):", "KeyError", "end",
    ]  # fmt: skip
    assert "pcid" in found[1]


def test_lines_without_a_time_stay_where_they_are(folder: Path) -> None:
    (folder / "supervisor.log").write_text("ok: down\n" + AT.format(2, "s", "first") + "ok: up\n")
    (folder / "pcid.log").write_text(AT.format(3, "pcid", "start"))
    (folder / "nvmed.log").unlink()
    assert said(Logs(folder).new()) == ["down", "first", "up", "start"]


def test_one_daemons_log_can_be_asked_for(folder: Path) -> None:
    assert said(Logs(folder, "pcid").new()) == ["start", "end"]


def test_a_daemons_name_means_all_its_devices(folder: Path) -> None:
    for name in ("nvmed.0000-04-00.0", "nvmed.0000-05-00.0", "nvmedia"):
        (folder / f"{name}.log").write_text(AT.format(5, name, name[-4:]))
    assert said(Logs(folder, "nvmed").new())[-2:] == ["00.0", "00.0"]
    assert said(Logs(folder, "nvmed.0000-05-00.0").new()) == ["00.0"]
    assert Logs(folder, "nvmed.0000").new() == []


def test_the_verb_prints_what_there_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["logs", "pcid", "--run-dir", str(folder.parent)]) == 0
    assert capsys.readouterr().out == (folder / "pcid.log").read_text()


@pytest.mark.parametrize(("count", "shown"), [("0", 0), ("2", 2), ("99", 6)])
def test_the_last_lines_can_be_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str], count: str, shown: int
) -> None:
    assert cli.main(["logs", "-n", count, "--run-dir", str(folder.parent)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == shown


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        (["nvme"], "nvme has written no log", "did you mean 'nvmed'?"),
        (["-n", "-1"], "--lines -1", "leave it out"),
        (["--run-dir", "/nonexistent"], "there are no logs in /nonexistent/log", "redbear-host up"),
    ],
)
def test_what_cannot_be_shown_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str, hint: str
) -> None:
    assert cli.main(["logs", "--run-dir", str(folder.parent), *argv]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert hint in err


def test_following_shows_what_is_added_until_it_is_interrupted(folder: Path) -> None:
    logs = Logs(folder, "pcid")
    logs.new()
    shown: list[bytes] = []
    pending = [AT.format(5, "pcid", "more"), "half", " a line\n"]

    def pause() -> None:
        if not pending:
            raise KeyboardInterrupt
        with (folder / "pcid.log").open("a") as file:
            file.write(pending.pop(0))

    with pytest.raises(KeyboardInterrupt):
        follow(logs, shown.append, pause)
    assert said(shown) == ["more", "half a line"]


def test_following_sees_a_daemon_that_starts_later(folder: Path) -> None:
    logs = Logs(folder)
    logs.new()
    (folder / "e1000d.log").write_text(AT.format(6, "e1000d", "start"))
    assert said(logs.new()) == ["start"]


def test_a_log_that_was_replaced_or_emptied_is_read_from_its_start(folder: Path) -> None:
    logs = Logs(folder, "pcid")
    logs.new()
    (folder / "pcid.log").write_text("emptied\n")
    assert logs.new() == [b"emptied\n"]
    (folder / "new").write_text("another file\n")
    (folder / "new").rename(folder / "pcid.log")
    assert logs.new() == [b"another file\n"]
    assert logs.new() == []


def test_a_clock_that_is_set_back_does_not_shuffle_a_log(folder: Path) -> None:
    text = AT.format(9, "nvmed", "first") + AT.format(1, "nvmed", "second")
    (folder / "nvmed.log").write_text(text)
    assert said(Logs(folder).new())[-2:] == ["first", "second"]
