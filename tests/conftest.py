"""What every room shares."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A busy machine makes single examples slow; how long a test may take is pytest-timeout's business.
settings.register_profile("redbear", deadline=None)
settings.load_profile("redbear")

# A job in the background ignores them, and so would each program that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(_number, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """Take back what `redbear_host.log.setup` did to the process, if the test called it."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in list(root.handlers):
        if type(handler).__module__ == "redbear_host.log":
            root.removeHandler(handler)
