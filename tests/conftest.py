"""What every room shares."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


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
