"""The scheme `file` as programs of several users see it, on a mounted instance."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from up_rig import Up, redbear

from redbear_host import linux

NOBODY, OTHER, TEAM, GUESTS = 65534, 61001, 61002, 61003

# Runs statements as somebody else; prints "ok", or the errno's name of the one that failed.
PROGRAM = """
import errno, os, sys
place = sys.argv[1]
os.umask(0o022)
try:
    exec(sys.argv[2])
    print("ok")
except OSError as err:
    print(errno.errorcode[err.errno])
"""


def attempt(place: Path, what: str, uid: int = NOBODY, groups: tuple[int, ...] = ()) -> str:
    """Try `what` as user and group `uid` with `groups` besides."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, str(place), what],
        user=uid,
        group=uid,
        extra_groups=groups,
        capture_output=True,
        text=True,
        timeout=20,
        cwd="/",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    # Not below pytest's own folder, which is closed to everyone else.
    with tempfile.TemporaryDirectory(prefix="redbear-filed-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        covered = folder / "host" / "covered"
        covered.mkdir(parents=True)
        linux.mount("test", covered, "tmpfs", 0)
        try:
            (covered / "hidden").touch()
            (folder / "up").mkdir()
            with Up(folder / "up", "--file", folder / "host") as it:
                yield it
        finally:
            linux.umount(covered, 0)


@pytest.fixture
def host(up: Up, request: pytest.FixtureRequest) -> Path:
    """A directory of this test's own, as the host sees it."""
    folder = up.mount.parent.parent / "host" / request.node.name[:80]
    folder.mkdir()
    return folder


@pytest.fixture
def place(up: Up, host: Path) -> Path:
    """The same directory, as clients see it."""
    return up.mount / "file" / host.name


def make(path: Path, mode: int, uid: int = 0, gid: int = 0) -> Path:
    path.write_text("content")
    os.chown(path, uid, gid)
    path.chmod(mode)
    return path


READ = "open(place).read()"
WRITE = "open(place, 'r+').write('x')"


@pytest.mark.parametrize(
    ("mode", "owner", "group", "uid", "groups", "reads", "writes"),
    [
        (0o600, 0, 0, NOBODY, (), "EACCES", "EACCES"),
        (0o644, 0, 0, NOBODY, (), "ok", "EACCES"),
        (0o400, NOBODY, 0, NOBODY, (), "ok", "EACCES"),
        (0o660, OTHER, TEAM, NOBODY, (), "EACCES", "EACCES"),
        (0o660, OTHER, TEAM, NOBODY, (TEAM,), "ok", "ok"),
        (0o640, OTHER, TEAM, NOBODY, (GUESTS, TEAM), "ok", "EACCES"),
        (0o606, OTHER, TEAM, NOBODY, (TEAM,), "EACCES", "EACCES"),  # all but the team
        (0o606, OTHER, TEAM, NOBODY, (GUESTS,), "ok", "ok"),
        (0o000, OTHER, TEAM, OTHER, (), "EACCES", "EACCES"),
        (0o000, OTHER, TEAM, 0, (), "ok", "ok"),
    ],
)
def test_the_hosts_permissions_decide_for_each_caller(
    host: Path,
    place: Path,
    mode: int,
    owner: int,
    group: int,
    uid: int,
    groups: tuple[int, ...],
    reads: str,
    writes: str,
) -> None:
    make(host / "file", mode, owner, group)
    assert attempt(place / "file", READ, uid, groups) == reads
    assert attempt(place / "file", WRITE, uid, groups) == writes
    for right, outcome in (("R_OK", reads), ("W_OK", writes)):
        asked = f"if not os.access(place, os.{right}): raise PermissionError(errno.EACCES, '')"
        assert attempt(place / "file", asked, uid, groups) == outcome


def test_a_directory_that_may_not_be_searched_hides_what_is_below(host: Path, place: Path) -> None:
    make(host / "file", 0o644)
    host.chmod(0o700)
    assert attempt(place / "file", READ) == "EACCES"
    assert attempt(place / "file", "os.stat(place)") == "EACCES"
    assert attempt(place, "os.listdir(place)") == "EACCES"
    assert attempt(place, "os.chdir(place)") == "EACCES"
    host.chmod(0o711)
    assert attempt(place, "os.chdir(place)") == "ok"
    assert attempt(place / "file", READ) == "ok"
    assert attempt(place, "os.listdir(place)") == "EACCES"
    assert attempt(place / "new", "open(place, 'w')") == "EACCES"


def test_who_gives_a_group_up_loses_its_rights_at_once(host: Path, place: Path) -> None:
    make(host / "file", 0o640, 0, TEAM)
    what = "open(place); os.setgroups([]); os.setegid(65534); os.seteuid(65534); open(place)"
    assert attempt(place / "file", what, 0, (TEAM,)) == "EACCES"
    taken = "os.setgroups([{}]); os.seteuid(65534); open(place); os.seteuid(0); os.setgroups([]); "
    taken = taken.format(TEAM) + "os.setegid(65534); os.seteuid(65534); open(place)"
    assert attempt(place / "file", taken, 0) == "EACCES"


def test_what_is_made_belongs_to_its_maker(host: Path, place: Path) -> None:
    host.chmod(0o777)
    for name, what in {
        "file": "os.close(os.open(place, os.O_CREAT | os.O_EXCL, 0o666))",
        "folder": "os.mkdir(place, 0o777)",
        "link": "os.symlink('x', place)",
        "node": "os.mknod(place, 0o100666)",
    }.items():
        assert attempt(place / name, what, OTHER, (TEAM,)) == "ok"
        found = (host / name).lstat()
        assert (found.st_uid, found.st_gid) == (OTHER, OTHER), name
    assert stat.S_IMODE((host / "file").stat().st_mode) == 0o644
    assert stat.S_IMODE((host / "folder").stat().st_mode) == 0o755


def test_a_set_group_id_directory_hands_its_group_down(host: Path, place: Path) -> None:
    os.chown(host, 0, TEAM)
    host.chmod(0o2777)
    assert attempt(place / "folder", "os.mkdir(place)") == "ok"
    assert attempt(place / "folder" / "file", "open(place, 'w')") == "ok"
    assert (host / "folder").stat().st_gid == (host / "folder/file").stat().st_gid == TEAM
    assert (host / "folder").stat().st_mode & stat.S_ISGID


def test_in_a_sticky_directory_only_owners_remove_and_rename(host: Path, place: Path) -> None:
    host.chmod(0o1777)
    make(host / "file", 0o666, OTHER, OTHER)
    assert attempt(place / "file", "os.unlink(place)") == "EPERM"
    assert attempt(place / "file", "os.rename(place, place + '2')") == "EPERM"
    assert attempt(place / "mine", "open(place, 'w')") == "ok"
    assert attempt(place, "os.rename(place + '/mine', place + '/file')") == "EPERM"
    assert attempt(place / "file", "os.unlink(place)", OTHER) == "ok"


def test_only_root_gives_files_away(host: Path, place: Path) -> None:
    make(host / "file", 0o644, NOBODY, NOBODY)
    chown = f"os.chown(place, {OTHER}, -1)"
    assert attempt(place / "file", chown, NOBODY) == "EPERM"
    assert attempt(place / "file", f"os.chown(place, -1, {TEAM})", NOBODY) == "EPERM"
    assert attempt(place / "file", f"os.chown(place, -1, {TEAM})", NOBODY, (TEAM,)) == "ok"
    assert attempt(place / "file", chown, 0) == "ok"
    found = (host / "file").stat()
    assert (found.st_uid, found.st_gid) == (OTHER, TEAM)


def test_only_owners_change_modes_and_times(host: Path, place: Path) -> None:
    make(host / "file", 0o666, OTHER, OTHER)
    for what in ("os.chmod(place, 0o777)", "os.utime(place, (1, 2))"):
        assert attempt(place / "file", what) == "EPERM"
        assert attempt(place / "file", what, OTHER) == "ok"
    assert (host / "file").stat().st_mtime == 2
    assert attempt(place / "file", "os.utime(place)", NOBODY) == "ok"  # who may write, may touch
    assert (host / "file").stat().st_mtime > 1_000_000_000


def test_set_user_id_does_not_survive_a_write(host: Path, place: Path) -> None:
    for name, uid in (("first", NOBODY), ("second", 0), ("third", NOBODY)):
        make(host / name, 0o4777, OTHER, OTHER)
        assert attempt(place / name, WRITE, uid) == "ok"
    assert (host / "first").stat().st_mode & stat.S_ISUID == 0
    assert (host / "third").stat().st_mode & stat.S_ISUID == 0


def test_a_file_made_read_only_is_written_by_who_made_it(host: Path, place: Path) -> None:
    host.chmod(0o777)
    what = "fd = os.open(place, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o400); os.write(fd, b'x')"
    assert attempt(place / "file", what) == "ok"
    assert attempt(place / "file", WRITE) == "EACCES"
    assert (host / "file").read_text() == "x"


def test_special_files_are_looked_at_and_not_opened(host: Path, place: Path) -> None:
    os.mkfifo(host / "fifo", 0o666)
    os.mknod(host / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(host / "disk", 0o666 | stat.S_IFBLK, os.makedev(7, 0))
    for name in ("fifo", "null", "disk"):
        (host / name).chmod(0o666)
        assert (place / name).lstat().st_ino == (host / name).lstat().st_ino
    assert attempt(place / "fifo", "os.open(place, os.O_RDONLY)", 0) == "ENXIO"
    assert attempt(place / "null", "os.open(place, os.O_RDWR)", 0) == "EACCES"
    assert attempt(place / "disk", "os.open(place, os.O_RDONLY)", 0) == "EACCES"
    assert attempt(place / "new", "os.mknod(place, 0o020666, os.makedev(1, 3))", 0) == "EPERM"
    assert sorted(os.listdir(place)) == ["disk", "fifo", "null"]


def test_links_are_followed_by_the_client_and_not_by_filed(up: Up, host: Path, place: Path) -> None:
    """They lead where the client's own root and mounts lead, with the client's own rights."""
    (up.mount.parent / "secret").write_text("beside the mount")
    (host / "absolute").symlink_to("/etc/hostname")
    (host / "up").symlink_to("../../../secret")
    assert os.readlink(place / "absolute") == "/etc/hostname"
    assert (place / "absolute").read_bytes() == Path("/etc/hostname").read_bytes()
    assert (place / "up").read_text() == "beside the mount"
    assert not (host / "up").exists()


def test_what_is_mounted_below_the_root_is_not_there(up: Up, host: Path) -> None:
    assert os.listdir(host.parent / "covered") == ["hidden"]
    assert os.listdir(up.mount / "file" / "covered") == []
    (up.mount / "file" / "covered" / "beneath").touch()
    assert os.listdir(host.parent / "covered") == ["hidden"]


def test_what_others_do_on_the_host_is_seen(host: Path, place: Path) -> None:
    (host / "file").write_text("one")
    reader = (place / "file").open()
    assert reader.read() == "one"
    with (host / "file").open("a") as writer:
        writer.write("two")
    assert reader.read() == "two"
    reader.close()
    (host / "file").rename(host / "moved")
    assert os.listdir(place) == ["moved"]
    assert (place / "moved").read_text() == "onetwo"


def test_two_names_of_a_file_show_the_same_bytes(place: Path) -> None:
    (place / "one").write_text("before")
    os.link(place / "one", place / "two")
    with (place / "one").open("r+") as one, (place / "two").open("r+") as two:
        assert one.read() == two.read() == "before"
        one.seek(0)
        one.write("after!")
        one.flush()
        two.seek(0)
        assert two.read() == "after!"


def test_handles_survive_a_crash(up: Up, host: Path, place: Path) -> None:
    locked = os.open(place / "locked", os.O_CREAT | os.O_RDWR, 0o000)
    moved = os.open(place / "old", os.O_CREAT | os.O_RDWR, 0o600)
    os.rename(place / "old", place / "new")
    log = os.open(place / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    swapped = os.open(place / "swapped", os.O_CREAT | os.O_RDWR, 0o600)
    listing = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    for fd in (locked, moved, log, swapped):
        os.write(fd, b"before ")
    (host / "swapped").unlink()
    (host / "swapped").write_text("not what was opened")
    up.kill("filed")
    for fd in (locked, moved, log):
        os.write(fd, b"after")
        os.close(fd)
    assert sorted(os.listdir(listing)) == ["locked", "log", "new", "swapped"]
    for name in ("locked", "new", "log"):
        assert (host / name).read_text() == "before after"
    with suppress(OSError):  # by passthrough the file itself is still at hand
        os.write(swapped, b"x")
    os.close(swapped)
    os.close(listing)
    assert (host / "swapped").read_text() == "not what was opened"


def test_a_handle_survives_a_crash_with_the_rights_it_was_opened_with(
    up: Up, host: Path, place: Path
) -> None:
    make(host / "file", 0o600, NOBODY, NOBODY)
    os.link(host / "file", host / "twin")  # two names: the kernel asks filed for each byte
    what = "fd = os.open(place, os.O_RDWR); print(1, flush=True); input(); os.write(fd, b'C')"
    with subprocess.Popen(
        [sys.executable, "-I", "-c", PROGRAM, str(place / "file"), what],
        user=NOBODY,
        group=NOBODY,
        extra_groups=(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"1\n"
        (host / "file").chmod(0o400)
        up.kill("filed")
        assert client.communicate(b"\n", timeout=20)[0] == b"ok\n"
    assert (host / "file").read_text() == "Content"


@pytest.mark.parametrize("what", ["none", "file"])
def test_a_root_that_is_no_directory_is_said_before_anything_starts(
    tmp_path: Path, what: str
) -> None:
    (tmp_path / "file").touch()
    where = ("--mount", tmp_path / "scheme", "--run-dir", tmp_path / "run")
    done = redbear("up", *where, "--file", tmp_path / what)
    assert done.returncode == 2
    assert f"there is no directory {tmp_path / what}" in done.stderr
    assert "hint: " in done.stderr
    assert not (tmp_path / "scheme").exists()


def test_a_configuration_names_the_root_relative_to_itself(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[daemon.filed]\nroot = "sub"\n')
    plan = ("up", "--plan", "--config", tmp_path / "config.toml")
    done = redbear(*plan)
    assert done.returncode == 2
    assert f"there is no directory {tmp_path / 'sub'}" in done.stderr
    (tmp_path / "sub").mkdir()
    assert redbear(*plan).returncode == 0
    (tmp_path / "config.toml").write_text("[daemon.filed]\n")
    assert "root is not set" in redbear(*plan).stderr
