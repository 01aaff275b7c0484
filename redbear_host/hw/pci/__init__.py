"""PCI configuration space, without an operating system: header, capabilities, base addresses.

Everything here works on a `Config` and trusts nothing it reads: a list that runs in circles or
points outside its space, and a base address register that no specification allows, end in
`DeviceError`.  Registers have the names of the specifications.
"""

from __future__ import annotations
