"""filed: serves a directory of the host as the scheme `file`, read-write.

It never leaves that directory, and does each thing as the user who asks: the host's own permission
checks decide.
"""

from __future__ import annotations
