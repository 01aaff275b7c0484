"""A card for tests of audiod: takes sub-buffers at the pace of `rate` and writes them to a file.

What it is started with: `file`, `rate` (Hz, also of `format`).  It takes no more than three ahead,
as audiohw does (docs/protocol.md), and writes each when its time has come; silence is not written.
"""

from __future__ import annotations

import os
import struct

from redbear_host.abi import errno as e
from redbear_host.abi.stat import MODE_CHR, MODE_FILE, Stat
from redbear_host.daemon import Daemon
from redbear_host.errors import Refused
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import POSITIONED, Opened, Scheme

SUB_BUFFER = 2048
AHEAD = 3


class Card(Scheme):
    root_is_file = True
    replays = True
    reopens = True

    def __init__(self, daemon):
        self.loop = daemon.loop
        self.rate = daemon.options["rate"]
        self.file = os.open(daemon.options["file"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.ahead = []
        self.recorded = 0
        self.finishing = []
        self.ticking = False
        self.when = 0.0

    def openat(self, parent, path, flags, fcntl_flags, request):
        if request.caller.uid:
            raise Refused(e.EACCES)
        return Opened(1)

    def dup(self, handle, name, request):
        if bytes(name) == b"capture":
            return Opened(3)
        if bytes(name) != b"format":
            raise Refused(e.ENOENT)
        return Opened(2, POSITIONED)

    def record(self, request):
        """Answer with the next 512 numbers, when they would have been recorded."""
        first, self.recorded = self.recorded, self.recorded + 512
        pairs = ((n & 0x7FFF, -(n & 0x7FFF)) for n in range(first, first + 512))
        data = b"".join(struct.pack("<hh", *pair) for pair in pairs)
        self.loop.at(self.loop.now() + 512 / self.rate, lambda: request.answer(data))
        return LATER

    def read(self, handle, size, offset, fcntl_flags, request):
        if handle == 3:
            return self.record(request)
        text = f"rate {self.rate}\nchannels 2\nbits 16\nbuffer 2048\nahead 3\ncapture 0\n"
        return text.encode()[offset : offset + size]

    def write(self, handle, data, offset, fcntl_flags, request):
        assert len(data) == SUB_BUFFER
        if len(self.ahead) >= AHEAD:
            raise Refused(e.EWOULDBLOCK)
        self.ahead.append(bytes(data))
        self.begin()
        return len(data)

    def fsync(self, handle, request):
        if not self.ahead:
            return None
        self.finishing.append(request)
        return LATER

    def begin(self):
        if not self.ticking:
            self.ticking = True
            self.when = self.loop.now() + SUB_BUFFER / 4 / self.rate
            self.loop.at(self.when, self.tick)

    def tick(self):
        if not self.ahead:
            self.ticking = False
            for request in self.finishing:
                request.answer(None)
            self.finishing.clear()
            return
        os.write(self.file, self.ahead.pop(0))
        self.post_fevent(1, 2)
        self.when += SUB_BUFFER / 4 / self.rate
        self.loop.at(self.when, self.tick)

    def fstat(self, handle):
        return Stat(st_mode=(MODE_CHR if handle == 1 else MODE_FILE) | 0o600)


def main() -> None:
    with Daemon.receive() as daemon:
        daemon.serve(daemon.scheme_names[0], Card(daemon))
        daemon.run()


if __name__ == "__main__":
    main()
