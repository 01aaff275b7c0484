"""The scheme `namespace`, called as a door would, with a shim that answers when it is told to."""

from __future__ import annotations

import os
import random
from contextlib import suppress

import pytest
from asked import Asked, errno_of, opened
from descriptors import descriptors

from kernel_shim.schemes.namespace import CAP, CREATE, ISSUE_REGISTER, ROOT_IS_FILE, NamespaceScheme
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR
from redbear_host.errors import Refused
from redbear_host.scheme.request import LATER


class Shim:
    """Stands in for `Kernel`: keeps each question until the test answers it."""

    def __init__(self):
        self.asked = []

    def ask(self, question, then):
        self.asked.append((question, then))

    def answer(self, message=None, count=5):
        question, then = self.asked.pop(0)
        fds = [] if message else [os.eventfd(0) for _ in range(count)]
        then(message or {}, list(fds))
        return question, fds


@pytest.fixture
def shim():
    return Shim()


@pytest.fixture
def scheme(shim):
    return NamespaceScheme(shim)


def begun(scheme):
    return scheme.dup(opened(scheme, CAP, f.O_RDONLY), CREATE, Asked()).handle


def register(scheme, handle, name=b"mine", words=(ISSUE_REGISTER, 0, 0), pid=7):
    request = Asked(pid=pid)
    assert scheme.call(handle, memoryview(name), words, request) is LATER
    return request


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_scheme_is_asked_for_by_name_and_handed_over_once(scheme, shim):
    handle = begun(scheme)
    request = register(scheme, handle, b"mine", (ISSUE_REGISTER, ROOT_IS_FILE, 0))
    assert request.pending
    question, fds = shim.answer()
    assert question == {"create": "mine", "is_file": True, "pid": 7}
    assert request.result == 0
    assert errno_of(scheme.on_recvfd, handle, 4, 0, (), Asked()) == e.EINVAL
    assert scheme.on_recvfd(handle, 8, 0, (), Asked()) == fds
    assert errno_of(scheme.on_recvfd, handle, 8, 0, (), Asked()) == e.EINVAL
    scheme.on_close(handle)
    assert all(map(is_open, fds))  # they are the door's by now
    for fd in fds:
        os.close(fd)


def test_what_nobody_fetches_is_closed_with_the_handle(scheme, shim):
    handle = begun(scheme)
    register(scheme, handle)
    _, fds = shim.answer()
    scheme.on_close(handle)
    assert not any(map(is_open, fds))


def test_a_client_that_leaves_meanwhile_leaves_nothing_open(scheme, shim):
    handle = begun(scheme)
    request = register(scheme, handle)
    scheme.on_close(handle)
    _, fds = shim.answer()
    assert not any(map(is_open, fds))
    assert not request.pending


def test_a_refusal_of_the_shim_is_the_callers_and_it_may_try_again(scheme, shim):
    handle = begun(scheme)
    request = register(scheme, handle)
    shim.answer({"errno": e.EEXIST})
    assert request.errno == e.EEXIST
    again = register(scheme, handle, b"other")
    _, fds = shim.answer()
    assert again.result == 0
    scheme.on_close(handle)
    assert not any(map(is_open, fds))


def test_a_handle_makes_one_scheme(scheme):
    handle = begun(scheme)
    register(scheme, handle)
    words = (ISSUE_REGISTER, 0, 0)
    assert errno_of(scheme.call, handle, memoryview(b"two"), words, Asked()) == e.EEXIST


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a:b", b"a\0", b"x" * 256, b"\xff"])
def test_what_cannot_be_a_name_never_reaches_the_shim(scheme, shim, name):
    handle = begun(scheme)
    words = (ISSUE_REGISTER, 0, 0)
    assert errno_of(scheme.call, handle, memoryview(name), words, Asked()) == e.EINVAL
    assert shim.asked == []


def test_only_root_may_begin(scheme):
    cap = opened(scheme, CAP, f.O_RDONLY, uid=1000)
    assert errno_of(scheme.dup, cap, CREATE, Asked(1000)) == e.EACCES


def test_other_verbs_and_handles_are_einval(scheme):
    cap = opened(scheme, CAP, f.O_RDONLY)
    root = opened(scheme, "", f.O_DIRECTORY)
    handle = begun(scheme)
    assert errno_of(scheme.dup, cap, b"", Asked()) == e.EINVAL
    assert errno_of(scheme.dup, root, CREATE, Asked()) == e.EINVAL
    assert errno_of(scheme.dup, handle, CREATE, Asked()) == e.EINVAL
    for words in ((), (ISSUE_REGISTER,), (0, 0, 0), (1, 0, 0)):
        assert errno_of(scheme.call, handle, memoryview(b"a"), words, Asked()) == e.EINVAL
    assert errno_of(scheme.call, cap, memoryview(b"a"), (2, 0), Asked()) == e.EINVAL
    assert errno_of(scheme.on_recvfd, cap, 5, 0, (), Asked()) == e.EINVAL


def test_the_directory_shows_the_one_name(scheme):
    root = opened(scheme, "", f.O_DIRECTORY)
    assert [entry.name for entry in scheme.getdents(root, Asked())] == [CAP]
    assert scheme.fstat(root).st_mode & 0xF000 == MODE_DIR
    cap = scheme.openat(root, CAP, f.O_STAT, 0, Asked()).handle
    assert scheme.fstat(cap).st_mode & 0xF000 == MODE_CHR
    assert scheme.fpath(cap) == f"/scheme/namespace/{CAP}"
    assert errno_of(scheme.getdents, cap, Asked()) == e.ENOTDIR
    assert errno_of(scheme.openat, cap, "x", 0, 0, Asked()) == e.ENOTDIR
    assert errno_of(opened, scheme, "x", 0) == e.ENOENT
    assert errno_of(opened, scheme, CAP, f.O_DIRECTORY) == e.ENOTDIR


def test_whatever_is_asked_raises_nothing_but_refusals_and_loses_no_descriptor(scheme, shim):
    before = len(descriptors())
    rng = random.Random(17)
    for _ in range(3000):
        handle, words = rng.randrange(40), [rng.choice((0, 1, 2, 1 << 63)) for _ in range(3)]
        data = rng.choice((b"", CREATE, b"a", rng.randbytes(5), b"a/b", CAP.encode()))
        path = data.decode("utf-8", "surrogateescape")
        action = rng.choice(
            (
                lambda h, d, w, p: scheme.openat(h, p, w[0], w[1], Asked(rng.choice((0, 9)))),
                lambda h, d, w, p: scheme.dup(h, d, Asked(rng.choice((0, 9)))),
                lambda h, d, w, p: scheme.call(h, memoryview(d), w, Asked()),
                lambda h, d, w, p: [os.close(fd) for fd in scheme.on_recvfd(h, 9, 0, w, Asked())],
                lambda h, d, w, p: (scheme.fstat(h), scheme.fpath(h), scheme.getdents(h, Asked())),
                lambda h, d, w, p: scheme.on_close(h),
                lambda h, d, w, p: shim.asked and shim.answer(),
            )
        )
        with suppress(Refused):
            action(handle, data, words, path)
    while shim.asked:
        shim.answer()
    for handle in range(4000):
        scheme.on_close(handle)
    assert len(descriptors()) == before
