"""Lab machines for tests: without QEMU they are skipped on a laptop, and fail in CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from redbear_host.hw.ports import PciFunction
from redbear_host.hw.qtest import open_function
from redbear_host.lab.devices import parse
from redbear_host.lab.machine import LabFunction, Machine
from redbear_host.lab.qemu import BINARY


def machine(arguments: Sequence[str], **options: Any) -> Machine:
    """Start a machine; the caller closes it."""
    if shutil.which(BINARY) is None and not os.environ.get("CI"):
        pytest.skip(f"{BINARY} is not installed")
    return Machine(arguments, **options)


def nvme(folder: Path, keys: str = "size=16M") -> Machine:
    """Start a machine with one NVMe controller on images in `folder`."""
    return machine(parse(f"nvme:{keys}").arguments(folder))


def opened(function: LabFunction) -> PciFunction:
    """Open a function in this process; the caller closes it."""
    return open_function(*function.copy())
