"""The C library, used by a C program built here, at real ring doors."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import redox_rig
import up_rig

from redbear_host.abi.sqe import Opcode
from redbear_host.ring import layout as lay

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "libredox"
PROBE = Path(__file__).with_name("libredox_probe.c")
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-pthread", f"-I{SOURCES}"]
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
ENDED_S = 60


def run(command, **options):
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=ENDED_S,
        check=False,
        **options,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The library as `make libredox` builds it, and the probe beside it."""
    folder = tmp_path_factory.mktemp("libredox")
    run(["make", "-C", SOURCES, f"BUILD={folder}"])
    link = [f"-L{folder}", "-lredox", f"-Wl,-rpath,{folder}"]
    run(["gcc", *STRICT, "-o", folder / "probe", PROBE, *link])
    return folder


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    """Library and probe in one, with every access checked."""
    program = tmp_path_factory.mktemp("sanitized") / "probe"
    sources = sorted(SOURCES.glob("*.c"))
    run(["gcc", *STRICT, *SANITIZED, "-o", program, PROBE, *sources])
    return program


@pytest.fixture
def served(tmp_path):
    rig = redox_rig.Served(tmp_path)
    yield rig
    rig.close()


def environment(rings):
    return {**os.environ, "REDBEAR_RINGS": str(rings)}


@pytest.mark.parametrize("part", ["bench", "threads"])
def test_a_c_program_gets_what_it_asks_for(library, served, part):
    run([library / "probe", part], env=environment(served.rings))


@pytest.mark.parametrize("part", ["bench", "threads"])
def test_it_touches_no_memory_that_is_not_its_own_and_loses_none(sanitized, served, part):
    run([sanitized, part], env=environment(served.rings))


def test_valgrind_finds_nothing(library, served):
    assert shutil.which("valgrind"), "apt install valgrind"
    command = ["valgrind", "-q", "--error-exitcode=9", "--leak-check=full", library / "probe"]
    run([*command, "bench"], env=environment(served.rings))


@pytest.mark.parametrize("build", ["library", "sanitized"])
def test_after_a_daemons_death_old_handles_fail_and_new_ones_work(request, served, build):
    made = request.getfixturevalue(build)
    probe = subprocess.Popen(
        [made / "probe" if made.is_dir() else made, "restart"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(served.rings),
    )
    try:
        assert probe.stdout.readline() == "ready\n"
        served.kill()
        served.start()
        _, said = probe.communicate("go\n", timeout=ENDED_S)
        assert probe.returncode == 0, said
    finally:
        probe.kill()
        probe.communicate()


def test_it_works_with_the_schemes_of_a_running_instance(library, tmp_path):
    with up_rig.Up(tmp_path) as up:
        run([library / "probe", "real"], env=environment(up.run_dir / "ring"))


def test_it_exports_what_its_header_declares_and_nothing_else(library):
    declared = set(re.findall(r"REDOX_API size_t (\w+)\(", (SOURCES / "redox.h").read_text()))
    symbols = run(["nm", "-D", "--defined-only", library / "libredox.so"])
    exported = {line.split()[-1] for line in symbols.splitlines()}
    assert exported == declared
    assert len(declared) > 50


def test_it_has_a_versioned_name_and_needs_libc_only(library):
    dynamic = run(["readelf", "-d", library / "libredox.so"])
    assert "soname: [libredox.so.1]" in dynamic
    assert re.findall(r"NEEDED.*\[(.*)\]", dynamic) == ["libc.so.6"]


def test_its_numbers_are_those_of_the_ring_door():
    text = (SOURCES / "ring.h").read_text()
    defined = dict(re.findall(r"#define (\w+) (\w+)", text))
    names = ("MAGIC", "VERSION", "SQ_HEAD", "SQ_TAIL", "CQ_HEAD", "CQ_TAIL", "FDS_MOST")
    for name in (*names, "FDS_WAITING", "PATH_MOST", "PAGE"):
        assert int(defined[name].rstrip("u"), 0) == getattr(lay, name), name
    opcodes = dict(re.findall(r"OP_(\w+) = (\d+)", text))
    assert len(opcodes) > 20
    for name, number in opcodes.items():
        assert Opcode[name] == int(number), name
    layout = lay.Layout(64, 64 * 65536)
    assert (layout.cq_at, layout.arena_at) == (4096 + 64 * 64, 4096 + 64 * 64 + 4096)


def test_every_symbol_is_in_the_documentation():
    page = (ROOT / "docs" / "libredox.md").read_text()
    declared = re.findall(r"REDOX_API size_t (\w+)\(", (SOURCES / "redox.h").read_text())
    assert [name for name in declared if f"`{name}`" not in page] == []
