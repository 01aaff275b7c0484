"""Redox's wire formats and numbers, byte for byte (redox_syscall 0.9, docs/protocol.md)."""

from __future__ import annotations
