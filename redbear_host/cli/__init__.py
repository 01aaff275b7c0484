"""`redbear-host`: one module per verb, imported when it is typed.

A verb's module has `HELP` (one line), `add_arguments(parser)` and `run(args) -> int`.  What ends a
run early decides the exit status:

| raised                   | status | shown                        |
|--------------------------|--------|------------------------------|
| `ConfigError`            | 2      | the message and the hint     |
| `TransportError`         | 3      | the message and the hint     |
| `DeviceError`            | 3      | the message                  |
| stdout cannot be written | 3      | that                         |
| `KeyboardInterrupt`      | 130    | nothing                      |
| a closed pipe            | 141    | nothing                      |
| anything else            | 1      | a traceback: it is our bug   |
"""

from __future__ import annotations

import argparse
import logging
import os
import select
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, NoReturn

from redbear_host import __version__, log
from redbear_host.cli import progress
from redbear_host.errors import ConfigError, DeviceError, TransportError
from redbear_host.toml_table import did_you_mean

VERBS: Final = (
    *("up", "down", "add", "remove", "status", "devices", "doctor", "logs", "lab", "run"),
    *("ls", "cat", "ps", "top", "trace", "pty", "input", "net", "netctl", "vnc", "audio"),
    *("orbital",),
)

BUG: Final = 1
REQUEST: Final = 2
MACHINE: Final = 3
INTERRUPTED: Final = 130  # as a shell tells it: 128 + SIGINT
CLOSED_PIPE: Final = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    _open_streams()
    try:
        status = _verb(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
        return status
    except ConfigError as error:
        return _end(error.message, error.hint, REQUEST)
    except TransportError as error:
        return _end(error.message, error.hint, MACHINE)
    except DeviceError as error:
        return _end(str(error), "", MACHINE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        if not _reader_left():
            return _bug()
        _give_up_stdout()
        return CLOSED_PIPE
    except OSError as error:
        if not _stdout_fails():
            return _bug()
        _give_up_stdout()
        return _end(f"the output cannot be written: {error.strerror}", "send it elsewhere", MACHINE)
    except Exception:  # noqa: BLE001 -- the outermost frame: whatever is left is our bug
        return _bug()


def _verb(argv: list[str]) -> int:
    parser = _parser(argv)
    try:
        args, unknown = parser.parse_known_args(argv)
    except SystemExit:  # argparse has answered --help or --version; its errors are ours
        return 0
    if unknown:  # the parser that finds them left over is not the verb's, and has not its page
        page = " ".join(filter(None, ("redbear-host", args.verb, "--help")))
        raise ConfigError(f"unrecognized arguments: {' '.join(unknown)}", page)
    if args.verb is None:
        parser.print_help(sys.stderr)
        return REQUEST
    chatty = (logging.INFO, logging.DEBUG, log.TRACE)[min(args.verbose, 2)]
    log.setup(parser.prog, level=chatty, before=progress.break_line)
    status: int = args.run(args)
    return status


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are `ConfigError`s, with a hint like all others."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise ConfigError(message, f"{self.prog} --help")


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser for the verb in `argv`; for all of them where there is none."""
    word = next((word for word in argv if not word.startswith("-")), None)
    if word is not None and word not in VERBS:
        raise ConfigError(f"there is no verb {word!r}", did_you_mean(word, VERBS))
    parser = Parser(
        prog="redbear-host",
        description="Redox OS's architecture on a Linux box: isolated daemons drive real PCI "
        "devices and serve them as files below /scheme.",
        epilog="REDBEAR_LOG=debug (or nvmed=trace, ...) says how much is logged.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _add_verbose(parser, 0)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name in VERBS if word is None else (word,):
        module: Any = import_module(f"redbear_host.cli.{name}")
        verb = verbs.add_parser(name, help=module.HELP, description=module.HELP)
        _add_verbose(verb, argparse.SUPPRESS)
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    return parser


def _add_verbose(parser: argparse.ArgumentParser, default: object) -> None:
    text = "log more; twice: every register access"
    parser.add_argument("-v", "--verbose", action="count", default=default, help=text)


def _end(message: str, hint: str, status: int) -> int:
    progress.break_line()
    with suppress(OSError):  # nobody is there to be told; the status stays
        print(f"redbear-host: {message}", file=sys.stderr)
        if hint:
            print(f"hint: {hint}", file=sys.stderr)
    return status


def _bug() -> int:
    progress.break_line()
    traceback.print_exc()
    print("redbear-host: this is a bug in redbear-host; please report the above", file=sys.stderr)
    return BUG


def _open_streams() -> None:
    """Give a standard stream that was closed /dev/null: `print` works, and no file gets its number.

    A mount's descriptor with number 1 would be closed by a child that sets up its own output.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(null, True)
            setattr(sys, name, os.fdopen(null, "w" if number else "r", closefd=False))


def _stdout_fails() -> bool:
    """Tell whether it was our own output that could not be written: then it still cannot."""
    try:
        print(flush=True)  # an empty line in front of a traceback does no harm
    except OSError:
        return True
    return False


def _give_up_stdout() -> None:
    """Send to nowhere what is still buffered; the interpreter must not complain at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _reader_left() -> bool:
    """Tell whether it is our own output that nobody reads any more, and not some other pipe."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
