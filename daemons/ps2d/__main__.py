"""ps2d's start: the files it holds, the driver, and its bytes."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from daemons.ps2d.driver import KEYBOARD, MOUSE, Driver
from daemons.ps2d.ports import Ports
from redbear_host.daemon import Daemon


def main() -> None:
    """Listen until the shim says stop."""
    with Daemon.receive() as daemon:
        ports = Ports(Path(daemon.facts["mount"]))
        daemon.callback(ports.close)
        driver = Driver(ports.send, ports.tell, daemon.options["set"])
        loop = daemon.loop

        def on_readable(port: int) -> None:
            driver.take(port, ports.read(port), loop.now())

        def on_told(message: dict[str, Any], fds: list[int]) -> None:
            for fd in fds:
                os.close(fd)
            if message.get("seat") == "release":
                driver.rest()
                daemon.say({"seat": "released"})
            elif message.get("seat") == "acquired":
                driver.resume()

        if daemon.seat is not None and not daemon.seat.active:
            driver.rest()
        daemon.on_told = on_told
        for port in (KEYBOARD, MOUSE):
            loop.watch(ports.serio[port], partial(on_readable, port))
        daemon.keep_time(driver)
        loop.soon(lambda: driver.start(loop.now()))
        daemon.run()


if __name__ == "__main__":
    main()
