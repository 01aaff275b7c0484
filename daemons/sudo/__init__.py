"""The scheme `sudo`: a password, and in return a namespace with more in it."""

from __future__ import annotations
