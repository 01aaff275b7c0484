"""A display's cursor: a resource of its own, put there by a queue of its own.

The two queues do not wait for each other, so the picture is on the device before the cursor queue
speaks of it.  Only the last place matters: while one is on its way, the next ones are one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from daemons.virtio_gpud.commands import Commands
from daemons.virtio_gpud.regs import (
    AttachBacking,
    Format,
    Queue,
    ResourceCreate2d,
    TransferToHost2d,
    Type,
    UpdateCursor,
)
from redbear_host.abi.display import CURSOR_SIDE
from redbear_host.hw.ports import Dma

SIZE: Final = CURSOR_SIDE * CURSOR_SIDE * 4  # bytes
SETUP: Final = 3  # requests that creating and filling it takes
_U32: Final = 0xFFFF_FFFF


class Cursor:
    """The cursor of scanout `number`."""

    def __init__(self, number: int, dma: Dma, commands: Commands, new_id: Callable[[], int]):
        self._number: Final = number
        self._commands: Final = commands
        self._resource: Final = new_id()
        self._backing: Final = dma.alloc(SIZE)
        self._image = b""
        self._hot = (0, 0)
        self._place = (0, 0)
        self._visible = False
        self.forget()

    def forget(self) -> None:
        """Hear that the device was reset: it knows nothing of it."""
        self._created = False
        self._filling = False  # the device copies the picture
        self._moving = False  # the cursor queue has it in hand
        self._filled = not self._image  # the device has the picture
        self._shown = False  # the device has been told which picture, and its hot spot
        self._settled = False  # the device knows its place, and whether it is seen

    def set(self, image: bytes, hot_x: int, hot_y: int) -> None:
        """Take another picture."""
        self._image, self._hot = image, (hot_x, hot_y)
        self._filled = self._shown = False
        self.go_on()

    def move(self, x: int, y: int, visible: bool) -> None:
        """Go elsewhere, or be hidden."""
        if visible != self._visible:
            self._shown = False
        self._place, self._visible = (x, y), visible
        self._settled = False
        self.go_on()

    def go_on(self) -> None:
        """Tell the device what it does not know yet, as far as its queues have room."""
        if self._image and not self._filled and not self._filling:
            self._fill()
        if (
            not self._moving
            and self._filled
            and self._image
            and not (self._shown and self._settled)
        ):
            self._tell()

    def _fill(self) -> None:
        commands = self._commands
        if commands.room() < SETUP:
            return  # what ends makes room, and calls us again
        self._backing.view[:SIZE] = self._image
        if not self._created:
            self._created = True
            commands.send(
                ResourceCreate2d(
                    type=Type.RESOURCE_CREATE_2D,
                    resource_id=self._resource,
                    format=Format.B8G8R8A8_UNORM,
                    width=CURSOR_SIDE,
                    height=CURSOR_SIDE,
                )
            )
            commands.send(
                AttachBacking(
                    type=Type.RESOURCE_ATTACH_BACKING,
                    resource_id=self._resource,
                    nr_entries=1,
                    addr=self._backing.iova,
                    length=SIZE,
                )
            )
        self._filling = True
        image = self._image

        def filled(_response: memoryview | None) -> None:
            self._filling = False
            self._filled = image is self._image
            self.go_on()

        commands.send(
            TransferToHost2d(
                type=Type.TRANSFER_TO_HOST_2D,
                width=CURSOR_SIDE,
                height=CURSOR_SIDE,
                resource_id=self._resource,
            ),
            filled,
        )

    def _tell(self) -> None:
        if not self._commands.room(Queue.CURSOR):
            return
        (x, y), (hot_x, hot_y) = self._place, self._hot
        kind = Type.MOVE_CURSOR if self._shown else Type.UPDATE_CURSOR
        self._moving = self._shown = self._settled = True
        self._commands.send(
            UpdateCursor(
                type=kind,
                scanout_id=self._number,
                x=x & _U32,
                y=y & _U32,
                resource_id=self._resource if self._visible else 0,
                hot_x=hot_x,
                hot_y=hot_y,
            ),
            self._told,
            queue=Queue.CURSOR,
        )

    def _told(self, _response: memoryview | None) -> None:
        self._moving = False
        self.go_on()
