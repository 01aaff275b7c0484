"""Make docs/STATUS.md from docs/status.toml and from what the tests said.

Usage: status.py [--check] RESULTS.xml…

Each row of docs/status.toml names what Redox (or its architecture document) has, and either the
tests that prove it here, or says why there are none.  RESULTS are what pytest's --junitxml wrote.
A row is proven only if every test it names was run and passed; a test may be named without its
parameters, and then all its parameters count.  With --check nothing is written: exit status 1 if a
row claims what was not seen, or the page differs from what it should say.
"""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

ROOT: Final = Path(__file__).resolve().parent.parent
ROWS: Final = ROOT / "docs/status.toml"
PAGE: Final = ROOT / "docs/STATUS.md"

# How a row may stand without a test, and what that is called on the page.
WORDS: Final = {"built": "built", "later": "not built yet", "not_possible": "not possible"}


def outcomes(files: list[str]) -> dict[str, str]:
    """Return what became of each test: `tests/lab/test_x.py::test_y` → passed, failed or skipped.

    The parameters of one test are taken together; the worst of them counts.
    """
    found: dict[str, str] = {}
    rank = ("passed", "skipped", "failed")
    for file in files:
        for case in ElementTree.parse(file).iter("testcase"):
            name = case.get("name", "").split("[")[0]
            key = f"{case.get('classname', '').replace('.', '/')}.py::{name}"
            outcome = "passed"
            for child in case:
                if child.tag in ("failure", "error"):
                    outcome = "failed"
                elif child.tag == "skipped":
                    outcome = "skipped"
            found[key] = max(found.get(key, "passed"), outcome, key=rank.index)
    return found


def judge(row: dict[str, Any], results: dict[str, str]) -> tuple[str, str, list[str]]:
    """Return a row's standing, what to say of it, and what is wrong with its claim."""
    if "proof" in row:
        bad = [
            f"{row['id']}: {test} {results.get(test, 'was not run')}"
            for test in row["proof"]
            if results.get(test) != "passed"
        ]
        said = ", ".join(f"`{test.removeprefix('tests/')}`" for test in row["proof"])
        note = f"{row['note']}; {said}" if "note" in row else said
        return ("proven" if not bad else "CLAIMED"), note, bad
    for key, word in WORDS.items():
        if key in row:
            return word, row[key], []
    return "CLAIMED", "", [f"{row['id']}: it says neither proof nor {', '.join(WORDS)}"]


def page(rows: list[dict[str, Any]], results: dict[str, str]) -> tuple[str, list[str]]:
    """Return the page, and what is wrong."""
    wrong: list[str] = []
    lines = []
    count: Counter[str] = Counter()
    for row in rows:
        standing, said, bad = judge(row, results)
        wrong += bad
        count[standing] += 1
        lines.append(f"| {row['id']} | {row['name']} | {standing} | {said} |")
    total = ", ".join(f"{number} {word}" for word, number in sorted(count.items()))
    head = [
        "# Status",
        "",
        "What of Redox's kernel half and schemes there is, and which test says so. Made by",
        "`make status` from `docs/status.toml` and the last `make test`; do not edit.",
        f"Of {len(rows)}: {total}.",
        "",
        "| | what | standing | by |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *lines, ""]), wrong


def main(argv: list[str]) -> int:
    """Write or check the page."""
    check = "--check" in argv
    results = outcomes([one for one in argv if one != "--check"])
    rows = tomllib.loads(ROWS.read_text(encoding="utf-8"))["row"]
    twice = [name for name, times in Counter(row["id"] for row in rows).items() if times > 1]
    text, wrong = page(rows, results)
    wrong += [f"{name}: there are several rows of that name" for name in twice]
    for line in wrong:
        print(f"status: {line}", file=sys.stderr)
    if check:
        if not wrong and PAGE.read_text(encoding="utf-8") != text:
            wrong.append("page")
            print("status: docs/STATUS.md is out of date: make status", file=sys.stderr)
    elif not wrong:
        PAGE.write_text(text, encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
