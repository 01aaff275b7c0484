"""Device classes: a driver implements a small protocol, the scheme is written once."""

from __future__ import annotations
