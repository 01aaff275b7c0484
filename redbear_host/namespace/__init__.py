"""Redox namespaces as Linux mount namespaces: a process sees the schemes it was granted."""

from __future__ import annotations
