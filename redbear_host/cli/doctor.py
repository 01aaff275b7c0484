"""`redbear-host doctor`: what works on this machine, and what to type for the rest."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Collection
from dataclasses import asdict
from typing import Final

from redbear_host.cli.arguments import path_argument
from redbear_host.config import MOUNT, RUN_DIR

HELP: Final = "check this machine, and say what to type for what is missing"

MACHINE: Final = 3  # the exit status when not even the lab works


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "--mount", type=path_argument, default=MOUNT, metavar="DIR", help="%(default)s"
    )
    parser.add_argument(
        "--run-dir", type=path_argument, default=RUN_DIR, metavar="DIR", help="%(default)s"
    )


def run(args: argparse.Namespace) -> int:
    """Print every finding; the status is 3 if `up --lab` cannot work."""
    from redbear_host.cli.checks import CHECKS
    from redbear_host.cli.checks.machine import Machine, Verdict

    machine = Machine.this(args.mount, args.run_dir)
    findings = [check(machine) for check in CHECKS]
    verdicts = {finding.verdict for finding in findings}
    if args.json:
        told = [asdict(finding) for finding in findings]
        print(json.dumps({"lab": Verdict.FAIL not in verdicts, "findings": told}, indent=2))
    else:
        for finding in findings:
            print(render(finding.verdict, finding.name, finding.evidence, finding.advice))
        print()
        print(_summary(verdicts))
    return MACHINE if Verdict.FAIL in verdicts else 0


def render(verdict: str, name: str, evidence: str, advice: str) -> str:
    """Return a finding's lines: the verdict, what was seen, and below it what to type."""
    lines = [f"{verdict:<5} {name:<14} {evidence}"]
    lines += textwrap.wrap(advice, 90, initial_indent=" " * 21 + "→ ", subsequent_indent=" " * 23)
    return "\n".join(lines)


def _summary(verdicts: Collection[str]) -> str:
    if "fail" in verdicts:
        return "redbear-host up --lab cannot work until what failed is mended."
    if "warn" in verdicts:
        return "redbear-host up --lab nvme works here; the warnings concern other uses."
    return "All is well: redbear-host up --lab nvme, or redbear-host devices for real ones."
