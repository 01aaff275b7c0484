"""Real PCI functions, by Linux's VFIO: the IOMMU keeps them to the memory they were given.

`Claim` is the privileged side, which holds group and container; `open_function` is the daemon's
side, which holds one device file and one DMA arena and needs no privilege.
"""

from __future__ import annotations

from redbear_host.hw.vfio.claim import Claim
from redbear_host.hw.vfio.function import VfioFunction, open_function

__all__ = ["Claim", "VfioFunction", "open_function"]
