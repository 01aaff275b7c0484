"""Lists of schemes, who gets which, and the filter of rooms, without a kernel's help."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest

from redbear_host.abi import errno as e
from redbear_host.errors import ConfigError, Refused
from redbear_host.namespace import filter, login, names, typed
from redbear_host.sandbox.numbers import ARCHITECTURES
from redbear_host.sandbox.seccomp import assemble

THERE = ("rand", "ramfs", "zero", "disk.a", "disk.b")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["rand"], ("rand",)),
        (["zero", "rand", "zero"], ("rand", "zero")),
        (["disk*"], ("disk.a", "disk.b")),
        (["*"], tuple(sorted(THERE))),
        (["none*"], ()),
        ([], ()),
    ],
)
def test_a_list_names_schemes_and_beginnings(wanted, found):
    assert names.select(wanted, THERE) == found


def test_an_unknown_plain_name_is_enodev():
    with pytest.raises(Refused) as caught:
        names.select(["rand", "tcp"], THERE)
    assert caught.value.errno == e.ENODEV


def test_a_list_for_many_machines_leaves_out_what_is_not_there():
    assert names.known(["tcp", "ra*", "zero"], THERE) == ("ramfs", "rand", "zero")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a:b", "a\0b", "é" * 128, "\ud800"])
def test_what_cannot_be_a_name_is_einval(name):
    with pytest.raises(Refused) as caught:
        names.check(name)
    assert caught.value.errno == e.EINVAL


def test_a_name_may_have_255_bytes():
    assert names.check("x" * 255) == "x" * 255


def test_a_typed_list_may_have_blanks():
    assert typed.parse("rand, disk*,*") == ("rand", "disk*", "*")


def test_a_slip_of_the_pen_gets_the_nearest_name():
    with pytest.raises(ConfigError) as caught:
        typed.select_or_say(["rnd"], THERE)
    assert caught.value.hint == "did you mean 'rand'?"


# -- login_schemes.toml ----------------------------------------------------------------------------


def test_our_own_list_is_redoxs():
    ours = login.load(None)
    assert ours.of("root") == ("*",)
    assert " ".join(ours.of("anybody")) == (
        "debug event memory pipe time sys rand null zero log ip icmp tcp udp shm chan uds_stream "
        "uds_dgram file display* proc pty sudo audio orbital"
    )
    assert ours.by_sudo("anybody") == ("*",)


def test_a_user_may_have_a_table_of_their_own():
    found = login.parse(
        '[user_schemes.user]\nschemes = ["rand"]\n[user_schemes.al]\nschemes = ["d*"]\n'
        '[sudo_schemes.al]\nschemes = ["disk*"]\n',
        "here",
    )
    assert (found.of("al"), found.of("bo"), found.by_sudo("al")) == (("d*",), ("rand",), ("disk*",))


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[users.a]\nschemes = []",
        "user_schemes = 3",
        "[user_schemes.a]\n",
        "[user_schemes.a]\nschemes = 'rand'",
        "[user_schemes.a]\nschemes = [3]",
        "[user_schemes.a]\nschemes = ['a/b']",
        "[user_schemes.a]\nschemes = []\nother = 1",
    ],
)
def test_a_wrong_file_is_refused_with_its_place(text):
    with pytest.raises(ConfigError) as caught:
        login.parse(text, "login.toml")
    assert caught.value.message.startswith("login.toml")


# -- the filter ------------------------------------------------------------------------------------

ALLOW, EPERM, ENOSYS, NO_FAMILY = 0x7FFF_0000, 0x0005_0001, 0x0005_0026, 0x0005_0061
X86 = 0xC000_003E
MACHINE = ARCHITECTURES[0]


def verdict(code: bytes, number: int, *arguments: int, audit: int = X86) -> int:
    """Run a filter as the kernel would."""
    data = struct.pack("=IIQ6Q", number, audit, 0, *(*arguments, *[0] * 6)[:6])
    program = [struct.unpack_from("=HBBI", code, at) for at in range(0, len(code), 8)]
    at = accumulator = 0
    while True:
        operation, yes, no, operand = program[at]
        at += 1
        if operation == 0x06:
            return operand
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
            continue
        holds = {
            0x15: accumulator == operand,
            0x35: accumulator >= operand,
            0x45: bool(accumulator & operand),
        }[operation]
        at += yes if holds else no


@pytest.mark.parametrize(
    ("expected", "call"),
    [
        (ALLOW, (0,)),  # read
        (ALLOW, (257,)),  # openat
        (EPERM, (165,)),  # mount
        (EPERM, (272,)),  # unshare
        (EPERM, (304,)),  # open_by_handle_at
        (ENOSYS, (425,)),  # io_uring_setup
        (ENOSYS, (435,)),  # clone3
        (ALLOW, (56, 0x11)),  # clone with SIGCHLD
        (EPERM, (56, 0x1000_0011)),  # and CLONE_NEWUSER
        (ALLOW, (16, 0, 0x5401)),  # ioctl TCGETS
        (EPERM, (16, 0, 0x5412)),  # TIOCSTI
        (EPERM, (16, 0, 0xFFFF_FFFF_0000_5412)),  # the kernel looks at 32 bits
        (ALLOW, (41, 1)),  # socket AF_UNIX
        (NO_FAMILY, (41, 40)),  # AF_VSOCK
        (ENOSYS, (0x4000_0000 + 165,)),  # mount, as x32 has it
    ],
)
def test_a_room_lets_through_what_does_not_lead_out(expected, call):
    assert verdict(assemble(filter.build(MACHINE)), *call) == expected


@pytest.mark.parametrize(
    ("expected", "call"),
    [
        (ALLOW, (0,)),
        (EPERM, (257,)),
        (EPERM, (59,)),  # execve
        (EPERM, (41, 1)),
        (EPERM, (262, 0, 0, 0, 0)),  # newfstatat by a path
        (ALLOW, (262, 0, 0, 0, 0x1000)),  # of a descriptor
        (EPERM, (332, 0, 0, 0)),  # statx by a path
        (ALLOW, (332, 0, 0, 0x1000)),
    ],
)
def test_the_null_namespace_knows_no_names(expected, call):
    assert verdict(assemble(filter.build(MACHINE, null=True)), *call) == expected


def test_programs_of_another_machine_cannot_call_at_all():
    assert verdict(assemble(filter.build(MACHINE)), 0, audit=0x4000_0003) == ENOSYS


def test_the_numbers_are_those_of_the_kernels_headers():
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h").read_text()
    generic = subprocess.run(
        ["gcc", "-E", "-dM", "-D__ARCH_WANT_RENAMEAT", "/usr/include/asm-generic/unistd.h"],
        capture_output=True, text=True, check=True, timeout=30,
    ).stdout  # fmt: skip
    known = [
        {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)$", text, re.M)}
        for text in (header, generic)
    ]
    of_descriptors = {name: row[:2] for name, row in filter._OF_A_DESCRIPTOR.items()}
    mine = filter._DENIED | filter._NULL_DENIED | of_descriptors
    assert len(mine) > 80
    for name, row in mine.items():
        for column, numbers in enumerate(known):
            if name in numbers:  # else these headers are older than the call
                assert row[column] == numbers[name], name
