"""The scheme `sudo`, with a folder of password files of the test's own."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from namespace_rig import ROOT, python
from up_rig import COMMAND, Up, redbear

NOBODY = 65534
# By `openssl passwd -6 -salt saltstring`, which has an implementation of its own.
HASH = (
    "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOf"
    "aS35inz1"
)
PASSWORD = "Hello world!"
ACT = f"""
os.setresuid(*[{NOBODY}] * 3)
sudo = client.open("/scheme/sudo")
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Make a folder that everyone can look into; pytest's are root's alone."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="redbear-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def etc(open_folder: Path) -> Path:
    """Let nobody be a member of the group sudo, and root have no password."""
    folder = open_folder / "etc"
    folder.mkdir()
    (folder / "passwd").write_text(
        f"root:x:0:0:root:/root:/bin/sh\nnobody:x:{NOBODY}:{NOBODY}::/:/bin/sh\n"
    )
    (folder / "group").write_text("sudo:x:27:alice,nobody\n")
    (folder / "shadow").write_text(f"root:*:1:0:9:7:::\nnobody:{HASH}:1:0:9:7:::\n")
    (folder / "shadow").chmod(0o600)
    return folder


@pytest.fixture
def up(open_folder: Path, etc: Path) -> Iterator[Up]:
    config = open_folder / "config.toml"
    config.write_text(f'[daemon.sudo]\netc = "{etc}"\ntries = 3\ndelay_ms = 50\nlock_s = 600\n')
    with Up(open_folder, "--config", config) as up:
        yield up


def test_a_right_password_is_taken_and_earns_a_namespace(up):
    source = ACT + f"""
early = tried(sudo.openat, "ns")
wrong = tried(sudo.write, b"Hello")
sudo.write(b"{PASSWORD}\\n")
namespace = sudo.openat("ns")
folder = namespace.fileno()
say(early, wrong, sorted(os.listdir(f"/proc/self/fd/{{folder}}/scheme")), sudo.fpath())
"""  # fmt: skip
    early, wrong, schemes, path = python(up, source)
    assert (early, wrong) == ("EPERM", "EPERM")
    assert schemes == sorted(os.listdir(up.mount))
    assert path == "/scheme/sudo"
    log = up.log("sudo")
    assert "uid 65534: password accepted, as nobody" in log
    assert "uid 65534: password refused, 1 in a row" in log
    assert PASSWORD not in log


def test_in_a_narrow_room_the_library_sees_the_wider_namespace(up, etc):
    (etc / "shadow").write_text(f"root:{HASH}:1:0:9:7:::\n")
    run = [*COMMAND, "run", "--run-dir", str(up.run_dir), "--schemes", "sudo"]
    for folder in (ROOT, sys.prefix):  # a checkout may lie below /tmp
        run += ["--write", str(folder)]
    source = f"""
sudo = client.open("/scheme/sudo")
narrow = tried(client.open, "/scheme/rand"), os.listdir(MOUNT)
sudo.write(b"{PASSWORD}")
namespace = sudo.openat("ns")
setns(namespace.fileno())
random = client.open("/scheme/rand").read(7)
with open(os.environ["REDBEAR_SCHEME"] + "/zero", "rb") as file:
    say(*narrow, len(random), len(file.read(3)))
"""
    before = [*run, "--", "env", f"PYTHONPATH={ROOT}"]
    assert python(up, source, *before) == ["ENODEV", ["sudo"], 7, 3]


def test_linux_programs_can_write_a_password_too(up):
    source = f"""
os.setresuid(*[{NOBODY}] * 3)
with open(MOUNT + "/sudo", "wb", buffering=0) as file:
    say(file.write(b"{PASSWORD}"), tried(file.write, b"wrong"))
"""
    assert python(up, source) == [len(PASSWORD), "EPERM"]


def test_too_many_wrong_passwords_lock_the_user_out_and_nobody_else(up):
    source = ACT + f"""
ends = [tried(sudo.write, b"wrong") for _ in range(3)]
say(ends, tried(sudo.write, b"{PASSWORD}"), tried(client.open("/scheme/sudo").write, b"{PASSWORD}"))
"""  # fmt: skip
    assert python(up, source) == [["EPERM"] * 3, "EPERM", "EPERM"]
    assert "uid 65534: locked out for 600 s" in up.log("sudo")
    as_root = f'say(tried(client.open("/scheme/sudo/su").write, b"{PASSWORD}"))'
    assert python(up, as_root) == ["EPERM"]  # it has no password, which nobody can write
    assert "uid 0: password refused, 1 in a row" in up.log("sudo")


def test_a_user_outside_the_group_is_refused_with_the_right_password(up, etc):
    (etc / "group").write_text("sudo:x:27:alice\n")
    assert python(up, ACT + f'say(tried(sudo.write, b"{PASSWORD}"))') == ["EPERM"]
    (etc / "group").write_text(f"sudo:x:{NOBODY}:\n")
    assert python(up, ACT + f'say(tried(sudo.write, b"{PASSWORD}"))') == ["done"]


@pytest.mark.parametrize("hashed", ["*", "!", "", f"!{HASH}", "x"])
def test_a_user_without_a_usable_hash_has_no_right_password(up, etc, hashed):
    (etc / "shadow").write_text(f"nobody:{hashed}:1:0:9:7:::\n")
    for password in (PASSWORD, hashed or "x"):
        assert python(up, ACT + f"say(tried(sudo.write, {password.encode()!r}))") == ["EPERM"]


def test_what_cannot_be_a_password_is_einval(up):
    source = ACT + """
say([tried(sudo.write, text) for text in (b"", b"\\n", b"a\\0b", b"x" * 512)])
"""  # fmt: skip
    assert python(up, source) == [["EINVAL"] * 4]


def test_it_is_there_only_where_it_was_asked_for(tmp_path):
    with Up(tmp_path) as up:
        assert "sudo" not in os.listdir(up.mount)
    assert redbear("status", "--run-dir", tmp_path / "run").returncode == 2
