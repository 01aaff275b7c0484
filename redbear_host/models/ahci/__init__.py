"""An AHCI adapter with SATA disks in Python, with faults on request."""

from __future__ import annotations

from redbear_host.models.ahci.adapter import AhciModel
from redbear_host.models.ahci.drive import Drive
from redbear_host.models.ahci.faults import Fault, Misdeed

__all__ = ["AhciModel", "Drive", "Fault", "Misdeed"]
