"""The filter that Linux asks before each system call, built from rules.

A classic BPF program over struct seccomp_data (linux/seccomp.h, linux/filter.h): architecture,
number, arguments.  What no rule allows fails with EPERM and is noted in the kernel's log; a call
made as another architecture's kills the process, since its numbers mean something else.

EPERM and not a kill: a bug of ours then ends in Python's traceback, which names the line, and the
supervisor's restart, instead of a dead process and a number.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from redbear_host import linux
from redbear_host.sandbox.numbers import Architecture, number_of, running_architecture
from redbear_host.sandbox.rules import Check, Rule

LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
JUMP_BITS: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
RETURN: Final = 0x06  # BPF_RET | BPF_K

ALLOW: Final = 0x7FFF_0000
KILL: Final = 0x8000_0000  # SECCOMP_RET_KILL_PROCESS
DENY: Final = 0x0005_0000 | errno.EPERM  # SECCOMP_RET_ERRNO

NUMBER_AT: Final = 0
ARCHITECTURE_AT: Final = 4
ARGUMENTS_AT: Final = 16  # 64-bit words, the low half first on the machines we know

_X32: Final = 0x4000_0000  # __X32_SYSCALL_BIT: x86-64's second set of numbers
_JUMP_MAX: Final = 255

_SET_MODE_FILTER: Final = 1
_FILTER_FLAG_TSYNC: Final = 1
_FILTER_FLAG_LOG: Final = 2
_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}


class Instruction(NamedTuple):
    """struct sock_filter."""

    code: int
    k: int
    yes: int = 0  # how many instructions a jump skips when its test holds
    no: int = 0


_ALLOW: Final = Instruction(RETURN, ALLOW)
_DENY: Final = Instruction(RETURN, DENY)


def build(rules: Sequence[Rule], architecture: Architecture) -> list[Instruction]:
    """Return the program: calls in the order of the rules, so the frequent ones come first."""
    by_call: dict[str, list[Rule]] = {}
    for rule in rules:
        by_call.setdefault(rule.call, []).append(rule)
    program = [
        Instruction(LOAD, ARCHITECTURE_AT),
        Instruction(JUMP_EQUAL, architecture.audit, yes=1),
        Instruction(RETURN, KILL),
        Instruction(LOAD, NUMBER_AT),
        Instruction(JUMP_LEAST, _X32, no=1),
        _DENY,
    ]
    for call, its_rules in by_call.items():
        body = _body(its_rules)
        if len(body) > _JUMP_MAX:
            raise ValueError(f"the checks of {call} take {len(body)} instructions")
        program += [Instruction(JUMP_EQUAL, number_of(call, architecture), no=len(body)), *body]
    return [*program, _DENY]


def _body(rules: Sequence[Rule]) -> list[Instruction]:
    """Return what decides about one call; it never falls through."""
    if any(rule.check is Check.ALWAYS for rule in rules):
        return [_ALLOW]
    body = []
    for rule in rules:
        tests = [_ALLOW]
        for condition in reversed(rule.conditions):
            tests = _test(condition, len(tests)) + tests
        body += tests
    return [*body, _DENY]


def _test(rule: Rule, then: int) -> list[Instruction]:
    """Return what goes on with the next instruction if a check holds, else `then` later."""
    if then + len(rule.values) > _JUMP_MAX:
        raise ValueError(f"the checks of {rule.call} are too many for one line")
    load = Instruction(LOAD, ARGUMENTS_AT + 8 * rule.argument)
    if rule.check is Check.IN:
        last = len(rule.values) - 1
        return [
            load,
            *(
                Instruction(JUMP_EQUAL, value, yes=last - index, no=0 if index < last else then)
                for index, value in enumerate(rule.values)
            ),
        ]
    bits = 0
    for value in rule.values:
        bits |= value
    if rule.check is Check.WITH:
        return [load, Instruction(JUMP_BITS, bits, no=then)]
    return [load, Instruction(JUMP_BITS, bits, yes=then)]


def install(rules: Sequence[Rule]) -> None:
    """Let this process make no other calls for the rest of its life."""
    load(build(rules, running_architecture()), _FILTER_FLAG_LOG)


def load(program: Sequence[Instruction], flags: int = 0) -> None:
    """Put a filter on all threads of this process and all it starts; no_new_privs must be set.

    `OSError` with EBUSY when a thread has a filter of its own.
    """
    code = assemble(program)
    memory = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: a count and, aligned, a pointer.
    fprog = struct.pack("@HP", len(program), ctypes.addressof(memory))
    number = _SECCOMP[running_architecture().name]
    if linux.syscall(number, _SET_MODE_FILTER, _FILTER_FLAG_TSYNC | flags, fprog):
        raise OSError(errno.EBUSY, "a thread cannot be given the filter")


def assemble(program: Sequence[Instruction]) -> bytes:
    """Return a program as the kernel reads it."""
    return b"".join(struct.pack("=HBBI", i.code, i.yes, i.no, i.k) for i in program)
