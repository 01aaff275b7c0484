"""What a test that boots a guest needs of the host."""

from __future__ import annotations

import os
import shutil

import pytest

from redbear_host.errors import ConfigError
from redbear_host.lab.guest import QEMU
from redbear_host.lab.kernel import find_kernel


def require_guest() -> None:
    """Without QEMU and a kernel there is no guest: a skip on a laptop, a failure in CI."""
    try:
        find_kernel()
        if shutil.which(QEMU) is None:
            raise ConfigError(f"{QEMU} is not installed", "apt install qemu-system-x86")
    except ConfigError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{error.message} ({error.hint})")
