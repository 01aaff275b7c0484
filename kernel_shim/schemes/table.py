"""Which schemes there are.  Each module has `build(kernel) -> Scheme`."""

from __future__ import annotations

from typing import Final, NamedTuple


class KernelScheme(NamedTuple):
    """One name, the module that serves it, and whether its root is a file."""

    name: str
    module: str
    is_file: bool


TABLE: Final[tuple[KernelScheme, ...]] = (
    KernelScheme("debug", "kernel_shim.schemes.debug", True),
    KernelScheme("event", "kernel_shim.schemes.event", False),
    KernelScheme("irq", "kernel_shim.schemes.irq", False),
    KernelScheme("itimer", "kernel_shim.schemes.itimer", False),
    KernelScheme("memory", "kernel_shim.schemes.memory", False),
    KernelScheme("namespace", "kernel_shim.schemes.namespace", False),
    KernelScheme("pipe", "kernel_shim.schemes.pipe", False),
    KernelScheme("proc", "kernel_shim.schemes.proc", False),
    KernelScheme("serio", "kernel_shim.schemes.serio", False),
    KernelScheme("sys", "kernel_shim.schemes.sys", False),
    KernelScheme("thisproc", "kernel_shim.schemes.thisproc", False),
    KernelScheme("time", "kernel_shim.schemes.time", False),
    KernelScheme("trace", "kernel_shim.schemes.trace", False),
)
