"""The floor that every part of redbear-host stands on."""

from __future__ import annotations

__version__ = "0.1.0"
