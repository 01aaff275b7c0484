"""Small programs that use libredox's namespaces, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from up_rig import Up

ROOT = Path(__file__).parents[2]
PRELUDE = """
import errno, json, os, socket, subprocess, sys
from redbear_host import client
from redbear_host.client.namespaces import getns, mkns, register_scheme_to_ns, setns, setrens
MOUNT = os.environ["REDBEAR_SCHEME"]
RINGS = os.environ["REDBEAR_RINGS"]
def tried(action, *arguments, **options):
    try:
        action(*arguments, **options)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
def say(*found):
    print(json.dumps(found))
"""


def python(up: Up, source: str, *before: str) -> list:
    done = subprocess.run(
        [*before, sys.executable, "-c", PRELUDE + source],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
        env={
            **os.environ,
            "REDBEAR_SCHEME": str(up.mount),
            "REDBEAR_RINGS": str(up.run_dir / "ring"),
        },
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
