"""ahcid drives AHCI host bus adapters and serves their disks as `disk.<function>_ahci`."""

from __future__ import annotations
