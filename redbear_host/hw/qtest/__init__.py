"""redbear_host/hw/qtest."""

from __future__ import annotations
