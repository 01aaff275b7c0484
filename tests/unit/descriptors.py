"""The descriptors of this process, as tests compare them before and after."""

from __future__ import annotations

import gc
import os


def descriptors() -> set[str]:
    """Return their numbers, less those that only garbage holds: earlier tests' may go at any time.

    A mapping has a descriptor of its own, and nobody is warned when it is not closed.
    """
    gc.collect()
    return set(os.listdir("/proc/self/fd"))
