"""A claimed device, as the shim holds it on behalf of a daemon."""

from __future__ import annotations

from typing import Any, Protocol

from redbear_host.hw.ports import InterruptFds

__all__ = ["Device", "InterruptFds"]


class Device(Protocol):
    """A PCI function that was taken for one daemon: a real one by VFIO, or a lab's."""

    @property
    def address(self) -> str:
        """`DDDD:BB:DD.F`."""
        ...

    def grant(self) -> tuple[dict[str, Any], list[int]]:
        """Return what a daemon needs to open the function; every successor gets the same."""
        ...

    def interrupts(self, kind: str, count: int) -> InterruptFds:
        """Return the eventfds of its first `count` vectors of a kind ("intx", "msi", "msix")."""
        ...

    def quiesce(self) -> None:
        """Stop the device's DMA: its daemon has died."""
        ...

    def abandon(self) -> None:
        """Let go of a device that has left: Linux waits for it.  `release` is still to come."""
        ...

    def release(self) -> None:
        """Give the device back to whom it was taken from."""
        ...
