"""A virtio graphics card, read from the specification once more, that misbehaves on request."""

from __future__ import annotations

from redbear_host.models.virtio_gpu.card import VirtioGpu
from redbear_host.models.virtio_gpu.faults import Fault, Misdeed

__all__ = ["Fault", "Misdeed", "VirtioGpu"]
