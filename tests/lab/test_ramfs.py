"""ramfs as a user meets it: ordinary programs, databases, and a daemon that dies."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from up_rig import Up

from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.client.connection import connect

pytestmark = pytest.mark.timeout(180)

TREE = Path(__file__).resolve().parents[2] / "schemefs"


@pytest.fixture(scope="module")
def up():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # other users are to get as far as the mount
        with Up(Path(folder)) as up:
            yield up


@pytest.fixture
def folder(up):
    folder = up.mount / "ramfs" / "room"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def shell(command, *arguments):
    argv = ["timeout", "60", "sh", "-ec", command, "sh", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "copy",
    [
        'mkdir "$2"; tar --format=posix -C "$1" -cf - . | tar -C "$2" -xf -',
        'cp -a "$1" "$2"',
        'rsync -aHX "$1"/ "$2"/',
    ],
)
def test_trees_arrive_whole(folder, tmp_path, copy):
    source = tmp_path / "source"
    shutil.copytree(TREE, source, ignore=shutil.ignore_patterns("__pycache__"))
    os.symlink("../somewhere", source / "link")
    os.utime(source / "link", (5, 7), follow_symlinks=False)  # rsync overlooks parts of a second
    os.link(source / "door.py", source / "second")
    os.chmod(source / "second", 0o640)
    done = shell(copy, source, folder / "copy")
    assert done.returncode == 0, done.stderr
    same = shell('diff -r --no-dereference "$1" "$2"', source, folder / "copy")
    assert (same.returncode, same.stdout) == (0, "")
    listing = 'cd "$1"; find . -printf "%p %m %n %y %l %T@\\n" | grep -v "^[.] " | sort'
    listings = [shell(listing, where).stdout.split("\n") for where in (source, folder / "copy")]
    assert set(listings[0]) ^ set(listings[1]) == set()


def test_git_clones_and_its_check_finds_nothing(folder, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(TREE, source, ignore=shutil.ignore_patterns("__pycache__"))
    commands = (
        'git -C "$1" init -q; git -C "$1" add .; '
        'git -C "$1" -c user.name=x -c user.email=x commit -qm x; '
        'git clone -q --no-hardlinks "$1" "$2"; cd "$2"; git fsck --full --strict; git gc -q; '
        "git fsck --full --strict; git status --porcelain"
    )
    done = shell(commands, source, folder / "clone")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_database_with_two_users_stays_whole(folder, mode):
    program = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)\n"
        "for n in range(50): db.execute('insert into t values (?, zeroblob(2000))', (n,))"
    )
    path = str(folder / "db")
    db = sqlite3.connect(path, isolation_level=None)
    try:
        assert db.execute(f"pragma journal_mode={mode}").fetchone() == (mode,)
        db.execute("create table t (n, data)")
        users = [subprocess.Popen([sys.executable, "-c", program, path]) for _ in range(2)]
        assert [user.wait(60) for user in users] == [0, 0]
        assert db.execute("select count(*) from t").fetchone() == (100,)
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    finally:
        db.close()


def test_shared_mappings_of_two_programs_are_one(folder):
    with open(folder / "file", "w+b") as file:
        file.truncate(8192)
        program = (
            "import mmap, sys; f = open(sys.argv[1], 'r+b'); m = mmap.mmap(f.fileno(), 8192); "
            "m[5000:5005] = b'hello'"
        )
        with mmap.mmap(file.fileno(), 8192) as ours:
            subprocess.run([sys.executable, "-c", program, folder / "file"], check=True, timeout=20)
            assert ours[5000:5005] == b"hello"


def test_other_users_are_kept_out(folder):
    os.chmod(folder, 0o755)
    (folder / "secret").write_text("x")
    os.chmod(folder / "secret", 0o600)
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c"]
    for command in ("cat secret", "echo x > new", "rm -f secret", "mkdir dir", "chmod 666 secret"):
        done = subprocess.run(
            [*argv, f"cd {folder} && {command}"], capture_output=True, check=False, timeout=20
        )
        assert done.returncode, command
        assert b"denied" in done.stderr or b"not permitted" in done.stderr
    assert os.listdir(folder) == ["secret"]
    done = subprocess.run(
        [*argv, f"cd {folder} && ! test -r secret && ! test -w . && test -x ."],
        check=False,
        timeout=20,
    )
    assert done.returncode == 0
    (folder / "locked").mkdir(mode=0o700)
    done = subprocess.run([*argv, f"cd {folder}/locked"], capture_output=True, check=False)
    assert done.returncode
    assert not os.access(folder / "secret", os.X_OK)
    assert os.access(folder / "secret", os.R_OK | os.W_OK)


def test_the_room_is_what_statfs_says_and_no_more(folder):
    found = os.statvfs(folder)
    assert found.f_blocks * found.f_frsize == 64 << 20
    done = shell('dd if=/dev/zero of="$1" bs=1M count=80 2>&1', folder / "big")
    assert "No space left on device" in done.stdout
    assert os.statvfs(folder).f_bavail == 0
    (folder / "big").unlink()
    assert os.statvfs(folder).f_bavail > 60 << 8


def test_when_the_daemon_is_killed_among_many_creates_all_end_and_it_serves_again(up):
    root, stop = up.mount / "ramfs", threading.Event()
    errors, made, lock = set(), [0], threading.Lock()

    def make(thread):
        number = 0
        while not stop.is_set():
            number += 1
            try:
                with open(root / f"{thread}-{number}", "xb", buffering=0) as file:
                    file.write(b"content")
                os.mkdir(root / f"d{thread}-{number}")
                os.rename(root / f"{thread}-{number}", root / f"d{thread}-{number}" / "file")
            except OSError as err:
                with lock:
                    errors.add(err.errno)
            else:
                with lock:
                    made[0] += 1

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            before = made[0]
            while made[0] < before + 50:
                threading.Event().wait(0.002)
            up.kill("ramfs")
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert errors <= {errno.EIO, errno.ENOENT}
    for entry in root.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (root / "again").write_text("x")
    assert (root / "again").read_text() == "x"
    (root / "again").unlink()


@pytest.fixture
def ring(up, monkeypatch):
    """This process's libredox speaks to the instance of these tests."""
    monkeypatch.setenv("REDBEAR_RINGS", str(up.run_dir / "ring"))
    monkeypatch.setenv("REDBEAR_SCHEME", str(up.mount))
    with client.deadline(20):
        yield
        connect("ramfs").hang_up()


def test_both_doors_lead_to_the_same_files(folder, ring):
    (folder / "file").write_bytes(b"from linux" + bytes(5000))
    os.symlink("file", folder / "link")
    with client.open("/scheme/ramfs/room/link", f.O_RDWR) as fd:
        assert fd.read(10) == b"from linux"
        with client.fmap(fd, 5010) as mapping:
            mapping.memory[:4] = b"FROM"
            assert (folder / "file").read_bytes()[:10] == b"FROM linux"
            with open(folder / "file", "r+b", buffering=0) as file:
                file.write(b"!")
            assert bytes(mapping.memory[:4]) == b"!ROM"
        fd.frename("/scheme/ramfs/room/moved")
    assert sorted(os.listdir(folder)) == ["link", "moved"]
    with client.open("/scheme/ramfs/room/moved", f.O_RDONLY) as fd:
        with pytest.raises(PermissionError):
            client.fmap(fd, 4096)  # shared and writable
        with client.fmap(fd, 4096, f.PROT_READ | f.MAP_SHARED) as mapping:
            assert bytes(mapping.memory[:10]) == b"!ROM linux"


def test_what_a_ring_changes_is_seen_through_pages_linux_had_kept(folder, ring):
    (folder / "file").write_bytes(b"one" + bytes(9000))
    with open(folder / "file", "rb", buffering=0) as kept:
        assert os.pread(kept.fileno(), 3, 0) == b"one"
        with client.open("/scheme/ramfs/room/file", f.O_RDWR) as fd:
            fd.write(b"two")
        assert os.pread(kept.fileno(), 3, 0) == b"two"
