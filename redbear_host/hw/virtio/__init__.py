"""Virtio devices on PCI: how they are set up and given work."""

from __future__ import annotations
