"""The scripts behind the Makefile."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

OLD_PYTHON = "#!/bin/sh\ncase $2 in *version_info\\[*) echo 3.9 ;; *) exit 1 ;; esac\n"


class Machine:
    """A copy of the tools beside pretended system programs, which log how they are called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.log = folder / "log"
        self.bin.mkdir()
        self.log.touch()
        shutil.copytree(ROOT / "tools", folder / "tree" / "tools")
        lines = (ROOT / "tools" / "debian-packages.txt").read_text().splitlines()
        self.packages = [line.split()[0] for line in lines if line and line[0] != "#"]
        self.program("dpkg-query", "".join(f"echo 'ii  {name}'\n" for name in self.packages))
        self.program("dpkg", "echo amd64\n")
        self.program("apt-get", f'echo "apt-get $*" >>{self.log}\n')
        self.program("id", "echo 0\n")

    def program(self, name: str, script: str) -> Path:
        path = self.bin / name
        path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}")
        path.chmod(0o755)
        return path

    def run(self, tool: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", f"tools/{tool}", *args],
            cwd=self.folder / "tree",
            env={"PATH": f"{self.bin}:{os.environ['PATH']}", **env},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_setup_refuses_an_old_python_in_one_sentence(machine: Machine) -> None:
    old = machine.program("old-python", OLD_PYTHON)
    run = machine.run("setup.sh", PYTHON=str(old))
    assert run.returncode == 3
    assert run.stdout == ""
    assert run.stderr == (
        f"setup: redbear-host needs Python 3.11 or newer and {old} is 3.9;"
        " Debian 12 and 13 have it\n"
    )


def test_setup_names_a_python_that_is_not_there(machine: Machine) -> None:
    run = machine.run("setup.sh", PYTHON="/nonexistent/python")
    assert run.returncode == 3
    assert "no /nonexistent/python" in run.stderr


def test_setup_installs_only_the_packages_that_are_missing(machine: Machine) -> None:
    present = [name for name in machine.packages if name not in ("fio", "xxd")]
    machine.program("dpkg-query", "".join(f"echo 'ii  {name}'\n" for name in present))
    run = machine.run("setup.sh", PYTHON="/nonexistent/python")
    assert "setup: installing Debian packages: fio xxd" in run.stdout
    update, install = machine.log.read_text().splitlines()
    assert update.split()[1] == "update"
    assert install.split()[1] == "install"
    assert install.endswith(" fio xxd")


def test_setup_takes_of_a_packages_names_the_one_that_this_debian_has(machine: Machine) -> None:
    (machine.folder / "tree/tools/debian-packages.txt").write_text(
        "fio            # here\n"
        "old-1 | old-2  # the second is here\n"
        "new-1 | new-2 | new-3  # the second is known\n"
        "odd-1|odd-2    # nobody knows either\n"
    )
    machine.program("dpkg-query", "echo 'ii  fio'\necho 'ii  old-2'\necho 'un  new-3'\n")
    machine.program("apt-cache", '[ "$2" = new-2 ]\n')
    run = machine.run("setup.sh", PYTHON="/nonexistent/python")
    assert "setup: installing Debian packages: new-2 odd-1" in run.stdout
    assert machine.log.read_text().splitlines()[1].endswith(" new-2 odd-1")


def test_setup_leaves_apt_alone_when_nothing_is_missing(machine: Machine) -> None:
    machine.run("setup.sh", PYTHON="/nonexistent/python")
    assert machine.log.read_text() == ""


def test_setup_shows_what_apt_said_when_it_failed(machine: Machine) -> None:
    machine.program("dpkg-query", "")
    machine.program("apt-get", '[ "$1" = update ] || { echo "E: no such mirror"; exit 100; }\n')
    run = machine.run("setup.sh")
    assert run.returncode == 3
    assert "E: no such mirror" in run.stderr
    assert "build/apt.log" in run.stderr


def test_setup_says_what_to_type_where_there_is_no_sudo(machine: Machine) -> None:
    machine.program("dpkg-query", "echo 'ii  fio'\n")
    machine.program("id", "echo 1000\n")
    for name in ("sed", "awk", "tr", "dirname", "mkdir"):
        (machine.bin / name).symlink_to(shutil.which(name) or name)
    run = machine.run("setup.sh", PATH=str(machine.bin))
    assert run.returncode == 3
    assert "as root, type: apt-get install --no-install-recommends python3 " in run.stderr
    assert machine.log.read_text() == ""


def test_a_source_file_of_more_than_600_lines_fails_the_size_check(machine: Machine) -> None:
    tree = machine.folder / "tree"
    for program in (tree / "tools").glob("*.py"):
        program.unlink()
    (tree / "good.py").write_text("x = 1\n" * 600)
    (tree / "regs.py").write_text("x = 1\n" * 900)  # a table may be long
    run = machine.run("check_size.sh")
    assert (run.returncode, run.stdout) == (0, "1 files, 600 lines\n")
    (tree / "bad.py").write_text("x = 1\n" * 601)
    run = machine.run("check_size.sh")
    assert run.returncode == 1
    assert "./bad.py has 601 lines, more than 600" in run.stdout


def test_the_lab_disk_names_every_place_on_it(machine: Machine) -> None:
    run = machine.run("lab_disk.sh", "made/disk.img")
    assert run.returncode == 0, run.stderr
    disk = machine.folder / "tree/made/disk.img"
    assert disk.stat().st_size == 64 << 20
    with disk.open("rb") as file:
        assert file.read(520)[512:] == b"EFI PART"
        file.seek(40 << 20)
        assert file.read(64).endswith(b"Byte 00000041943040\n")
    assert [path.name for path in disk.parent.iterdir()] == ["disk.img"]
