"""redbear_host/hw/vfio."""

from __future__ import annotations
