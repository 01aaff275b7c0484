"""Linux's DRM/KMS by plain ioctls: cards, connectors, planes, frame buffers, atomic commits."""

from __future__ import annotations
