"""`redbear-host net dump`: what passes a network card, both ways."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import time
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final

from redbear_host.abi import flags as f
from redbear_host.classes.frames import SENT, Record, records
from redbear_host.cli import cards
from redbear_host.cli.arguments import path_argument
from redbear_host.cli.place import failed
from redbear_host.client.frames import Frames
from redbear_host.config import RUN_DIR
from redbear_host.errors import ConfigError, TransportError
from redbear_host.pcapng import Writer

HELP: Final = "show the frames that pass a card, or write them to a pcapng file"

_PIECE: Final = 1 << 20  # bytes; the most one read brings
_SNAPLEN_LEAST: Final = 14
_TYPES: Final = {0x0800: "IPv4", 0x0806: "ARP", 0x8100: "VLAN", 0x86DD: "IPv6", 0x88CC: "LLDP"}
_LENGTHS: Final = 0x0600  # a type below is the length of an 802.3 frame


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "name", nargs="?", default="", metavar="NAME", help="the card; may be left out if it is one"
    )
    add("-w", "--write", metavar="FILE", help="write pcapng instead of lines; -: to the output")
    add("-c", "--count", type=int, metavar="N", help="end after N frames; default: on Ctrl-C")
    add("-s", "--snaplen", type=int, default=0, metavar="N", help="keep N bytes of each frame")
    add("-p", "--promiscuous", action="store_true", help="also frames that are for others")
    add(
        "--run-dir", type=path_argument, default=RUN_DIR, metavar="DIR", help="default: %(default)s"
    )


def run(args: argparse.Namespace) -> int:
    """Show or write frames until enough came, or until Ctrl-C."""
    if args.count is not None and args.count < 1:
        raise ConfigError(f"-c {args.count}: at least one frame has to be waited for", "try -c 1")
    if args.snaplen and args.snaplen < _SNAPLEN_LEAST:
        raise ConfigError(f"-s {args.snaplen} cuts addresses off", f"{_SNAPLEN_LEAST} is the least")
    folder = cards.folder_of(args.name, args.mount)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        dump = _Dump(folder, args, stack)
        with suppress(KeyboardInterrupt):  # the usual end
            dump.run(args.count)
        dump.end()
    return 0


class _Dump:
    """One capture."""

    def __init__(self, folder: Path, args: argparse.Namespace, stack: ExitStack) -> None:
        self._folder: Final = folder
        self._run_dir: Final[Path | None] = args.run_dir if args.promiscuous else None
        self._met = 0  # frames
        self._lost = 0
        self._lost_by_others = 0  # before the driver was restarted: it counts from 0 again
        self._writer: Writer | None = None
        self._curious: Frames | None = None
        self._monitor: Final = self._open()
        stack.callback(os.close, self._monitor)
        self._path: Final[str | None] = None if args.write == "-" else args.write
        self._output: Final = self._opened(stack)
        self._pending: Final[list[bytes]] = []  # what is to be written
        if args.write is not None:
            mac = cards.read(folder / "mac")
            self._writer = Writer(self._pending.append, folder.name, mac, args.snaplen)
            self._flush()
        self._ask()
        stack.callback(self._forget)

    def _open(self) -> int:
        path = self._folder / "monitor"
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            failed(f"/scheme/{self._folder.name}/monitor", self._folder.parent, error)

    def _opened(self, stack: ExitStack) -> BinaryIO | FileIO:
        if self._path is None:
            return sys.stdout.buffer
        try:
            return stack.enter_context(open(self._path, "wb", buffering=0))
        except OSError as error:
            raise ConfigError(
                f"{self._path} cannot be written: {error.strerror}", "name another file with -w"
            ) from error

    def _flush(self) -> None:
        """Write what there is: who reads it wants it now."""
        data = memoryview(b"".join(self._pending))
        self._pending.clear()
        try:
            while data:
                data = data[self._output.write(data) :]
            self._output.flush()
        except OSError as error:
            if self._path is None:
                raise  # our caller knows what to do about the standard output
            raise TransportError(
                f"{self._path} is written no more: {error.strerror}", "make room, or name another"
            ) from error

    def _ask(self) -> None:
        """Have frames to others let in, if that was asked for."""
        if self._run_dir is not None:
            os.environ["REDBEAR_RINGS"] = str(self._run_dir / "ring")
            os.environ["REDBEAR_SCHEME"] = str(self._folder.parent)
            try:
                self._curious = Frames(f"/scheme/{self._folder.name}", f.O_WRONLY)
                self._curious.set_promiscuous(True)
            except OSError as error:
                raise TransportError(
                    f"{self._folder.name} cannot be made promiscuous: {error.strerror}",
                    "is --run-dir that of this instance?",
                ) from error

    def _forget(self) -> None:
        if self._curious is not None:
            self._curious.close()

    def run(self, count: int | None) -> None:
        """Take frames, `count` of them or for ever."""
        show = self._print if self._writer is None else self._write
        while count is None or self._met < count:
            for record in records(self._read()):
                before, self._lost = self._lost, self._lost_by_others + record.lost
                show(record, self._lost - before)
                self._met += 1
                if self._met == count:
                    break
            self._flush()

    def _read(self) -> bytes:
        while True:
            try:
                return os.read(self._monitor, _PIECE)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise TransportError(
                        f"{self._folder.name} is read no more: {error.strerror}",
                        "redbear-host status says what became of it",
                    ) from error
            print("the driver was restarted: some frames may be missing here", file=sys.stderr)
            self._lost_by_others = self._lost
            self._forget()
            self._ask()

    def _print(self, record: Record, lost: int) -> None:
        frame = record.frame
        second, rest = divmod(record.time, 1_000_000_000)
        clock = time.strftime("%H:%M:%S", time.localtime(second))
        kind = int.from_bytes(frame[12:14], "big")
        name = "802.3" if kind < _LENGTHS else _TYPES.get(kind, f"{kind:#06x}")
        way = "out" if record.flags & SENT else "in "
        more = f"  ({lost} lost before)" if lost else ""
        addresses = f"{frame[6:12].hex(':')} > {frame[:6].hex(':')}"
        line = f"{clock}.{rest:09} {way} {addresses} {name} {len(frame)} bytes{more}\n"
        self._pending.append(line.encode())

    def _write(self, record: Record, lost: int) -> None:
        if self._writer is not None:
            self._writer.packet(
                record.time, record.frame, sent=bool(record.flags & SENT), lost=lost
            )

    def end(self) -> None:
        """Write what there is to say at the end."""
        if self._writer is not None:
            self._writer.end(time.time_ns(), self._met + self._lost, self._lost)
        self._flush()
        print(f"{self._met} frames, {self._lost} lost", file=sys.stderr)
