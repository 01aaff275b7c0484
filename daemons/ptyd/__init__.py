"""ptyd: pseudo terminals, with Linux's own behind them, as the scheme `pty`."""

from __future__ import annotations
