"""Taking a PCI function of the machine for a daemon: check, write down, bind, claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kernel_shim import bind
from kernel_shim.claims import claimed
from kernel_shim.host import MACHINE, Host
from redbear_host.errors import RedbearError
from redbear_host.hw.ports import InterruptFds
from redbear_host.hw.vfio import Claim

ARENA_SIZE: Final = 32 << 20  # bytes of DMA memory: a disk takes 25 MiB when it is busiest


class TakenDevice:
    """A function of the machine that VFIO has; see `kernel_shim.device.Device`."""

    def __init__(self, claim: Claim, record: dict[str, Any], host: Host) -> None:
        self.address: Final = claim.address
        self._claim: Final = claim
        self._record: Final = record
        self._host: Final = host

    def grant(self) -> tuple[dict[str, Any], list[int]]:
        """Return what `redbear_host.hw.vfio.open_function` takes."""
        return self._claim.grant()

    def interrupts(self, kind: str, count: int) -> InterruptFds:
        """Return the eventfds of its first `count` vectors of a kind."""
        return self._claim.interrupts(kind, count)

    def quiesce(self) -> None:
        """Stop the device's DMA and interrupts: its daemon has died."""
        self._claim.quiesce()

    def abandon(self) -> None:
        """Let go of a function that Linux wants back, or that has left."""
        self._claim.release()

    def release(self) -> None:
        """Give the function back to its own driver; every daemon that had it must have ended."""
        self._claim.release()
        bind.restore(self._record, self._host)


def take(
    address: str,
    note: Callable[[dict[str, Any]], None],
    arena_size: int = ARENA_SIZE,
    host: Host = MACHINE,
) -> TakenDevice:
    """Take a function that nobody uses away from its driver.

    `note` is given the record of how it was bound, and writes it down, before anything changes; it
    is what `kernel_shim.bind.restore` takes.  `ConfigError` if the function is in use or cannot be
    handed out, `TransportError` if Linux does not do it; it is back where it was then.
    """
    with claimed(address, host):
        record = bind.plan(address, host)
        note(record)
        bind.bind(record, host)
    try:
        return TakenDevice(Claim(address, arena_size, host.sys, host.dev), record, host)
    except RedbearError as error:
        try:
            bind.restore(record, host)
        except RedbearError as second:
            error.add_note(f"and it could not be given back: {second}")
        raise
