"""redbear_host/models."""

from __future__ import annotations
