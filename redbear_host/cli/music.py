"""Music files as raw samples: WAV by ourselves, all others by a program that is installed."""

from __future__ import annotations

import shutil
import subprocess
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from redbear_host.errors import ConfigError

_KINDS: Final = {1: "u8", 2: "s16", 3: "s24", 4: "s32"}  # by bytes of a sample
_RATE: Final = 44100
_END_S: Final = 10.0  # within which a decoder ends that has no more to say
_SAID_MOST: Final = 4096


@dataclass(frozen=True)
class Music:
    """An open file."""

    read: Callable[[int], bytes]  # at most so many bytes, in whole frames; empty at the end
    rate: int  # Hz
    kind: str
    channels: int
    frame: int  # bytes
    seconds: float  # 0 when not known

    @property
    def format(self) -> str:
        """How `audio.ctl/in` calls its format."""
        return f"{self.rate}-{self.kind}-{self.channels}"


@contextmanager
def opened(file: Path) -> Iterator[Music]:
    """Open a file; ConfigError if there is none, or nothing here can read it."""
    with ExitStack() as undo:
        try:
            reader = undo.enter_context(wave.open(str(file), "rb"))
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}", "which file is to be played?") from None
        except (wave.Error, EOFError):
            yield undo.enter_context(_decoded(file))
            return
        yield _from_wave(file, reader)


def _from_wave(file: Path, reader: wave.Wave_read) -> Music:
    width, channels, rate = reader.getsampwidth(), reader.getnchannels(), reader.getframerate()
    if width not in _KINDS or not 1 <= channels <= 8:
        raise ConfigError(
            f"{file} has {channels} channels of {width} bytes", "1 to 8 of 1 to 4 can be played"
        )
    frame = width * channels
    return Music(
        read=lambda size: reader.readframes(max(1, size // frame)),
        rate=rate,
        kind=_KINDS[width],
        channels=channels,
        frame=frame,
        seconds=reader.getnframes() / rate if rate else 0.0,
    )


def _commands(file: Path) -> list[list[str]]:
    """Return how each program writes 16 bits, left and right, at 44100 Hz; the first is used."""
    name = str(file.absolute())  # one that begins with - is no option
    raw = ["-t", "raw", "-r", str(_RATE), "-e", "signed", "-b", "16", "-L", "-c", "2", "-"]
    ffmpeg = ["-nostdin", "-v", "error", "-i", name, "-f", "s16le", "-ar", str(_RATE), "-ac", "2"]
    known = [["ffmpeg", *ffmpeg, "-"], ["sox", "-V1", name, *raw]]
    if file.suffix.lower() in (".mp3", ".mp2", ".mpga"):
        known.append(["mpg123", "-q", "-s", "-e", "s16", "-r", str(_RATE), "--stereo", name])
    return [command for command in known if shutil.which(command[0])]


@contextmanager
def _decoded(file: Path) -> Iterator[Music]:
    commands = _commands(file)
    if not commands:
        raise ConfigError(
            f"{file} is no WAV file, and nothing is installed that can read others",
            "apt install sox libsox-fmt-all",
        )
    with TemporaryFile() as said:
        program = subprocess.Popen(
            commands[0], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        )
        with program:
            try:
                yield from _raw(program)
                if program.wait(_END_S):
                    said.seek(0)
                    why = said.read(_SAID_MOST).decode(errors="replace").strip().splitlines()
                    raise ConfigError(
                        f"{file} cannot be played to its end",
                        why[-1] if why else f"{commands[0][0]} cannot read it",
                    )
            finally:
                program.kill()


def _raw(program: subprocess.Popen[bytes]) -> Iterator[Music]:
    out = program.stdout
    if out is not None:
        yield Music(
            read=lambda size: out.read(max(1, size // 4) * 4),
            rate=_RATE,
            kind="s16",
            channels=2,
            frame=4,
            seconds=0.0,
        )
