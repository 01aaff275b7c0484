"""ihdad drives Intel High Definition Audio controllers and serves them as `audiohw`."""

from __future__ import annotations
