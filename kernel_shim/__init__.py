"""The microkernel's place: the only long-lived privileged process.

It claims devices, mounts schemes, starts daemons and starts them again.  It holds what must outlive
a daemon (connections, journals, DMA memory) and takes no part in the data path.
"""

from __future__ import annotations
