"""e1000d drives Intel's gigabit Ethernet cards and serves them as `network.<function>_e1000`."""

from __future__ import annotations
