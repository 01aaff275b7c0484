"""An instance with the base daemons only, in a folder that users other than root can look into."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from up_rig import Up

NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}  # for subprocess


@contextmanager
def base_instance(*arguments):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with Up(Path(folder), *arguments) as up:
            yield up
