"""The qtest landing: QEMU's device models, driven without a guest."""

from __future__ import annotations

from redbear_host.hw.qtest.function import QtestFunction, open_function

__all__ = ["QtestFunction", "open_function"]
