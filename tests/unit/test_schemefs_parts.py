"""The pure parts of the FUSE door: errno, flags, attributes, names, handles."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR, MODE_FILE, MODE_SOCK, Stat
from redbear_host.errors import ProtocolError, Refused
from redbear_host.scheme.request import Caller
from schemefs import attributes, openflags
from schemefs import protocol as p
from schemefs.errno import to_linux
from schemefs.handles import Handles
from schemefs.journal import Geometry, Journal
from schemefs.nodes import Nodes

SMALL = Geometry(requests=4, medium=2, big=2, nodes=8, handles=4)


@pytest.fixture
def journal():
    made = Journal.create(38, SMALL)
    yield made
    made.close()


@given(st.integers(-1000, 1000))
def test_every_errno_becomes_one_that_linux_knows(number):
    linux = to_linux(number, cancelled=False)
    assert 0 < linux < 512
    assert linux != 4  # EINTR that nobody asked for would make callers retry


def test_errnos_are_linuxs_but_for_redoxs_own():
    assert to_linux(e.ENOSPC, cancelled=False) == 28
    assert to_linux(e.EWOULDBLOCK, cancelled=False) == 11
    assert to_linux(e.EDEADLOCK, cancelled=False) == 35
    assert to_linux(e.ECANCELED, cancelled=True) == 4
    assert to_linux(e.ECANCELED, cancelled=False) == 125
    assert to_linux(e.EINTR, cancelled=False) == e.EIO


def test_redoxs_errno_numbers_are_the_systems_own():
    own = {e.EWOULDBLOCK: "EWOULDBLOCK", e.EDEADLOCK: "EDEADLOCK"}
    import errno as system

    names = [name for name in vars(e) if name.startswith("E")]
    assert len(names) > 60
    for name in names:
        number = getattr(e, name)
        if own.get(number) != name:
            assert number == getattr(system, name), name


def test_open_flags_translate_one_by_one():
    assert openflags.to_redox(os.O_RDONLY) == f.O_RDONLY
    assert openflags.to_redox(os.O_RDWR | os.O_NONBLOCK) == f.O_RDWR | f.O_NONBLOCK
    assert openflags.to_redox(os.O_WRONLY | os.O_TRUNC | os.O_APPEND) == (
        f.O_WRONLY | f.O_TRUNC | f.O_APPEND
    )
    assert openflags.to_redox(os.O_RDONLY | os.O_DIRECTORY) == f.O_RDONLY | f.O_DIRECTORY
    assert openflags.to_redox(os.O_RDWR | os.O_SYNC) == f.O_RDWR | f.O_FSYNC
    assert openflags.to_redox(os.O_RDWR | os.O_DIRECT) == f.O_RDWR


@pytest.mark.parametrize("kind", [MODE_CHR, MODE_SOCK, MODE_FILE])
def test_whatever_is_no_directory_is_a_regular_file_for_linux(kind):
    assert attributes.mode(Stat(st_mode=kind | 0o640)) == 0o100640
    assert attributes.mode(Stat(st_mode=MODE_DIR | 0o755)) == 0o040755


def test_attributes_count_blocks_of_512_bytes():
    packed = attributes.attr(
        Stat(st_mode=MODE_FILE | 0o600, st_size=8192, st_blksize=4096, st_blocks=2, st_ino=9), 3
    )
    fields = p.ATTR.unpack(packed)
    assert fields[:3] == (9, 8192, 16)
    assert fields[9:11] == (0o100600, 1)
    again = p.STATX_ATTR.unpack(attributes.statx(Stat(st_mode=MODE_FILE, st_size=5), 3))
    assert (again[0], again[8], again[9]) == (0x7FF, 3, 5)


def test_names_are_counted_and_their_numbers_reused(journal):
    nodes = Nodes(journal)
    a = nodes.remember(p.ROOT_ID, b"a")
    b = nodes.remember(a, b"b")
    assert nodes.remember(p.ROOT_ID, b"a") == a
    assert nodes.path(b) == "a/b"
    nodes.forget(a, 1)
    assert nodes.path(a) == "a"
    nodes.forget(b, 1)
    nodes.forget(a, 1)
    with pytest.raises(Refused):
        nodes.path(a)
    assert len(nodes) == 0


def test_names_survive_in_the_journal(journal):
    first = Nodes(journal)
    a = first.remember(p.ROOT_ID, b"a")
    b = first.remember(a, "täst".encode())
    second = Nodes(journal)
    assert second.path(b) == "a/täst"
    assert second.remember(p.ROOT_ID, b"a") == a


def test_four_thousand_names_as_long_as_linux_has_them_fit():
    journal = Journal.create(38)
    try:
        names = [b"%04d" % n + b"x" * 251 for n in range(4096)]
        nodes = Nodes(journal)
        made = [nodes.remember(p.ROOT_ID, name) for name in names]
        again = Nodes(journal)
        assert [again.path(node).encode() for node in made] == names
        nodes.forget(made[0], 1)
        with pytest.raises(Refused) as refusal:
            nodes.remember(p.ROOT_ID, b"x" * 256)
        assert refusal.value.errno == e.ENAMETOOLONG
    finally:
        journal.close()


def test_a_full_table_of_names_refuses_and_recovers(journal):
    nodes = Nodes(journal)
    made = [nodes.remember(p.ROOT_ID, b"%d" % n) for n in range(SMALL.nodes)]
    with pytest.raises(Refused):
        nodes.remember(p.ROOT_ID, b"one more")
    nodes.forget(made[3], 1)
    assert nodes.remember(p.ROOT_ID, b"one more") == made[3]


def test_a_chain_of_names_that_bites_its_tail_is_stale_not_endless(journal):
    nodes = Nodes(journal)
    a = nodes.remember(p.ROOT_ID, b"a")
    b = nodes.remember(a, b"b")
    nodes._names[a] = (b, b"a")
    nodes._paths.clear()
    with pytest.raises(Refused):
        nodes.path(b)


def test_a_name_whose_record_was_cut_short_by_a_death_is_no_name(journal):
    class Death(Exception):
        pass

    class Cut:
        def __setitem__(self, index, value):
            raise Death

    nodes = Nodes(journal)
    nodes._lookups = Cut()
    with pytest.raises(Death):
        nodes.remember(p.ROOT_ID, b"a")
    assert len(Nodes(journal)) == 0


def test_handles_survive_in_the_journal(journal):
    handles = Handles(journal)
    one = handles.add(77, 5, f.O_RDWR, Caller(10, 0, 0), False)
    two = handles.add(78, 6, f.O_RDONLY, Caller(11, 1, 2), True)
    handles.bind(one, 1000)
    handles.set_poll_handle(two, 4)
    again = Handles(journal)
    assert {h.fh for h in again} == {one.fh, two.fh}
    found = again.opened_by(78)
    assert (found.node, found.flags, found.caller, found.directory, found.number) == (
        6, f.O_RDONLY, Caller(11, 1, 2), True, -1,
    )  # fmt: skip
    assert again.poll_handle(found) == 4
    handles.drop(one)
    assert {h.fh for h in Handles(journal)} == {two.fh}


def test_one_user_but_root_has_a_quarter_of_the_handles():
    journal = Journal.create(38, Geometry(requests=4, medium=2, big=2, nodes=8, handles=16))
    handles = Handles(journal)

    def errno_of(uid, fill=1):
        for _ in range(fill):
            try:
                handles.add(77, 5, f.O_RDWR, Caller(10, uid, uid), False)
            except Refused as refusal:
                return refusal.errno
        return 0

    assert errno_of(1000, 4) == 0
    assert errno_of(1000) == e.EMFILE
    assert errno_of(1001) == 0
    handles = Handles(journal)  # of a successor
    assert errno_of(1000) == e.EMFILE
    handles.drop(next(one for one in handles if one.caller.uid == 1000))
    assert (errno_of(1000), errno_of(1000)) == (0, e.EMFILE)
    assert errno_of(0, 11) == 0
    assert errno_of(0) == e.ENFILE
    journal.close()


def test_too_many_open_handles_are_refused(journal):
    handles = Handles(journal)
    for unique in range(1, SMALL.handles + 1):
        handles.add(unique, 1, 0, Caller(1, 0, 0), False)
    with pytest.raises(Refused) as refusal:
        handles.add(99, 1, 0, Caller(1, 0, 0), False)
    assert refusal.value.errno == e.ENFILE


def test_a_journal_is_opened_with_the_shape_it_was_made_with(journal):
    again = Journal.open(os.dup(journal.fd))
    try:
        assert (again.geometry, again.minor) == (SMALL, 38)
        assert again.begin_life() == 1
        assert journal.begin_life() == 2
    finally:
        again.close()


def test_a_file_that_is_no_journal_is_refused():
    fd = os.memfd_create("other")
    try:
        with pytest.raises(ProtocolError):
            Journal.open(fd)
        os.write(fd, bytes(range(200)))
        with pytest.raises(ProtocolError):
            Journal.open(fd)
    finally:
        os.close(fd)
