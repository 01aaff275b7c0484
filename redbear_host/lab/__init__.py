"""QEMU as a laboratory: device models without a guest (machine), Linux guests (guest)."""

from __future__ import annotations
