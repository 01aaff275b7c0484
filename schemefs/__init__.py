"""The FUSE door: a `Scheme` as files, by the kernel's own protocol on /dev/fuse."""

from __future__ import annotations
