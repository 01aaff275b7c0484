"""kernel_shim."""

from __future__ import annotations
