"""vncd's start: the sockets, the secrets, the page; then the display, and who looks at it."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Final

from daemons.vncd.access import Secrets
from daemons.vncd.desk import Desk, kept_size
from daemons.vncd.http import Page
from daemons.vncd.inputlink import InputLink
from daemons.vncd.listening import NoListener, listeners
from daemons.vncd.producer import Producer
from daemons.vncd.scheme import VncScheme
from daemons.vncd.screen import Screen
from daemons.vncd.server import Server
from daemons.vncd.status import describe
from redbear_host.daemon import Daemon
from redbear_host.displayed import serve_display

_KEPT: Final = "vnc screen"

log = logging.getLogger(__name__)


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        run_dir = Path(daemon.facts["run_dir"])
        options = daemon.options
        try:
            # They go with the instance: a page that is left open goes on calling, and tells its
            # token to whoever listens at that port then.
            folder = Path(daemon.facts["scratch"]) / "vncd"
            secrets = Secrets.load(folder, options["password_file"])
            found = listeners(options, run_dir, daemon.kept, daemon.keep)
            screen, size = _screen(daemon)
        except (NoListener, OSError, ValueError) as error:
            log.error("there is no display for viewers: %s", error)
            raise SystemExit(1) from None
        producer = Producer(InputLink(daemon))
        usual = options["width"], options["height"]
        desk = Desk(screen, size, producer, options["resize"], usual)
        serve_display(daemon, desk)
        name = f"redbear-host on {socket.gethostname()}"
        page = Page(Path(__file__).with_name("page.html").read_bytes())
        server = Server(
            daemon.loop, desk, secrets, page, name, options["address"], options["viewers"]
        )
        daemon.callback(server.close)
        for listener in found:
            server.listen(listener)
        daemon.loop.at_round_end(producer.flush)
        daemon.serve(daemon.scheme_names[1], VncScheme(lambda: describe(server, found, run_dir)))
        daemon.run()


def _screen(daemon: Daemon) -> tuple[Screen, int]:
    """Make the screen, as large as a predecessor's; with the memory that tells our successors."""
    fd = daemon.kept.get(_KEPT)
    size = None if fd is None else kept_size(fd)
    if fd is None:
        fd = os.memfd_create(_KEPT)
        daemon.keep(_KEPT, fd)
    if size is None:
        size = daemon.options["width"], daemon.options["height"]
    return Screen(*size), fd


if __name__ == "__main__":
    main()
