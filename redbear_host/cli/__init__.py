"""redbear_host/cli."""

from __future__ import annotations
