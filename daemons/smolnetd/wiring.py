"""The network as this life finds it: its namespace, its adapters, what the shim tells of them."""

from __future__ import annotations

import logging
import os
import resource
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from daemons.smolnetd import linuxstack
from daemons.smolnetd.front import Front, listen_at, listen_on
from daemons.smolnetd.poller import Poller
from daemons.smolnetd.resolv import Resolv
from daemons.smolnetd.resolver import Resolver
from redbear_host.daemon import Daemon

log = logging.getLogger(__name__)

_SCHEME: Final = "network."


class Network:
    """Made before the daemon is locked in: first what is the host's, then the namespace."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon: Final = daemon
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        listeners = self._listeners()
        namespace = linuxstack.enter(daemon.kept.get("network"))
        self._keep("network", namespace)
        os.close(namespace)
        memory = daemon.kept.get("nameservers")
        if memory is None:
            memory = Resolv.create()
            self._keep("nameservers", memory)
        self.resolv: Final = Resolv(memory)
        self.poller: Final = Poller(daemon.loop)
        daemon.callback(self.poller.close)
        self.stack: Final = linuxstack.LinuxStack(daemon.options["adapters"], self._join)
        daemon.callback(self.stack.close)
        daemon.loop.watch(self.stack.fileno(), self.stack.on_readable)
        resolver = Resolver(self.stack, self.poller, lambda: self.resolv.servers)
        front = Front(self.stack, self.poller, resolver)
        daemon.callback(front.close)
        for listener in listeners:
            front.serve(listener)
        daemon.on_told = self._on_told
        for scheme, facts in daemon.facts.get("with", {}).items():
            if scheme.startswith(_SCHEME):
                self._attach(scheme, facts)

    def _listeners(self) -> list[socket.socket]:
        """Return the sockets of the SOCKS front: a predecessor's, with who waits there, or new."""
        found = []
        path, port = (
            Path(self._daemon.facts["run_dir"], "socks"),
            self._daemon.options["socks_port"],
        )
        makers: dict[str, Callable[[], socket.socket]] = {"socks": lambda: listen_at(path)}
        if port:
            makers["socks port"] = lambda: listen_on(port)
        for name, make in makers.items():
            fd = self._daemon.kept.get(name)
            if fd is not None:
                found.append(socket.socket(fileno=fd))
                continue
            try:
                listener = make()
            except OSError as error:
                log.error("there is no SOCKS front (%s): %s", name, error.strerror)
                continue
            self._keep(name, listener.fileno())
            found.append(listener)
        for listener in found:
            self._daemon.callback(listener.close)
        return found

    # -- what the shim is asked and tells (kernel_shim.joins) --------------------------------------

    def _keep(self, name: str, fd: int) -> None:
        if name not in self._daemon.kept:
            self._daemon.keep(name, fd)

    def _join(self, scheme: str, tap: int, mac: str | None) -> None:
        def done(answer: Mapping[str, Any], fds: list[int]) -> None:
            if "errno" in answer:
                log.warning("the shim does not join %s (errno %d)", scheme, answer["errno"])

        # An adapter that is joined already, and has another address only, has no descriptor.
        self._daemon.ask({"join": scheme, "mac": mac}, done, () if tap < 0 else (tap,))

    def _on_told(self, message: dict[str, Any], fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)
        if "with" in message:
            self._attach(message["with"], message["facts"])
        elif "without" in message:
            self.stack.detach(message["without"])

    def _attach(self, scheme: str, facts: dict[str, Any]) -> None:
        try:
            self.stack.attach(scheme, facts)
        except OSError as error:
            log.error("%s has no adapter: %s", scheme, error.strerror)
