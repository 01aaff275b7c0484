"""The ring door: a `Scheme` for libredox programs, by Sqe and Cqe in shared memory."""

from __future__ import annotations
