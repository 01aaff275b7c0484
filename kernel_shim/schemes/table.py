"""Which schemes there are.  Each module has `build(kernel) -> Scheme`."""

from __future__ import annotations

from typing import Final, NamedTuple


class KernelScheme(NamedTuple):
    """One name, the module that serves it, and whether its root is a file."""

    name: str
    module: str
    is_file: bool


TABLE: Final[tuple[KernelScheme, ...]] = ()
