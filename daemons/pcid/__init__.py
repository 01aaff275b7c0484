"""pcid: shows the PCI functions of the machine and of the lab as the scheme `pci`.

It drives nothing: it only looks, at what Linux has found and at what the lab was asked for.
"""

from __future__ import annotations
