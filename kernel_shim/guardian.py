"""The guardian: a tiny process that cleans up if the shim vanishes.

It waits on a pipe whose other end only the shim holds.  When the pipe closes and the state file is
still there, the shim died without undoing what it did (SIGKILL, out of memory, a bug), so the
guardian does it: daemons ended, mounts taken away, devices back on their original drivers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kernel_shim.rundir import RunDir
from kernel_shim.undo import undo
from redbear_host import log

_PATIENCE_S: Final = 30.0


def start_guardian(run_dir: Path) -> Callable[[], None]:
    """Start watching this process; return what to call when nothing is left to undo."""
    theirs, ours = os.pipe2(os.O_CLOEXEC)
    with (run_dir / "log" / "guardian.log").open("ab") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "kernel_shim.guardian", str(run_dir), str(theirs)],
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            pass_fds=(theirs,),
            start_new_session=True,
            cwd="/",
        )
    os.close(theirs)

    def dismiss() -> None:
        os.close(ours)
        process.wait()

    return dismiss


def main() -> int:
    """Wait for the shim's end; undo what it left."""
    run_dir, pipe = RunDir(Path(sys.argv[1])), int(sys.argv[2])
    log.setup("guardian")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends when its work is done, not before
    while os.read(pipe, 64):
        pass
    if not run_dir.read():
        return 0
    # Whoever comes next (`down`, another `up`) waits for this lock, and so does this for a `down`
    # that was quicker.
    run_dir.lock(_PATIENCE_S)
    state = run_dir.read()
    failed = undo(state)
    for sentence in failed:
        print(sentence, file=sys.stderr)  # noqa: T201  (its log file is all that is left)
    run_dir.empty_scratch()
    if not failed:
        run_dir.clear()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
