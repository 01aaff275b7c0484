"""libredox for Python: open, dup, call, fmap and the rest, by Redox's names, over the ring door."""

from __future__ import annotations
