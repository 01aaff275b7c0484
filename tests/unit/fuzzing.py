"""How long a fuzzer runs: briefly among the tests, 200,000 rounds in `make fuzz`.

A test that takes its number of rounds from here is marked `@pytest.mark.fuzz`.
"""

from __future__ import annotations

import os

LONG = 200_000


def rounds(short: int, long: int = LONG) -> int:
    """Return how many rounds to run."""
    return long if os.environ.get("REDBEAR_FUZZ") else short
