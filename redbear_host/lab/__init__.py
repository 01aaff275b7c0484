"""redbear_host/lab."""

from __future__ import annotations
