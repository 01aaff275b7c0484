"""Orbital: Redox's display server, window manager and compositor, as one daemon."""

from __future__ import annotations
