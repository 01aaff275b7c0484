"""The schemes Redox's kernel serves itself, here by one daemon of the shim's own."""

from __future__ import annotations
