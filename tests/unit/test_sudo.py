"""What `sudo` reads, and how it checks a password."""

from __future__ import annotations

from pathlib import Path

import pytest
from asked import errno_of, opened

from daemons.sudo.accounts import Accounts, User
from daemons.sudo.hashes import matches
from daemons.sudo.scheme import SudoScheme
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.scheme.loop import Loop

# By `openssl passwd -6 -salt saltstring 'Hello world!'` and -5, -1: an implementation of its own.
KNOWN = [
    b"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfa"
    b"S35inz1",
]


@pytest.mark.parametrize("known", KNOWN)
def test_the_right_password_matches_and_no_other(known):
    assert matches(b"Hello world!", known)
    for wrong in (b"", b"Hello world", b"hello world!", b"Hello world! ", known):
        assert not matches(wrong, known)


@pytest.mark.parametrize(
    "known", [None, b"", b"*", b"!", b"!!", b"x", b"!" + KNOWN[0], b"$", b"$6$"]
)
def test_what_is_no_hash_matches_nothing(known):
    for password in (b"", b"x", b"*", b"!", b"$", b"Hello world!"):
        assert not matches(password, known)


def test_accounts_are_read_anew_and_broken_lines_do_no_harm(tmp_path: Path):
    accounts = Accounts(tmp_path)
    assert accounts.user(5) is None
    (tmp_path / "passwd").write_bytes(b"\n::::\na:x:x:5::/:\nal:x:5:7:\xff:/:/bin/sh\n")
    (tmp_path / "group").write_bytes(b"sudo:x\nsudo:x:27:bo,al\n")
    (tmp_path / "shadow").write_bytes(b"al:hash:1:2:3:4:::\nbo:other\n")
    user = accounts.user(5)
    assert user == User(b"al", 5, 7)
    assert accounts.may_sudo(user)
    assert accounts.hash(b"al") == b"hash"
    assert accounts.hash(b"bo") is None
    (tmp_path / "group").write_bytes(b"sudo:x:27:bo,alan\n")
    assert not accounts.may_sudo(user)
    (tmp_path / "group").write_bytes(b"sudo:x:7:\n")
    assert accounts.may_sudo(user)
    assert accounts.may_sudo(User(b"root", 0, 0))


def test_one_user_cannot_keep_the_others_from_asking(tmp_path: Path):
    scheme = SudoScheme(Accounts(tmp_path), Loop(), lambda user, then: then(-1), 3, 0, 1)
    for _ in range(64):
        last = opened(scheme, "", f.O_RDWR, uid=1000)
    assert errno_of(opened, scheme, "", f.O_RDWR, 1000) == e.EMFILE
    assert opened(scheme, "", f.O_RDWR, uid=1001) > last
    scheme.on_close(last)
    assert opened(scheme, "", f.O_RDWR, uid=1000) > last
