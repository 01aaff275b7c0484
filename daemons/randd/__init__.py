"""randd: random bytes from Linux's generator, as the scheme `rand`."""

from __future__ import annotations
