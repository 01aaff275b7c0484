"""schemefs."""

from __future__ import annotations
