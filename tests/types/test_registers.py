"""The slips of registers.py are each caught by mypy, the referee of the register language."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISTAKES = HERE / "registers.py"
PYPROJECT = HERE.parents[1] / "pyproject.toml"
MARK = re.compile(r"  # type: ignore\[(.+?)\].*")


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, str]]]:
    """What mypy says about the file as it is, and about a copy without its marks."""
    bare = tmp_path_factory.mktemp("types") / "unmarked.py"
    bare.write_text(MARK.sub("", MISTAKES.read_text()))
    command = [sys.executable, "-m", "mypy", "--config-file", PYPROJECT, "--no-error-summary"]
    run = subprocess.run(
        # A cache of its own: the common one may hold an older copy of either file.
        [*command, "--no-pretty", "--cache-dir", bare.parent / "cache", MISTAKES, bare],
        cwd=PYPROJECT.parent,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.stderr == ""
    found: dict[str, list[tuple[int, str]]] = {MISTAKES.name: [], bare.name: []}
    for line in run.stdout.splitlines():
        match = re.fullmatch(r"(.+?):(\d+): (?:error|note): (.*?)(?:  \[(.+)\])?", line)
        assert match, line
        if match[4]:  # a note has no code
            found[Path(match[1]).name].append((int(match[2]), match[4]))
    return found


def marks() -> list[tuple[int, str]]:
    lines = MISTAKES.read_text().splitlines()
    found = [(n, mark[1]) for n, line in enumerate(lines, 1) if (mark := MARK.search(line))]
    return [(n, code) for n, codes in found for code in codes.split(", ")]


def test_every_mark_silences_a_mistake_and_nothing_else_is_wrong(
    verdict: dict[str, list[tuple[int, str]]],
) -> None:
    assert verdict[MISTAKES.name] == []


def test_without_its_marks_every_mistake_is_reported(
    verdict: dict[str, list[tuple[int, str]]],
) -> None:
    assert len(marks()) > 20
    assert sorted(set(verdict["unmarked.py"])) == sorted(marks())
