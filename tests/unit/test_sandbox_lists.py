"""Lists of system calls, their numbers, and the filter made of them: run on a small BPF machine."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from redbear_host.errors import ConfigError
from redbear_host.hw.vfio import ioctls as vfio
from redbear_host.manifest import installed
from redbear_host.sandbox import capabilities, landlock, seccomp
from redbear_host.sandbox.constants import CONSTANTS
from redbear_host.sandbox.lists import MOST_CALLS, of_daemon, parse, room_of
from redbear_host.sandbox.numbers import ARCHITECTURES, NUMBERS
from redbear_host.sandbox.policy import FIRST_UID, Policy
from redbear_host.sandbox.rules import Check, Rule, from_wire, to_wire

X86, ARM = ARCHITECTURES
DENY, ALLOW, KILL = seccomp.DENY, seccomp.ALLOW, seccomp.KILL
HERE = "daemons/x/syscalls"


def decide(program, number, *arguments, audit=X86.audit):
    """Run the filter as the kernel does; return its verdict."""
    words = {seccomp.NUMBER_AT: number, seccomp.ARCHITECTURE_AT: audit}
    for index in range(6):
        value = arguments[index] if index < len(arguments) else 0
        words[seccomp.ARGUMENTS_AT + 8 * index] = value & 0xFFFF_FFFF
    at, loaded = 0, 0
    while True:
        code, k, yes, no = program[at]
        if code == seccomp.RETURN:
            return k
        if code == seccomp.LOAD:
            loaded = words[k]
            at += 1
            continue
        holds = {
            seccomp.JUMP_EQUAL: loaded == k,
            seccomp.JUMP_LEAST: loaded >= k,
            seccomp.JUMP_BITS: bool(loaded & k),
        }[code]
        at += 1 + (yes if holds else no)


def programs():
    for manifest in installed():
        for also in ((), ("vfio",), ("qtest",)) if manifest.match else ((),):
            yield manifest.name, of_daemon(manifest.name, also)


def test_no_daemon_has_more_than_45_calls():
    counted = {name: len({rule.call for rule in rules}) for name, rules in programs()}
    assert {"nvmed", "pcid"} <= counted.keys()
    assert MOST_CALLS == 45
    assert max(counted.values()) <= 45


def test_every_daemon_has_a_list_of_its_own():
    without = [m.name for m in installed() if not (room_of(m.name) / "syscalls").is_file()]
    assert without == []


def test_no_list_has_what_would_open_a_way_out():
    never = {
        "socket", "openat", "open", "kill", "tgkill", "wait4", "socketpair", "listen",
        "bind", "connect", "prlimit64", "setresuid", "setresgid",
    }  # fmt: skip
    needed = {
        "audiod": {"openat"},  # by a descriptor of /proc, to name its clients; its root is empty
        "ramfs": {"openat"},  # by /proc/self/fd; its root is empty
        "smolnetd": {"bind", "connect", "listen"},  # its sockets are of IP, its network its own
    }
    for name, rules in programs():
        calls = {rule.call for rule in rules if rule.check is Check.ALWAYS}
        unchecked = calls & (never | {"mmap", "mprotect", "ioctl", "fcntl", "newfstatat"})
        assert unchecked == needed.get(name, set()), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_filter_allows_what_its_rules_say_and_nothing_else(architecture):
    column = architecture.column
    for _, rules in programs():
        program = seccomp.build(rules, architecture)
        plain = {NUMBERS[r.call][column] for r in rules if r.check is Check.ALWAYS}
        checked = {NUMBERS[r.call][column] for r in rules} - plain
        for number in range(600):
            verdict = decide(program, number, audit=architecture.audit)
            if number not in checked:
                assert verdict == (ALLOW if number in plain else DENY), number


def test_arguments_are_looked_at():
    rules = parse(
        """
        ioctl 1 in FIOCLEX FIONBIO     # two
        ioctl 1 in 0x77                # and a third
        mmap 2 without PROT_EXEC       # no code
        newfstatat 3 with AT_EMPTY_PATH   # no path
        """,
        HERE,
    )
    program = seccomp.build(rules, X86)
    ioctl, mmap, stat = 16, 9, 262
    for command in (CONSTANTS["FIOCLEX"], CONSTANTS["FIONBIO"], 0x77):
        assert decide(program, ioctl, 3, command) == ALLOW
        # The kernel takes 32 bits of a command, whatever is above them.
        assert decide(program, ioctl, 3, command | 1 << 32) == ALLOW
    assert decide(program, ioctl, 3, 0x5412) == DENY
    assert decide(program, mmap, 0, 4096, 3) == ALLOW
    assert decide(program, mmap, 0, 4096, 4) == DENY
    assert decide(program, mmap, 0, 4096, 7) == DENY
    assert decide(program, stat, 3, 0, 0, 0x1000) == ALLOW
    assert decide(program, stat, 3, 0, 0, 0x100) == DENY


def test_both_sides_of_an_and_must_hold():
    line = "socket 0 in AF_INET AF_INET6 and 1 in SOCK_DGRAM SOCK_RAW and 2 in IPPROTO_IP 0x11"
    rules = parse(f"{line}  # datagrams\nsocket 0 in 0x10 and 1 without 0x4 # netlink\n", HERE)
    assert from_wire(to_wire(rules)) == rules
    program = seccomp.build(rules, X86)
    datagrams, raw, stream = (CONSTANTS[f"SOCK_{kind}"] for kind in ("DGRAM", "RAW", "STREAM"))
    for family in (2, 10):
        for kind in (datagrams, raw):
            for protocol in (0, 17):
                assert decide(program, 41, family, kind, protocol) == ALLOW
            assert decide(program, 41, family, kind, 6) == DENY
        assert decide(program, 41, family, stream, 0) == DENY
    assert decide(program, 41, 1, datagrams, 0) == DENY
    assert decide(program, 41, 16, 3, 0) == ALLOW
    assert decide(program, 41, 16, 4, 0) == DENY


@pytest.mark.parametrize("line", ["socket and 1 in 3", "socket 1 in 3 and", "read 0 in 1 and 2"])
def test_an_and_without_two_checks_is_refused(line):
    with pytest.raises(ConfigError):
        parse(f"{line} # why", HERE)


def test_other_architectures_kill_and_x32_is_denied():
    program = seccomp.build([Rule("read"), Rule("write")], X86)
    assert decide(program, 0) == ALLOW
    assert decide(program, 0, audit=0x4000_0003) == KILL  # i386, where 0 is restart_syscall
    assert decide(program, 0, audit=ARM.audit) == KILL
    assert decide(program, 0x4000_0000) == DENY
    assert decide(program, 0x4000_0001) == DENY


def test_a_denied_call_is_eperm():
    assert seccomp.DENY & 0xFFFF == errno.EPERM


def test_the_frequent_come_first():
    program = seccomp.build([Rule("epoll_wait"), Rule("read"), Rule("epoll_wait")], X86)
    tested = [i.k for i in program if i.code == seccomp.JUMP_EQUAL]
    assert tested == [X86.audit, 232, 0]


def test_rules_survive_the_control_socket():
    rules = of_daemon("nvmed", ("vfio",))
    assert from_wire(to_wire(rules)) == rules
    policy = Policy(rules=tuple(rules), keeps=("CAP_CHOWN",), root="/srv").with_uid(7)
    assert Policy.from_wire(policy.to_wire()) == policy
    assert policy.uid == FIRST_UID + 7


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("read", "has no reason"),
        ("raed  # typo", "no system call 'raed' is known"),
        ("use nothing  # x", "no class 'nothing'"),
        ("use ../lists/base  # x", "no class"),
        ("mmap 2  # x", "is no check"),
        ("mmap 2 without  # x", "is no check"),
        ("mmap 2 has PROT_EXEC  # x", "is no check"),
        ("mmap 6 in 1  # x", "is no argument"),
        ("mmap two in 1  # x", "is no argument"),
        ("mmap 2 without PROT_MAGIC  # x", "no constant 'PROT_MAGIC'"),
        ("ioctl 1 in 0x100000000  # x", "does not have 32 bits"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_by_its_number(line, said):
    with pytest.raises(ConfigError, match=re.escape(f"{HERE}:2: ")) as raised:
        parse(f"read  # fine\n{line}\n", HERE)
    assert said in raised.value.message


def test_too_long_a_list_is_refused(tmp_path):
    room = tmp_path / "greedy"
    room.mkdir()
    room.joinpath("syscalls").write_text("".join(f"{call}  # mine\n" for call in NUMBERS))
    with pytest.raises(ConfigError, match=f"{len(NUMBERS)} calls, above 45"):
        of_daemon("greedy", folder=tmp_path)


def test_a_daemon_without_a_list_gets_that_of_schemes(tmp_path):
    assert of_daemon("silent", folder=tmp_path) == parse("use scheme  # x", HERE)


def test_the_numbers_are_those_of_the_headers():
    """Of this machine's C headers; arm64's stand in asm-generic, with a few names of their own."""
    x86 = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    generic = Path("/usr/include/asm-generic/unistd.h")
    if not (x86.is_file() and generic.is_file()):
        pytest.skip("linux-libc-dev is not installed")
    define = re.compile(r"#define __NR(?:3264)?_(\w+) (\d+)\n")
    ours = dict(define.findall(x86.read_text()))
    theirs = dict(define.findall(generic.read_text()))
    # What an arm64 C library makes of calls its kernel has not.
    renamed = {"epoll_wait": "epoll_pwait", "poll": "ppoll", "newfstatat": "fstatat"}
    for call, (number, arm) in NUMBERS.items():
        assert int(ours[call]) == number, call
        assert int(theirs[renamed.get(call, call)]) == arm, call


def test_constants_are_those_of_their_owners():
    assert CONSTANTS["VFIO_DEVICE_RESET"] == vfio.DEVICE_RESET == 0x3B6F
    assert CONSTANTS["PROT_EXEC"] == 4
    assert CONSTANTS["FIONBIO"] == 0x5421
    assert CONSTANTS["FIOCLEX"] == 0x5451


def test_landlock_takes_all_rights_a_version_knows():
    assert landlock.handled(1) == (0x1FFF, 0, 0)
    assert landlock.handled(2) == (0x3FFF, 0, 0)
    assert landlock.handled(3) == (0x7FFF, 0, 0)
    assert landlock.handled(4) == (0x7FFF, 3, 0)
    assert landlock.handled(5) == (0xFFFF, 3, 0)
    assert landlock.handled(6) == landlock.handled(9) == (0xFFFF, 3, 3)


def test_landlock_says_what_an_old_kernel_lacks():
    assert landlock.missing(7) == []
    assert landlock.missing(2) == [
        "truncating files", "TCP", "ioctl of devices", "abstract sockets and signals",
    ]  # fmt: skip
    assert len(landlock.missing(0)) == 6


def test_capabilities_are_bits():
    assert capabilities.mask([]) == 0
    assert capabilities.mask(["CAP_SETUID", "CAP_SYS_ADMIN"]) == 1 << 7 | 1 << 21
