"""A virtio device behind PCI capabilities: its states, features, queues and interrupts (4.1)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from redbear_host.bits import Mmio
from redbear_host.errors import DeviceError, Gone, Stuck
from redbear_host.hw.pci.capability import capabilities
from redbear_host.hw.ports import Clock, PciFunction
from redbear_host.hw.virtio.queue import SplitQueue
from redbear_host.hw.virtio.regs import (
    BAR,
    CFG_TYPE,
    LENGTH,
    NO_VECTOR,
    NOTIFY_OFF_MULTIPLIER,
    OFFSET,
    VENDOR_SPECIFIC,
    CfgType,
    Common,
    Feature,
    Half,
    Interrupt,
    Isr,
    Status,
    Word,
)

RESET_S: Final = 1.0
_BARS: Final = 6
_ONES: Final = 0xFF
_QUEUE_MOST: Final = 1024  # descriptors we use of a queue
_QUEUE_LEAST: Final = 4


class Part(NamedTuple):
    """Where one of its structures lies."""

    window: Mmio
    offset: int
    length: int
    multiplier: int


class Transport:
    """One device; `device` is its own configuration, in `window` from `base` on."""

    def __init__(self, function: PciFunction, clock: Clock) -> None:
        """Find its structures; `DeviceError` for a device that does not have them all."""
        self._function: Final = function
        self._clock: Final = clock
        self._name: Final = f"virtio {function.address}"
        parts = self._find()
        common, isr = parts[CfgType.COMMON], parts[CfgType.ISR]
        self._common: Final = Common(common.window, common.offset)
        self._isr: Final = Interrupt(isr.window, isr.offset)
        self._notify: Final = parts[CfgType.NOTIFY]
        self.device: Final = parts[CfgType.DEVICE]
        self._bells: Final[list[int]] = []
        self._write16: Final = self._notify.window.write16

    def _find(self) -> dict[int, Part]:
        """Locate the structures; of several of a kind the first that we can reach (4.1.4.1)."""
        config = self._function.config
        found: dict[int, Part] = {}
        for capability in capabilities(config):
            at = capability.offset
            kind = config.read8(at + CFG_TYPE)
            bar = config.read8(at + BAR)
            if capability.id != VENDOR_SPECIFIC or kind in found or bar >= _BARS:
                continue
            if kind not in tuple(CfgType) or kind == CfgType.PCI:
                continue
            try:
                window = self._function.bar(bar)
            except DeviceError:
                continue
            offset, length = config.read32(at + OFFSET), config.read32(at + LENGTH)
            more = config.read32(at + NOTIFY_OFF_MULTIPLIER) if kind == CfgType.NOTIFY else 0
            if offset + length > window.size or offset % 4:
                raise DeviceError(
                    f"{self._name}: structure {kind} lies at {offset:#x} of {window.size:#x} bytes"
                )
            found[kind] = Part(window, offset, length, more)
        for kind in (CfgType.COMMON, CfgType.NOTIFY, CfgType.ISR, CfgType.DEVICE):
            if kind not in found:
                raise DeviceError(f"{self._name} does not say where its {kind.name} structure is")
        return found

    # -- its states (3.1.1) ------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """Return what state it is in; `Gone` when it does not answer."""
        found = self._common.DEVICE_STATUS.read()
        if found.raw == _ONES:
            raise Gone(f"{self._name} does not answer")
        return found

    def reset(self) -> None:
        """Reset it: afterwards it touches no memory.  `Stuck` if it does not come to rest."""
        if self._common.NUM_QUEUES.read().VALUE == NO_VECTOR:
            raise Gone(f"{self._name} does not answer")
        self._common.DEVICE_STATUS.write(Status())
        self._common.DEVICE_STATUS.wait(lambda it: not it.raw, self._clock, RESET_S)
        self._bells.clear()

    def negotiate(self, wanted: Collection[int], needed: Collection[int] = ()) -> frozenset[int]:
        """Take what it offers of `wanted`, and VERSION_1 and ACCESS_PLATFORM; return all of it.

        `DeviceError` if something `needed` is missing, or it does not agree.  Without
        ACCESS_PLATFORM it takes addresses for the machine's own and goes past the IOMMU (6.1):
        what we give it are the IOMMU's, and there lies somebody else's memory.
        """
        common = self._common
        common.DEVICE_STATUS.write(Status(ACKNOWLEDGE=True))
        common.DEVICE_STATUS.write(Status(ACKNOWLEDGE=True, DRIVER=True))
        offered = 0
        for half in (0, 1):
            common.DEVICE_FEATURE_SELECT.write(Word(VALUE=half))
            offered |= common.DEVICE_FEATURE.read().VALUE << 32 * half
        asked = {*wanted, *needed, Feature.VERSION_1, Feature.ACCESS_PLATFORM}
        taken = frozenset(int(bit) for bit in asked if offered >> bit & 1)
        for bit in (Feature.VERSION_1, *needed):
            if bit not in taken:
                raise DeviceError(f"{self._name} does not offer feature {int(bit)}")
        if Feature.ACCESS_PLATFORM not in taken:
            raise DeviceError(
                f"{self._name} would reach memory past the IOMMU: it does not offer feature "
                f"{int(Feature.ACCESS_PLATFORM)} (QEMU's does with iommu_platform=on)"
            )
        mask = sum(1 << bit for bit in taken)
        for half in (0, 1):
            common.DRIVER_FEATURE_SELECT.write(Word(VALUE=half))
            common.DRIVER_FEATURE.write(Word(VALUE=mask >> 32 * half & 0xFFFF_FFFF))
        common.DEVICE_STATUS.write(Status(ACKNOWLEDGE=True, DRIVER=True, FEATURES_OK=True))
        if not self.status.FEATURES_OK:
            raise DeviceError(f"{self._name} does not agree to features {mask:#x}")
        return taken

    def go(self) -> None:
        """Let it work: its queues are there."""
        self._common.DEVICE_STATUS.write(
            Status(ACKNOWLEDGE=True, DRIVER=True, FEATURES_OK=True, DRIVER_OK=True)
        )
        if self.status.NEEDS_RESET:
            raise Stuck(f"{self._name} needs a reset as soon as it was started")

    def give_up(self) -> None:
        """Tell it that nobody will drive it any more."""
        self._common.DEVICE_STATUS.write(Status(FAILED=True))

    # -- queues and interrupts ---------------------------------------------------------------------

    def queue_size(self, index: int) -> int:
        """Return how many descriptors a queue may have: a power of two; `DeviceError` if none."""
        self._common.QUEUE_SELECT.write(Half(VALUE=index))
        size = self._common.QUEUE_SIZE.read().VALUE
        if index >= self._common.NUM_QUEUES.read().VALUE or size < _QUEUE_LEAST or size & size - 1:
            raise DeviceError(f"{self._name}: queue {index} of {size} descriptors")
        return min(size, _QUEUE_MOST)

    def add_queue(self, index: int, queue: SplitQueue[Any], vector: int | None) -> None:
        """Tell it where a queue is, and which vector it rings; queues are added in their order."""
        common = self._common
        common.QUEUE_SELECT.write(Half(VALUE=index))
        common.QUEUE_SIZE.write(Half(VALUE=queue.size))
        if vector is not None:
            common.QUEUE_MSIX_VECTOR.write(Half(VALUE=vector))
            if common.QUEUE_MSIX_VECTOR.read().VALUE == NO_VECTOR:
                raise DeviceError(f"{self._name} has no vector {vector} for queue {index}")
        for low, high, address in (
            (common.QUEUE_DESC_LOW, common.QUEUE_DESC_HIGH, queue.descriptors),
            (common.QUEUE_DRIVER_LOW, common.QUEUE_DRIVER_HIGH, queue.available),
            (common.QUEUE_DEVICE_LOW, common.QUEUE_DEVICE_HIGH, queue.used),
        ):
            low.write(Word(VALUE=address & 0xFFFF_FFFF))
            high.write(Word(VALUE=address >> 32))
        bell = common.QUEUE_NOTIFY_OFF.read().VALUE * self._notify.multiplier
        if bell + 2 > self._notify.length or bell % 2:
            raise DeviceError(f"{self._name}: queue {index} is notified at {bell:#x}")
        self._bells.append(self._notify.offset + bell)
        common.QUEUE_ENABLE.write(Half(VALUE=1))

    def set_config_vector(self, vector: int) -> None:
        """Say which vector a change of its configuration rings."""
        self._common.CONFIG_MSIX_VECTOR.write(Half(VALUE=vector))
        if self._common.CONFIG_MSIX_VECTOR.read().VALUE == NO_VECTOR:
            raise DeviceError(f"{self._name} has no vector {vector} for its configuration")

    def notify(self, index: int) -> None:
        """Tell it that there is something in a queue."""
        self._write16(self._bells[index], index)

    def why(self) -> Isr:
        """Return why it holds its INTx line, which it lets go of."""
        return self._isr.ISR.read()
