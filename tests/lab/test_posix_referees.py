"""Programs nobody here wrote, on the two file systems: `file` over a host directory, and ramfs."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from up_rig import Up

KILLS = 10
CHECKOUT = Path(__file__).parents[2]

# Stressors of stress-ng's class `filesystem` that are left out, and why.
NOT_ABOUT_THIS_FILE_SYSTEM = {
    "binderfs": "mounts another file system",
    "bind-mount": "mounts another file system",
    "dup": "works on /dev/zero",
    "eventfd": "works on eventfds",
    "fanotify": "watches all mounts of the machine",
    "fstat": "works on /dev",
    "getdent": "lists /proc and its like",
    "handle": "works on /dev/zero",
    "procfs": "reads /proc",
}
NOT_FOR_FUSE_FILES = {
    "access": "wants to execute, and schemes are mounted noexec",
    "chattr": "ext4's ioctls",
    "fiemap": "ext4's ioctl",
    "inode-flags": "ext4's ioctls",
    "verity": "ext4's ioctls",
    "xattr": "extended attributes, which Redox does not have",
}


def run(*words: object, timeout: float = 60, **options) -> str:
    """Run a program that must succeed; return what it says."""
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


DAY_NS = 24 * 3600 * 10**9


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("referees")
    (folder / "host").mkdir()
    (folder / "config.toml").write_text(
        f'[daemon.filed]\nroot = "{folder / "host"}"\n'
        f"[daemon.ramfs]\nsize = {512 << 20}\n"  # copy-file wants two of 128 MiB
    )
    with Up(folder, "--config", folder / "config.toml") as it:
        yield it


@contextmanager
def place_in(scheme: str, up: Up) -> Iterator[Path]:
    """An empty folder in the scheme, which must be empty again, or removable, in the end."""
    folder = up.mount / scheme / "place"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)
    assert not folder.exists()
    daemon = "filed" if scheme == "file" else "ramfs"
    assert "Traceback" not in up.log(daemon), up.log(daemon)


@pytest.fixture(params=["file", "ramfs"])
def place(request: pytest.FixtureRequest, up: Up) -> Iterator[Path]:
    """`place_in` each of the two."""
    with place_in(request.param, up) as folder:
        yield folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with a bit of everything a file system keeps."""
    folder = tmp_path_factory.mktemp("tree")
    for room in ("redbear_host", "schemefs", "kernel_shim", "daemons"):
        shutil.copytree(CHECKOUT / room, folder / room, ignore=shutil.ignore_patterns("*.pyc"))
    odd = folder / "odd"
    odd.mkdir(mode=0o2750)
    (odd / "links").mkdir()
    (odd / "ünïcödé \n name").write_text("odd")
    (odd / ("long" * 60)).write_text("long")
    os.link(odd / "links" / ".." / ("long" * 60), odd / "links" / "hard")
    (odd / "links" / "soft").symlink_to("../" + "long" * 60)
    (odd / "links" / "dangling").symlink_to("/nowhere/at/all")
    (odd / "locked").write_text("read only")
    (odd / "locked").chmod(0o400)
    (odd / "program").write_text("#!/bin/sh\n")
    (odd / "program").chmod(0o4755)
    with (odd / "sparse").open("wb") as sparse:
        sparse.truncate(5_000_000)
        sparse.seek(4_000_000)
        sparse.write(b"end")
    (odd / "big").write_bytes(os.urandom(3_000_000))
    # Not of this moment: rsync takes times of the same second for the same, and sets none.
    for path in folder.rglob("*"):
        found = path.lstat()
        times = (found.st_atime_ns - DAY_NS, found.st_mtime_ns - DAY_NS)
        os.utime(path, ns=times, follow_symlinks=False)
    os.utime(odd / "big", ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321))
    return folder


def facts(folder: Path) -> list[str]:
    """What `find` can tell of a tree, apart from directories' sizes."""
    files = run("find", ".", "!", "-type", "d", "-printf", r"%p %m %n %s %T@ %l\n", cwd=folder)
    folders = run("find", ".", "-mindepth", "1", "-type", "d", "-printf", r"%p %m\n", cwd=folder)
    return sorted((files + folders).splitlines())


@pytest.mark.timeout(240)
def test_stress_ng_finds_no_fault(up: Up) -> None:
    excluded = ",".join((*NOT_ABOUT_THIS_FILE_SYSTEM, *NOT_FOR_FUSE_FILES))

    def stress(place: Path) -> str:
        return run(
            *("stress-ng", "--class", "filesystem", "--sequential", 1, "--timeout", 1, "--verify"),
            *("--exclude", excluded, "--temp-path", place, "--copy-file-bytes", "128m"),
            *("--hdd-bytes", "64m", "--iomix-bytes", "64m", "--fallocate-bytes", "64m"),
            timeout=200,
        )

    # Both at once: each stressor has its second, whatever it shares the processors with.
    with place_in("file", up) as file, place_in("ramfs", up) as ramfs:
        with ThreadPoolExecutor() as pool:
            said = list(pool.map(stress, (file, ramfs)))
        for one in said:
            assert "fail:" not in one
            assert " successful run completed" in one


def test_tar_packs_and_unpacks_what_it_was_given(place: Path, tree: Path, tmp_path: Path) -> None:
    archive, inner = tmp_path / "tree.tar", place / "inner.tar"
    run("tar", "-C", tree, "--sparse", "--format=posix", "-cf", archive, ".")
    (place / "out").mkdir()
    run("tar", "-C", place / "out", "-xpf", archive)
    run("diff", "-r", "--no-dereference", tree, place / "out")
    assert facts(place / "out") == facts(tree)
    run("tar", "-C", place / "out", "--format=posix", "-cf", inner, ".")
    (tmp_path / "back").mkdir()
    run("tar", "-C", tmp_path / "back", "-xpf", inner)
    assert facts(tmp_path / "back") == facts(tree)
    run("cmp", tree / "odd/big", tmp_path / "back/odd/big")


def test_rsync_has_nothing_to_do_the_second_time(place: Path, tree: Path) -> None:
    command = ("rsync", "-aHS", "--delete", "--itemize-changes", f"{tree}/", f"{place}/copy/")
    assert "odd/links/hard" in run(*command)
    assert facts(place / "copy") == facts(tree)
    (place / "copy" / "more").touch()
    os.utime(place / "copy", ns=(tree.stat().st_atime_ns, tree.stat().st_mtime_ns))
    assert run(*command) == "*deleting   more\n.d..t...... ./\n" or run(*command) == ""
    assert run(*command) == ""
    run("rsync", "-aHS", "--checksum", "--dry-run", f"{tree}/", f"{place}/copy/")


def test_git_clones_checks_packs_and_commits(place: Path) -> None:
    clone = place / "clone"
    git = ("git", "-c", "safe.directory=*", "-c", "user.name=t", "-c", "user.email=t@example.org")
    run(*git, "clone", "--no-local", "--quiet", CHECKOUT, clone)
    run(*git, "-C", clone, "fsck", "--full", "--strict")
    assert run(*git, "-C", clone, "status", "--porcelain") == ""
    (clone / "README.md").write_text("changed\n")
    run(*git, "-C", clone, "commit", "-aqm", "change")
    run(*git, "-C", clone, "gc", "--quiet", "--prune=now")
    run(*git, "-C", clone, "fsck", "--full", "--strict")
    run(*git, "-C", clone, "switch", "--quiet", "--detach", "HEAD~1")
    assert run(*git, "-C", clone, "status", "--porcelain") == ""


READER = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1], timeout=30)
seen = 0
while seen < 2 * int(sys.argv[2]):
    count, total = base.execute("SELECT count(*), coalesce(sum(value), 0) FROM t").fetchone()
    assert count >= seen and count % 2 == 0 and total == 0, (seen, count, total)
    seen = count
"""


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_sqlite_keeps_its_transactions_beside_a_reader(place: Path, mode: str) -> None:
    path, rounds = place / "base", 150
    base = sqlite3.connect(path, timeout=30, isolation_level=None)
    assert base.execute(f"PRAGMA journal_mode={mode}").fetchone() == (mode,)
    base.execute("CREATE TABLE t (value INTEGER, bulk BLOB)")
    reader = subprocess.Popen([sys.executable, "-c", READER, path, str(rounds)])
    try:
        for number in range(rounds):
            base.execute("BEGIN IMMEDIATE")
            for value in (number, -number):
                base.execute("INSERT INTO t VALUES (?, randomblob(3000))", (value,))
            base.execute("COMMIT")
        assert reader.wait(30) == 0
    finally:
        reader.kill()
        reader.wait(10)
    base.close()
    said = run("sqlite3", path, "PRAGMA integrity_check; SELECT count(*) FROM t;")
    assert said.split() == ["ok", str(2 * rounds)]


@pytest.mark.parametrize("engine", ["psync", "mmap"])
def test_fio_reads_back_what_it_wrote(place: Path, engine: str) -> None:
    said = run(
        *("fio", "--name=verify", f"--directory={place}", f"--ioengine={engine}", "--size=16m"),
        *("--rw=randwrite", "--bsrange=512-64k", "--verify=crc32c", "--fallocate=none"),
        *(
            "--verify_fatal=1",
            "--verify_state_save=0",
            "--end_fsync=1",
            "--randseed=7",
            "--output-format=terse",
        ),
    )
    assert "verify:" not in said.lower().replace("name=verify", "")


def unpack_over_crashes(up: Up, daemon: str, archive: Path, out: Path) -> tuple[int, str]:
    """Unpack, killing the daemon again and again while tar is at it; return tar's status."""
    content = archive.read_bytes()
    piece = len(content) // KILLS + 1
    # In a file: tar has more to say of a tree than a pipe holds.
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            ["tar", "-C", out, "-xpf", "-"], stdin=subprocess.PIPE, stderr=said
        ) as tar,
    ):
        assert tar.stdin is not None
        watchdog = threading.Timer(60, tar.kill)
        watchdog.start()
        with suppress(BrokenPipeError):  # it gave up
            for number in range(KILLS):
                # The last 64 KiB of a piece are in the pipe, and still to be unpacked.
                tar.stdin.write(content[number * piece : (number + 1) * piece])
                tar.stdin.flush()
                up.kill(daemon)
            tar.stdin.close()
        status = tar.wait(60)
        watchdog.cancel()
        said.seek(0)
        return status, said.read().decode()


def test_a_tar_that_is_unpacked_over_crashes_of_filed_is_whole(
    up: Up, tree: Path, tmp_path: Path
) -> None:
    """Each call waits for the successor, which finds out what its predecessor had done."""
    archive, out = tmp_path / "tree.tar", up.mount / "file" / "crashes"
    run("tar", "-C", tree, "--format=posix", "-cf", archive, *["."] * 2)  # made, then made again
    out.mkdir()
    assert unpack_over_crashes(up, "filed", archive, out) == (0, "")
    assert facts(out) == facts(tree)
    run("diff", "-r", "--no-dereference", tree, out)
    shutil.rmtree(out)


def test_a_tar_into_ramfs_ends_when_ramfs_crashes(up: Up, tree: Path, tmp_path: Path) -> None:
    """What was in memory is gone; the client is told so, and does not wait for ever."""
    archive, out = tmp_path / "tree.tar", up.mount / "ramfs" / "crashes"
    run("tar", "-C", tree, "--format=posix", "-cf", archive, ".")
    out.mkdir()
    status, complaints = unpack_over_crashes(up, "ramfs", archive, out)
    assert status == 2
    assert "tar: " in complaints
    assert os.listdir(up.mount / "ramfs") == []
