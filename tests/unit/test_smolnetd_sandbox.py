"""What smolnetd's list allows of sockets, and what it does not."""

from __future__ import annotations

import errno
import socket

import pytest
from test_sandbox_lists import decide

from redbear_host.sandbox import namespaces
from redbear_host.sandbox.lists import of_daemon
from redbear_host.sandbox.numbers import ARCHITECTURES, NUMBERS
from redbear_host.sandbox.rules import Check
from redbear_host.sandbox.seccomp import ALLOW, DENY, build

X86 = ARCHITECTURES[0]
QUICK = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
STREAM, DGRAM, RAW = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW
GOOD = [
    *((family, STREAM, protocol) for family in (2, 10) for protocol in (0, 6)),
    *((family, DGRAM, protocol) for family in (2, 10) for protocol in (0, 17, 1, 58)),
    *((family, RAW, protocol) for family in (2, 10) for protocol in range(256)),
]


def test_sockets_of_ip_and_no_others():
    program = build(of_daemon("smolnetd"), X86)
    number = NUMBERS["socket"][0]
    for family in range(46):
        for kind in range(11):
            for protocol in (0, 1, 2, 6, 17, 58, 115, 132, 136, 255, 256, 262):  # …, SMC, MPTCP
                verdict = decide(program, number, family, kind | QUICK, protocol)
                good = (family, kind, protocol) in GOOD or (kind == RAW and family in (2, 10))
                assert verdict == (ALLOW if good else DENY), (family, kind, protocol)
                if kind == DGRAM:
                    # One that could make us wait, or that a program we start would have.
                    assert decide(program, number, family, kind, protocol) == DENY


def test_it_can_leave_its_network_by_no_call():
    calls = {rule.call for rule in of_daemon("smolnetd") if rule.check is Check.ALWAYS}
    assert not calls & {"setns", "unshare", "openat", "socketpair", "clone", "pidfd_getfd"}


def test_a_daemon_that_has_made_no_network_is_not_locked_in(monkeypatch):
    monkeypatch.setattr(namespaces.linux, "unshare", lambda flags: None)
    with pytest.raises(OSError, match="no network of its own") as raised:
        namespaces.leave(None, network=True)
    assert raised.value.errno == errno.EPERM
