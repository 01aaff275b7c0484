"""Programs people use on a disk, which must succeed."""

from __future__ import annotations

import subprocess


def shell(command, *args, timeout=120):
    """Run a shell command that must succeed; return what it printed."""
    done = subprocess.run(
        ["sh", "-euc", command, "sh", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def fio(path, folder, *options, timeout=120):
    """Run a verifying fio on `path`, which keeps its state in `folder`; return what it printed."""
    done = subprocess.run(
        ["fio", "--name=verify", f"--filename={path}", "--verify=crc32c", "--verify_fatal=1",
         "--output-format=normal", "--randrepeat=1", *options],
        capture_output=True, text=True, timeout=timeout, check=False, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "err= 0" in done.stdout, done.stdout
    return done.stdout
