"""Frames of a network card by the batch: one ring entry and one doorbell for up to 256 of them.

```python
with Frames("/scheme/network.pci-0000-00-04.0_e1000") as card:
    card.send([frame] * 1000)
    for frame in card.receive():
        ...
```

For root only, as the card is.  Records: `redbear_host.classes.frames`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final, Self

from redbear_host.abi import flags as f
from redbear_host.abi.sqe import Opcode
from redbear_host.classes.frames import (
    BATCH_MOST,
    LENGTH,
    PROMISCUOUS,
    RECEIVE,
    SEND,
    table,
)
from redbear_host.client.calls import Bytes, Call
from redbear_host.client.fd import Fd
from redbear_host.client.fd import open as open_fd
from redbear_host.client.ring import PAYLOAD_MOST
from redbear_host.client.ringfile import RingFile
from redbear_host.client.slot import Slot

_USUAL: Final = 1536  # bytes of room for a frame; longer ones come fewer at a time
_ROOM_LEAST: Final = 1 << 16


class Frames:
    """One card, opened for sending and receiving; frames to others come only if asked for."""

    def __init__(self, path: str, flags: int = f.O_RDWR) -> None:
        """Open `/scheme/NAME`; with O_NONBLOCK calls raise `BlockingIOError` instead of waiting."""
        self._fd: Final[Fd] = open_fd(path, flags)
        file = self._fd.file
        if not isinstance(file, RingFile):
            raise TypeError(f"{path} is no scheme of a network card")
        self._handle: Final = file.handle
        self._connection: Final = file.connection
        self._perform: Final = file.connection.perform

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close; a TAP that was joined is let go."""
        self._fd.close()

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the driver dies: look at `ended` then."""
        return self._connection.socket_fd

    @property
    def ended(self) -> bool:
        """Whether the driver has died since this was opened: all calls raise EIO then."""
        self._connection.look()
        return bool(self._connection.dead)

    def send(self, frames: Sequence[Bytes]) -> int:
        """Send all frames, waiting for room where there is none; return how many that is.

        `OSError`: EINVAL for one below 14 bytes, EMSGSIZE for one above what the card can send.
        What stands before the batch with such a frame has been sent then.
        """
        start = 0
        while start < len(frames):
            start += self._send_some(frames[start : start + BATCH_MOST])
        return start

    def _send_some(self, frames: Sequence[Bytes]) -> int:
        lengths = list(map(len, frames))
        most = PAYLOAD_MOST - LENGTH * len(lengths)
        if sum(lengths) > most:
            count = sum(end <= most for end in accumulate(lengths)) or 1
            frames, lengths = frames[:count], lengths[:count]
        count = len(lengths)
        payload = b"".join((table(count).pack(*lengths), *frames))
        call = Call(Opcode.CALL, self._handle, payload, 0, (SEND, count, 0), _result)
        return self._perform(call)

    def receive(self, most: int = BATCH_MOST) -> list[bytes]:
        """Return the oldest frames that wait, at most `most`; wait until there is one."""
        most = min(most, BATCH_MOST)
        start = LENGTH * most
        room = max(_ROOM_LEAST, start + _USUAL * most)

        def decode(slot: Slot) -> list[bytes]:
            arena, at = slot.arena, slot.at + start
            frames = []
            for length in table(slot.result).unpack_from(arena, slot.at) if slot.result else ():
                frames.append(bytes(arena[at : at + length]))
                at += length
            return frames

        call = Call(Opcode.CALL, self._handle, b"", room, (RECEIVE, most, 0), decode)
        return self._perform(call)

    def set_promiscuous(self, on: bool) -> None:
        """Let frames to others come as well, or no more."""
        words = (PROMISCUOUS, int(on), 0)
        self._perform(Call(Opcode.CALL, self._handle, b"", 0, words, _result))

    def join(self, tap: int) -> None:
        """Let the TAP behind a descriptor have the wire, until this is closed or the driver dies.

        It must be made with IFF_TAP | IFF_NO_PI; the driver then moves its frames by itself.
        """
        self._fd.sendfd([tap])


def _result(slot: Slot) -> int:
    return slot.result
