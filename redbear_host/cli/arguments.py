"""What several verbs accept on their command lines."""

from __future__ import annotations

import argparse
from pathlib import Path


def path_argument(text: str) -> Path:
    """Read a path; an empty one, of a variable that is not set, does not mean this directory."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path names nothing")
    return Path(text)
