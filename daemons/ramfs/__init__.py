"""ramfs: a file system in memory, as the scheme `ramfs`.  Its content ends with the daemon."""

from __future__ import annotations
