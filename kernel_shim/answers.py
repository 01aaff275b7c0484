"""What the kernel's schemes may ask of the supervisor; each question holds its `id`."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from kernel_shim.mounted import near
from kernel_shim.service import Running
from kernel_shim.supervisor import Supervisor
from redbear_host.abi import errno as e
from redbear_host.errors import RedbearError, Refused
from redbear_host.namespace import login
from redbear_host.namespace.build import schemes, tree
from redbear_host.namespace.names import known

log = logging.getLogger(__name__)

_Wire: TypeAlias = Callable[[Running, dict[str, Any], list[int]], None]
_Answer: TypeAlias = tuple[Mapping[str, Any], Sequence[int]]  # and descriptors, closed once sent

_NONSENSE: Final = (KeyError, TypeError, ValueError, OverflowError)  # OverflowError: int(inf)
_UNANSWERED: Final = ("keep", "forget")  # without an id
_PIPE_BYTES: Final = 1 << 20  # a second or so of register accesses


class Answers:
    """Answers for one supervisor; making it is enough."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor: Final = supervisor
        self._questions: Final = {
            "connect": self._connect,
            "create": self._create,
            "kstop": self._kstop,
            "namespace": self._namespace,
            "watch": self._watch,
        }
        joins = supervisor.lives.joins
        # These take the descriptor that came with the question out of the list they are given.
        self._wires: Final[dict[str, _Wire]] = {
            "join": joins.join,
            "part": lambda running, said, fds: joins.part(running, said),
            "keep": joins.keep,
            "forget": lambda running, said, fds: joins.forget(running, said),
        }
        supervisor.lives.on_ask = self._on_ask

    def _on_ask(self, running: Running, said: dict[str, Any], fds: list[int]) -> None:
        if self._on_wire(running, said, fds):
            return
        for name, handler in self._questions.items():
            may = running.service.is_kernel or name in running.service.asks
            if may and name in said:
                try:
                    number = int(said["id"])
                    answer, sent = handler(running, said)
                except _NONSENSE as error:
                    # A daemon may have been taken over: it takes more than that to end us.
                    log.warning("%s asks %.100s: %r", running.service.name, said, error)
                    return
                running.tell({**answer, "answer": number}, sent)
                for fd in sent:
                    os.close(fd)
                return
        log.error("%s asks what nobody answers: %.100s", running.service.name, said)

    def _on_wire(self, running: Running, said: dict[str, Any], fds: list[int]) -> bool:
        """Answer a question about wires (`kernel_shim.joins`); False when it is none."""
        for name, handler in self._wires.items():
            if name not in said or not running.service.may_ask(name):
                continue
            answer: dict[str, Any] = {}
            try:
                if name not in _UNANSWERED or "id" in said:
                    answer["answer"] = int(said["id"])
                handler(running, said, fds)
            except _NONSENSE as error:
                log.warning("%s asks %.100s: %r", running.service.name, said, error)
                return True
            except Refused as refusal:
                answer["errno"] = refusal.errno
            if "answer" in answer:
                running.tell(answer)
            elif "errno" in answer:
                what = f"{name} {said[name]}", answer["errno"]
                log.warning("%s may not %.100s (errno %d)", running.service.name, *what)
            return True
        return False

    def _connect(self, running: Running, said: dict[str, Any]) -> _Answer:
        """Call at the ring door of a scheme that a class service is for; it says HELLO itself.

        The answer holds the socket, or an `errno`: as of a join, and EAGAIN when too many wait
        there.  A daemon that is locked in reaches a scheme's next daemon so.  Who calls is the
        shim, as far as the scheme can see: root.
        """
        name = str(said["connect"])
        try:
            self._supervisor.lives.joins.check(running, name)
        except Refused as refusal:
            return {"errno": refusal.errno}, ()
        kind = socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        with socket.socket(socket.AF_UNIX, kind) as line:
            try:
                with near(self._supervisor.instance.run_dir / "ring" / name) as address:
                    line.connect(address)
            except BlockingIOError:
                return {"errno": e.EAGAIN}, ()
            except OSError:  # its daemon was given up in this moment
                return {"errno": e.ENODEV}, ()
            return {}, (line.detach(),)

    def _create(self, running: Running, said: dict[str, Any]) -> _Answer:
        """Mount a scheme for a program; the answer holds what it is served with, or an `errno`."""
        try:
            return {}, self._supervisor.programs.create(
                said["create"], said["is_file"], said["pid"]
            )
        except Refused as refusal:
            log.info("process %d gets no scheme: %s", said["pid"], refusal)
            return {"errno": refusal.errno}, ()

    def _kstop(self, running: Running, said: dict[str, Any]) -> _Answer:
        """Take everything down, as `redbear-host down` does."""
        log.info("stopped by /scheme/sys/kstop: %s", said["kstop"])
        self._supervisor.stop()
        return {}, ()

    def _namespace(self, running: Running, said: dict[str, Any]) -> _Answer:
        """Make the namespace that a user gets from `sudo`; the answer holds it, or an `errno`."""
        instance = self._supervisor.instance
        try:
            wanted = login.load(None).by_sudo(said["namespace"])
            return {}, (tree(instance, known(wanted, schemes(instance))),)
        except Refused as refusal:
            log.warning("no namespace for %s: %s", said["namespace"], refusal)
            return {"errno": refusal.errno}, ()
        except RedbearError as error:
            log.warning("no namespace for %s: %s", said["namespace"], error)
            return {"errno": e.EIO}, ()

    def _watch(self, running: Running, said: dict[str, Any]) -> _Answer:
        """Restart a daemon so that it tells each register access, or no longer does.

        The answer holds the end of a pipe to read from, or an `errno`.
        """
        found = [one for one in self._supervisor.services if one.service.name == said["watch"]]
        if not found or found[0].service.device is None:
            return {"errno": e.ENODEV}, ()
        (watched,) = found
        if watched.trace_fd >= 0:
            os.close(watched.trace_fd)
            watched.trace_fd = -1
        reader: tuple[int, ...] = ()
        if said["on"]:
            ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            watched.trace_fd = theirs
            reader = (ours,)
        self._supervisor.lives.restart(watched)
        return {}, reader
