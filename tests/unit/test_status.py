"""The generator of docs/STATUS.md."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools/status.py"


@pytest.fixture
def status(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("status_tool", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROWS", tmp_path / "status.toml")
    monkeypatch.setattr(module, "PAGE", tmp_path / "STATUS.md")
    results = tmp_path / "results.xml"
    results.write_text(
        """<testsuites><testsuite>
        <testcase classname="tests.lab.test_x" name="test_good[1]"/>
        <testcase classname="tests.lab.test_x" name="test_good[2]"/>
        <testcase classname="tests.lab.test_x" name="test_half[1]"/>
        <testcase classname="tests.lab.test_x" name="test_half[2]"><skipped/></testcase>
        <testcase classname="tests.lab.test_x" name="test_bad"><failure/></testcase>
        </testsuite></testsuites>"""
    )
    module.results = str(results)
    return module


def rows(status, *texts):
    status.ROWS.write_text("\n".join(f"[[row]]\n{text}" for text in texts))


def test_a_row_whose_tests_passed_is_proven(status):
    rows(
        status,
        'id = "A1"\nname = "open"\nproof = ["tests/lab/test_x.py::test_good"]',
        'id = "A2"\nname = "yield"\nnot_possible = "no way"',
    )
    assert status.main([status.results]) == 0
    page = status.PAGE.read_text()
    assert "| A1 | open | proven | `lab/test_x.py::test_good` |" in page
    assert "| A2 | yield | not possible | no way |" in page
    assert "Of 2: 1 not possible, 1 proven." in page
    assert status.main(["--check", status.results]) == 0


@pytest.mark.parametrize("test", ["test_bad", "test_half", "test_never"])
def test_a_claim_that_was_not_seen_is_refused(status, test, capsys):
    rows(status, f'id = "A1"\nname = "open"\nproof = ["tests/lab/test_x.py::{test}"]')
    assert status.main([status.results]) == 1
    assert f"A1: tests/lab/test_x.py::{test}" in capsys.readouterr().err
    assert not status.PAGE.exists()


def test_a_row_must_say_something_and_only_once(status, capsys):
    rows(status, 'id = "A1"\nname = "x"', 'id = "A1"\nname = "y"\nbuilt = "yes"')
    assert status.main([status.results]) == 1
    err = capsys.readouterr().err
    assert "neither proof" in err
    assert "several rows" in err


def test_an_old_page_is_noticed(status):
    rows(status, 'id = "A1"\nname = "x"\nbuilt = "yes"')
    assert status.main([status.results]) == 0
    status.PAGE.write_text(status.PAGE.read_text() + "edited")
    assert status.main(["--check", status.results]) == 1
