"""What is behind a link: codecs, their nodes, and the ways of sound through them."""

from __future__ import annotations
