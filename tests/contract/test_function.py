"""The contract of `PciFunction`, on every landing this machine has."""

from __future__ import annotations

from function_suite import FunctionSuite, GoneSuite


class TestFunction(FunctionSuite):
    """See function_suite.py."""


class TestGone(GoneSuite):
    """See function_suite.py."""
