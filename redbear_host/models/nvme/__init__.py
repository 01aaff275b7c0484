"""A model of an NVMe controller with faults on request.

Ref: NVM Express Base Specification, revision 1.4c; sections in parentheses are of that revision.
"""

from __future__ import annotations

from redbear_host.models.nvme.controller import NvmeModel
from redbear_host.models.nvme.faults import Fault, Misdeed
from redbear_host.models.nvme.media import Media

__all__ = ["Fault", "Media", "Misdeed", "NvmeModel"]
