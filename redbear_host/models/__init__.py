"""Device models in Python behind the same ports as real hardware, with faults on request.

A model is a second reading of the specification: it shares no code with the driver it is driven by,
and it complains (`violations`) about what a driver must not do.
"""

from __future__ import annotations
