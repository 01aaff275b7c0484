"""A FUSE door without a kernel: a socket pair plays /dev/fuse."""

from __future__ import annotations

import os
import select
import socket

from redbear_host.scheme.loop import Loop
from schemefs import protocol as p
from schemefs.connection import Connection
from schemefs.door import Door
from schemefs.journal import Journal

SO_SNDBUFFORCE = 32  # asm-generic/socket.h: more than the usual limit allows
ROUNDS = 100  # a connection that has paused leaves requests where they are


class Bench:
    def __init__(self, scheme, geometry):
        self.kernel, daemon = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.fd = os.dup(daemon.fileno())
        daemon.close()
        os.set_blocking(self.fd, False)
        self.kernel.setblocking(False)
        self.kernel.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 8 << 20)
        self.loop = Loop()
        self.journal = Journal.create(41, geometry)
        self.connection = Connection(self.fd, self.journal, self.loop, scheme.replays, False)
        self.scheme = scheme
        Door(self.connection, self.scheme, self.loop).start()
        self.unique = 2

    def close(self):
        self.connection.close()
        self.kernel.close()
        os.close(self.fd)
        self.loop.close()
        self.journal.close()

    def ask(self, opcode, body, node=1, length=None):
        """Send a request; return its unique."""
        self.unique += 2
        size = 40 + len(body)
        head = p.IN_HEADER.pack(
            size if length is None else length, opcode, self.unique, node, 0, 0, 7, 0, 0
        )
        self.kernel.send(head + body)
        return self.unique

    def answers(self):
        """Let the door work; return (unique, error, data) of each answer."""
        for _ in range(ROUNDS):
            self.loop.at(self.loop.now(), lambda: None)  # or it would wait for more
            self.loop.run_round()
            if not select.select([self.fd], [], [], 0)[0]:
                break
        found = []
        while True:
            try:
                message = self.kernel.recv(1 << 21)
            except BlockingIOError:
                return found
            length, error, unique = p.OUT_HEADER.unpack_from(message)
            assert length == len(message)
            assert -512 < error <= 0 or unique == 0
            found.append((unique, error, message[16:]))

    def answers_into(self, done):
        """Let the door work, and add the errors of what it answered by unique."""
        for unique, error, _ in self.answers():
            assert unique not in done
            done[unique] = error
