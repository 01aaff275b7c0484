"""One QEMU process: found, started, ended by its own pid, and never left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from typing import Final

from redbear_host.errors import ConfigError, TransportError

BINARY: Final = "qemu-system-x86_64"

_END_WITHIN_S: Final = 5.0
_WORDS_MAX: Final = 4096  # bytes of QEMU's own words that go into an error
# The kernel is asked to end the process with its parent, then the shell looks whether the parent
# was still there: it may have died before.  Python's own way, a function between fork and exec, is
# not safe in a program with threads.
_DIE_WITH_PARENT: Final = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("sh", "-c", 'test "$PPID" = "$0" && exec "$@"'),
)


class Qemu:
    """A running QEMU that the kernel ends when our process ends.

    The kernel's promise (prctl(2), PR_SET_PDEATHSIG) is about the thread that started it, so only
    the main thread may, as it lives as long as the process.
    """

    def __init__(self, arguments: Sequence[str], pass_fds: Sequence[int]) -> None:
        """Start it; `ConfigError` when there is no QEMU, `TransportError` when it cannot start."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a lab machine is started from the main thread")
        binary = shutil.which(BINARY)
        if binary is None:
            raise ConfigError(f"{BINARY} is not installed", "apt install qemu-system-x86")
        self._words: Final = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `end`)
        try:
            self._process: Final = subprocess.Popen(
                [*_DIE_WITH_PARENT, str(os.getpid()), binary, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=self._words,
                stderr=self._words,
                pass_fds=pass_fds,
                start_new_session=True,  # Ctrl-C is for us; we end it in order
            )
        except OSError as error:
            self._words.close()
            raise TransportError(f"{binary} cannot be started: {error.strerror}") from error
        self.pid: Final = self._process.pid
        self.pidfd: Final = os.pidfd_open(self.pid)

    @property
    def words(self) -> str:
        """What it has written to its standard output and error."""
        size = os.fstat(self._words.fileno()).st_size
        start = max(size - _WORDS_MAX, 0)
        return os.pread(self._words.fileno(), _WORDS_MAX, start).decode(errors="replace").strip()

    def failure(self, what: str) -> TransportError:
        """Build the error for a QEMU that does not do `what`, in its own words where it has any.

        Ends it first if it still runs: then it is complete.
        """
        try:
            status = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self.kill()
            status = None
        words = "; ".join(self.words.splitlines()).replace(f"{BINARY}: ", "")
        ended = "it keeps silent" if status is None else f"it ended with status {status}"
        return TransportError(f"QEMU does not {what}: {words or ended}")

    def kill(self) -> None:
        """End it at once, as if the device's power were cut; wait until it has ended."""
        self._process.kill()
        self._process.wait(timeout=_END_WITHIN_S)

    def end(self) -> None:
        """Let it finish its files and end it; harmless when it has ended."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
        if not self._words.closed:
            self._words.close()
            os.close(self.pidfd)
