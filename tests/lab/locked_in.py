"""A process that is locked in and then does what its argument says, for test_sandbox.py."""

from __future__ import annotations

import importlib
import logging
import sys
import threading

from redbear_host import log
from redbear_host.sandbox import imports
from redbear_host.sandbox.enter import enter
from redbear_host.sandbox.lists import of_daemon
from redbear_host.sandbox.policy import Policy


def main() -> None:
    log.setup("locked")
    policy = Policy(rules=tuple(of_daemon("zerod")))
    imports.prepare()
    if sys.argv[1] == "thread":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    enter(policy)
    if sys.argv[1] == "crash":
        raise ZeroDivisionError("a bug in a daemon")
    if sys.argv[1] == "log":
        try:
            open("/etc/passwd").close()
        except PermissionError:
            logging.getLogger(__name__).exception("it was denied")
    if sys.argv[1] == "import":
        importlib.import_module("wave")


if __name__ == "__main__":
    main()
