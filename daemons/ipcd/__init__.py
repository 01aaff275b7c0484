"""ipcd: programs talk to each other, as the schemes `chan`, `shm`, `uds_stream`, `uds_dgram`."""

from __future__ import annotations
