"""nvmed drives NVM Express controllers and serves their namespaces as `disk.<function>-nvme`."""

from __future__ import annotations
