"""Whatever clients call of the socket schemes: an answer or an errno, and nothing is left."""

from __future__ import annotations

import contextlib
import gc
import random

import pytest
from asked import Asked
from descriptors import descriptors
from smolnetd_fakes import FakeStack

from daemons.smolnetd.poller import Poller
from daemons.smolnetd.tcp import TcpScheme
from daemons.smolnetd.udp import UdpScheme
from redbear_host.abi import flags as f
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import ROOT, Opened

SCHEMES = {
    "tcp": lambda stack, poller: TcpScheme(stack, poller, 0.01),
    "udp": UdpScheme,
}
PORTS = range(61000, 61004)
PATHS = ["", "", ".listen", "x", "127.0.0.1:0", *(f"127.0.0.1:{port}" for port in PORTS)]
PATHS += [f"0.0.0.0:{port}" for port in PORTS] + [f".listen/0.0.0.0:{port}" for port in PORTS]
PATHS += [f"127.0.0.1:{port},127.0.0.1:{port}" for port in PORTS] + ["[::1]:61000", "[::]:61000"]
NAMES = [b"listen", b"disconnect", b"nodelay", b"hop_limit", b"read_timeout", b"", b"\xff", b"/"]
NAMES += [path.encode() for path in PATHS]
BITS = [f.O_RDWR, f.O_RDWR, f.O_NONBLOCK, f.O_STAT, f.O_CREAT, f.O_TRUNC, f.O_DIRECTORY]
ROUNDS = 20_000


def fds():
    return len(descriptors())


@pytest.mark.parametrize("name", SCHEMES)
def test_any_calls_in_any_order(name):
    rng = random.Random(12)
    gc.collect()  # what tests before this one left
    before = fds()
    loop = Loop()
    poller = Poller(loop)
    scheme = SCHEMES[name](FakeStack("eth0"), poller)
    handles, asked = [], []

    def keep(request, result):
        if isinstance(result, Opened):
            handles.append(result.handle)
        elif result is LATER:
            asked.append(request)

    def act():
        request = Asked(rng.choice((0, 0, 1000)))
        handle = rng.choice(handles) if handles else 99
        data = rng.randbytes(rng.choice((0, 1, 16, 100)))
        match rng.randrange(10):
            case 0 | 1 | 2:
                flags = rng.choice(BITS) | rng.choice(BITS)
                keep(request, scheme.openat(ROOT, rng.choice(PATHS), flags, 0, request))
            case 3:
                keep(request, scheme.dup(handle, rng.choice(NAMES), request))
            case 4:
                keep(request, scheme.read(handle, len(data), 0, f.O_NONBLOCK, request))
            case 5:
                keep(request, scheme.write(handle, memoryview(data), 0, f.O_NONBLOCK, request))
            case 6:
                scheme.fevent(handle, 3)
                scheme.fstat(handle)
                scheme.fpath(handle)
            case 7:
                payload = bytearray(rng.choice(NAMES) + bytes(100))
                words = (rng.randrange(11), rng.choice((0, 1, 2, 7, 8, 99)), 0)
                keep(request, scheme.call(handle, memoryview(payload), words, request))
            case 8 if handles:
                handles.remove(handle)
                scheme.on_close(handle)
            case 9:
                loop.at(loop.now(), lambda: None)
                loop.run_round()

    for _ in range(ROUNDS):
        with contextlib.suppress(Refused):
            act()
        for request in [one for one in asked if not one.pending]:
            asked.remove(request)
            keep(request, request.result)
        while len(asked) > 8:
            request = asked.pop(0)
            request.on_cancel(request)
            assert not request.pending
        while len(handles) > 40:
            scheme.on_close(handles.pop(0))
    for request in asked:
        if request.pending:
            request.on_cancel(request)
    for handle in handles:
        scheme.on_close(handle)
    assert not scheme.handles
    assert not scheme._looks
    assert not scheme._settings
    poller.close()
    loop.close()
    gc.collect()
    assert fds() == before
