"""logd: the log of everything that has no other, as the scheme `log`."""

from __future__ import annotations
