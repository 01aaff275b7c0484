"""Programs with windows: terminal, launcher, background, clock, viewers of files and pictures."""

from __future__ import annotations
