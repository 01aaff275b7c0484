"""One display of the card: a resource on the device, the memory behind it, and what is on its way.

The device copies what has changed from the memory when it is told to (TRANSFER_TO_HOST_2D) and
shows it when it is told to (RESOURCE_FLUSH).  So long as it copies, nothing is drawn there: an
update that touches an area in flight has to wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from daemons.virtio_gpud.commands import Commands
from daemons.virtio_gpud.regs import (
    AttachBacking,
    Format,
    ResourceCreate2d,
    ResourceFlush,
    ResourceUnref,
    SetScanout,
    TransferToHost2d,
    Type,
)
from redbear_host.classes.screen import Area, DisplayMode
from redbear_host.hw.ports import Dma, DmaBuffer

log = logging.getLogger(__name__)

BATCHES_MOST: Final = 4  # updates in flight
SETUP: Final = 6  # requests that a change of size takes at most


class Output:
    """Scanout `number`; of `size` 0 by 0 it is switched off."""

    def __init__(self, number: int, dma: Dma, commands: Commands, new_id: Callable[[], int]):
        self.number: Final = number
        self._dma: Final = dma
        self._commands: Final = commands
        self._new_id: Final = new_id
        self.size = (0, 0)
        self.preferred = (0, 0)  # what the device would like best; 0 by 0: nothing is connected
        self.edid = b""
        self.modes: list[DisplayMode] = []
        self.refused = False  # an update was, so somebody waits
        self._owes_all = False  # the device is to have the whole picture, once there is room
        self._resource = 0
        self._backing: DmaBuffer | None = None
        self._in_flight: Final[list[_Batch]] = []
        self._leaving: Final[list[DmaBuffer]] = []  # memory that the device has not let go of

    @property
    def is_on(self) -> bool:
        """It has a resource."""
        return self._backing is not None

    # -- its size ----------------------------------------------------------------------------------

    def resize(self, width: int, height: int) -> bool:
        """Take another size, black; 0 by 0 to switch it off.  False: there is no memory for that.

        Takes room for SETUP requests.
        """
        old, resource = self._backing, self._resource
        if width and height:
            try:
                new = self._dma.alloc(width * height * 4)
            except MemoryError as error:
                log.warning("output %d stays as it is: %s", self.number, error)
                return False
            self._backing, self._resource, self.size = new, self._new_id(), (width, height)
            self.create()
        else:
            self._backing, self._resource, self.size = None, 0, (0, 0)
            self._owes_all = False
            self._commands.send(
                SetScanout(type=Type.SET_SCANOUT, scanout_id=self.number, resource_id=0)
            )
        if old is not None:
            # The device may be copying from it until it says that it has let go.
            self._leaving.append(old)
            self._commands.send(
                ResourceUnref(type=Type.RESOURCE_UNREF, resource_id=resource),
                partial(self._left, old),
            )
        return True

    def create(self) -> None:
        """Make the resource on the device, show it, and fill it with what is in our memory."""
        if self._backing is None:
            return
        self._owes_all = False
        width, height = self.size
        send, resource = self._commands.send, self._resource
        send(
            ResourceCreate2d(
                type=Type.RESOURCE_CREATE_2D,
                resource_id=resource,
                format=Format.B8G8R8X8_UNORM,
                width=width,
                height=height,
            )
        )
        send(
            AttachBacking(
                type=Type.RESOURCE_ATTACH_BACKING,
                resource_id=resource,
                nr_entries=1,
                addr=self._backing.iova,
                length=width * height * 4,
            )
        )
        send(
            SetScanout(
                type=Type.SET_SCANOUT,
                width=width,
                height=height,
                scanout_id=self.number,
                resource_id=resource,
            )
        )
        self._transfer([Area(0, 0, width, height)])

    def forget(self) -> None:
        """Hear that the device was reset: it knows nothing any more, and nothing is in flight."""
        self._in_flight.clear()
        for buffer in self._leaving:
            buffer.free()
        self._leaving.clear()

    def _left(self, buffer: DmaBuffer, _response: memoryview | None) -> None:
        self._leaving.remove(buffer)
        buffer.free()

    # -- its picture -------------------------------------------------------------------------------

    def update(self, pixels: memoryview, stride: int, areas: Sequence[Area]) -> bool:
        """Copy areas and have them shown; False if they have to wait."""
        backing = self._backing
        if backing is None:
            return True  # nobody sees it
        if (
            len(self._in_flight) >= BATCHES_MOST
            or self._commands.room() < len(areas) + 1
            or self._copies_in(areas)
        ):
            self.refused = True
            return False
        view, pitch = backing.view, self.size[0] * 4
        for x, y, width, height in areas:
            size = width * 4
            source, target = y * stride + x * 4, y * pitch + x * 4
            if size == stride == pitch:
                size *= height
                view[target : target + size] = pixels[source : source + size]
                continue
            for _ in range(height):
                view[target : target + size] = pixels[source : source + size]
                source += stride
                target += pitch
        self._transfer(areas)
        return True

    def _copies_in(self, areas: Sequence[Area]) -> bool:
        """Tell whether the device copies from one of these, or may."""
        return any(
            _touch(one, other)
            for batch in self._in_flight
            for one in batch.areas
            for other in areas
        )

    def clear(self) -> None:
        """Make it black; on the device, too, as soon as there is room."""
        if self._backing is not None:
            self._backing.view[:] = bytes(self._backing.size)
            self._owes_all = True
            self.go_on()

    def go_on(self) -> None:
        """Show all of it, if that is due and there is room."""
        if self._owes_all and self._commands.room() > 1:
            self._owes_all = False
            self._transfer([Area(0, 0, *self.size)])

    def _transfer(self, areas: Sequence[Area]) -> None:
        """Have areas copied, and what holds them all shown."""
        resource, pitch = self._resource, self.size[0]
        left, top = min(area.x for area in areas), min(area.y for area in areas)
        right = max(area.x + area.width for area in areas)
        bottom = max(area.y + area.height for area in areas)
        batch = _Batch(areas)
        self._in_flight.append(batch)
        ended = partial(self._ended, batch)
        for x, y, width, height in areas:
            self._commands.send(
                TransferToHost2d(
                    type=Type.TRANSFER_TO_HOST_2D,
                    x=x,
                    y=y,
                    width=width,
                    height=height,
                    offset=(y * pitch + x) * 4,
                    resource_id=resource,
                ),
                ended,
            )
        self._commands.send(
            ResourceFlush(
                type=Type.RESOURCE_FLUSH,
                x=left,
                y=top,
                width=right - left,
                height=bottom - top,
                resource_id=resource,
            ),
            ended,
        )

    def _ended(self, batch: _Batch, _response: memoryview | None) -> None:
        """Go on when the last of a batch has ended, in whatever order."""
        batch.left -= 1
        if not batch.left:
            self._in_flight.remove(batch)


class _Batch:
    """Areas that the device copies and shows, with a request for each and one for all."""

    __slots__ = ("areas", "left")

    def __init__(self, areas: Sequence[Area]) -> None:
        self.areas: Final = areas
        self.left = len(areas) + 1


def _touch(one: Area, other: Area) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )
