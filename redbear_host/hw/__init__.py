"""How hardware is reached: the ports a driver sees, and their landings (vfio, qtest)."""

from __future__ import annotations
