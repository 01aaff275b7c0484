"""A daemon that reads and writes for ever, to be killed at any moment."""

from __future__ import annotations

import json
import sys

from redbear_host.hw.qtest import open_function

VS, AQA = 0x08, 0x24

grant, fds = (json.loads(argument) for argument in sys.argv[1:])
bar = open_function(grant, fds).bar(0)
print("up", flush=True)
while True:
    for value in range(40):
        bar.write32(AQA, value)
    if bar.read32(VS) == 0:
        sys.exit("the controller has no version")
    print(".", flush=True)
