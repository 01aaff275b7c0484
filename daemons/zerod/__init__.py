"""zerod: the schemes `null`, which swallows, and `zero`, which is zeroes without end."""

from __future__ import annotations
