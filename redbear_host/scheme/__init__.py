"""The server's side of a scheme: what it implements, what it is handed, what it waits on."""

from __future__ import annotations
