"""The import contracts of pyproject.toml notice what they are there to forbid."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINTER = PROJECT["tool"]["importlinter"]
PACKAGES: list[str] = LINTER["root_packages"]

# One breach per contract: the file that gets a line, and the line.
BREACHES = {
    "storeys": ("redbear_host/bits.py", "import redbear_host.scheme.request"),
    "islands": ("daemons/pcid/breach.py", "import daemons.nvmed"),
    "os-free": ("redbear_host/abi/errno.py", "import socket"),
    "exec-only": ("kernel_shim/__init__.py", "import daemons"),
}


def lint(folder: Path) -> str:
    """Run import-linter on the packages in `folder`; return what it printed."""
    program = (
        "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports;"
        "sys.exit(lint_imports(config_filename='pyproject.toml', no_cache=True, verbose=False))"
    )
    command = [sys.executable, "-I", "-c", program]
    run = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return run.stdout + run.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_there_is_a_breach_for_every_contract() -> None:
    assert {contract["id"] for contract in LINTER["contracts"]} == set(BREACHES)


def test_every_contract_breaks_when_it_is_breached(copy: Path) -> None:
    for name, line in BREACHES.values():
        with (copy / name).open("a") as file:
            file.write(f"\n{line}\n")
    said = lint(copy)
    for contract in LINTER["contracts"]:
        assert f"{contract['name']} BROKEN" in said, said


def test_every_part_of_the_floor_has_a_storey() -> None:
    storeys = next(c["layers"] for c in LINTER["contracts"] if c["id"] == "storeys")
    named = {name.strip() for storey in storeys for name in storey.replace(":", "|").split("|")}
    parts = {
        f"redbear_host.{path.stem}"
        for path in (ROOT / "redbear_host").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem != "__init__"
    }
    missing = {
        part
        for part in parts
        if part not in named and not any(name.startswith(part + ".") for name in named)
    }
    assert missing == set(), "give each a place in pyproject.toml's storeys"
