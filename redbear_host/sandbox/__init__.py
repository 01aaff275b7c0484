"""The null namespace: after it a process can only use what it holds."""

from __future__ import annotations
