"""An Intel gigabit Ethernet controller in Python, with faults.

Ref: Intel 8254x Software Developer's Manual 317453-006 and 82574 datasheet 3.4; it is written apart
from the driver's tables, so that a slip in one of them shows.
"""

from __future__ import annotations

from redbear_host.models.e1000.controller import E1000Model
from redbear_host.models.e1000.faults import Fault, Misdeed

__all__ = ["E1000Model", "Fault", "Misdeed"]
