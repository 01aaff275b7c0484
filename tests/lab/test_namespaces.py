"""getns, mkns, setns, setrens and register_scheme_to_ns, as programs of their own use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from namespace_rig import PRELUDE, ROOT, python
from up_rig import COMMAND, Up


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("namespaces")) as up:
        yield up


def test_a_namespace_holds_the_schemes_it_was_made_with_also_for_children(up):
    source = """
before = getns()
setns(mkns(["zero", "ran*"]))
inside = os.listdir(MOUNT), os.listdir(RINGS)
child = subprocess.check_output(["ls", MOUNT], text=True).split()
setns(before)
say(*inside, child, sorted(os.listdir(MOUNT)))
"""
    schemes, rings, child, after = python(up, source)
    assert sorted(schemes) == sorted(rings) == child == ["rand", "zero"]
    assert after == sorted(os.listdir(up.mount))


def test_the_library_sees_what_linux_programs_see(up):
    source = """
kept = client.open("/scheme/null")
setns(mkns(["rand"]))
new = client.open("/scheme/rand")
say(len(new.read(9)), tried(client.open, "/scheme/null"), kept.read(9) == b"")
"""
    assert python(up, source) == [9, "ENODEV", True]


def test_the_working_directory_stays_where_it_exists(up):
    assert python(up, 'os.chdir("/usr"); setns(mkns(["rand"])); say(os.getcwd())') == ["/usr"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["rand", "qqq"], "ENODEV"),
        (["rand", "rand"], "EEXIST"),
        (["a/b"], "EINVAL"),
        (["x" * 257], "EINVAL"),
        ([""], "EINVAL"),
        (["none*"], "done"),
    ],
)
def test_mkns_says_what_is_wrong_with_a_name(up, names, expected):
    assert python(up, f"say(tried(mkns, {names!r}))") == [expected]


def test_only_root_makes_namespaces(up):
    assert python(up, 'os.setresuid(*[65534] * 3); say(tried(mkns, ["rand"]))') == ["EACCES"]


def test_root_in_a_room_can_neither_make_nor_enter_a_namespace(up):
    run = [*COMMAND, "run", "--run-dir", str(up.run_dir), "--schemes", "rand"]
    for folder in (ROOT, sys.prefix):  # a checkout may lie below /tmp
        run += ["--write", str(folder)]
    before = [*run, "--", "env", f"PYTHONPATH={ROOT}"]
    source = 'say(tried(mkns, ["rand"]), tried(setns, getns()), os.listdir(MOUNT))'
    assert python(up, source, *before) == ["EPERM", "EPERM", ["rand"]]


def test_namespaces_nest_and_a_narrower_one_grants_no_more(up):
    source = """
setns(mkns(["rand", "zero"]))
wider = tried(mkns, ["null"])
setns(mkns(["zero"]))
say(wider, os.listdir(MOUNT))
"""
    assert python(up, source) == ["ENODEV", ["zero"]]


def test_nothing_of_a_namespace_is_left_in_the_others(up):
    source = """
folder = os.path.dirname(MOUNT)
def mounts():
    return [line for line in open("/proc/self/mountinfo") if folder in line]
before = mounts()
fd = mkns(["rand"])
say(len(before) > 3, before == mounts())
"""
    assert python(up, source) == [True, True]


def test_a_scheme_is_shown_in_another_namespace_under_a_name(up):
    source = """
narrow = mkns(["rand"])
root = os.open(MOUNT + "/zero", os.O_PATH)
taken = tried(register_scheme_to_ns, narrow, "rand", root)
wrong = tried(register_scheme_to_ns, narrow, "a/b", root)
register_scheme_to_ns(narrow, "nought", root)
here = "nought" in os.listdir(MOUNT)
setns(narrow)
with open(MOUNT + "/nought", "rb") as file:
    say(taken, wrong, here, sorted(os.listdir(MOUNT)), file.read(3) == bytes(3))
"""
    assert python(up, source) == ["EEXIST", "EINVAL", False, ["nought", "rand"], True]


# -- the null namespace ----------------------------------------------------------------------------

NULL = """
held, ring = os.open(MOUNT + "/zero", os.O_RDONLY), client.open("/scheme/rand")
inner, outer = os.pipe()
setrens(0, 0)
"""


def test_what_is_held_goes_on_working_in_the_null_namespace(up):
    source = NULL + """
os.write(outer, b"through")
say(len(os.read(held, 4)), len(ring.read(4)), os.read(inner, 9).decode(), os.fstat(held).st_uid)
"""  # fmt: skip
    assert python(up, source) == [4, 4, "through", 0]


def test_memory_and_pipe_can_still_be_opened_by_the_library(up):
    source = NULL + """
reader = client.open("/scheme/pipe")
writer = reader.dup(b"write")
writer.write(b"abc")
say(reader.read(9).decode(), client.open("memory:").fpath())
"""  # fmt: skip
    assert python(up, source) == ["abc", "/scheme/memory/"]


FORBIDDEN = {
    "open a file": "os.open('/etc/passwd', os.O_RDONLY)",
    "open a scheme": "os.open(MOUNT + '/rand', os.O_RDONLY)",
    "open below a folder": "os.open('passwd', os.O_RDONLY, dir_fd=0)",
    "create a file": "os.open('/tmp/null-test', os.O_CREAT | os.O_WRONLY)",
    "look at a file": "os.stat('/etc/passwd')",
    "list a folder": "os.listdir('/')",
    "make a folder": "os.mkdir('/tmp/null-test')",
    "remove a file": "os.unlink('/tmp/null-test')",
    "change a file": "os.chmod('/etc/passwd', 0o644)",
    "read a link": "os.readlink('/proc/self/exe')",
    "make a socket": "socket.socket(socket.AF_UNIX)",
    "make an internet socket": "socket.socket(socket.AF_INET)",
    "execute a program": "os.execv('/bin/true', ['true'])",
    "open a scheme by the library": "client.open('/scheme/zero')",
    "enter a namespace": "setns(held)",
    "find another process": "os.pidfd_open(1)",
}


@pytest.mark.parametrize("way", FORBIDDEN)
def test_the_null_namespace_forbids_to(up, way):
    (found,) = python(up, NULL + f'say(tried(lambda: {FORBIDDEN[way]}))')  # fmt: skip
    assert found in ("EPERM", "EACCES"), found


def test_every_forbidden_way_is_open_before():
    """The control: what the test above asks for is not forbidden to everybody."""
    source = PRELUDE + "say(os.stat('/etc/passwd').st_uid, len(os.listdir('/')) > 3)"
    where = {**os.environ, "REDBEAR_SCHEME": "/", "REDBEAR_RINGS": "/"}
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, check=True, timeout=30, env=where
    )
    assert json.loads(done.stdout) == [0, True]


def test_the_null_namespace_is_for_good_also_for_children(up):
    source = NULL + """
pid = os.fork()
if pid == 0:
    os._exit(0 if tried(os.open, "/", os.O_RDONLY) in ("EPERM", "EACCES") else 1)
child = os.waitpid(pid, 0)[1]
say(tried(setrens, 5, 5), tried(setrens, 0, 0), tried(setrens, -1, -1), child)
"""  # fmt: skip
    assert python(up, source) == ["EPERM", "done", "done", 0]


def test_setrens_keeps_with_minus_one_and_enters_a_namespace_by_its_descriptor(up):
    source = """
setrens(-1, -1)
same = os.listdir(MOUNT)
fd = mkns(["rand"])
setrens(fd, fd)
say(len(same) > 1, os.listdir(MOUNT), tried(setrens, -2, -1))
"""
    assert python(up, source) == [True, ["rand"], "EINVAL"]
