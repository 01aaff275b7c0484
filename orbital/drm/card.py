"""One card: what it is, what it tells, what it is ordered; its parts are in `resources`."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from ctypes import c_uint32
from typing import Final

from orbital.drm import resources, uapi
from orbital.drm.atomic import Commit
from orbital.drm.buffers import Clips, DumbBuffer
from orbital.drm.resources import Connector, Mode, Plane, Property, Resources
from orbital.drm.uapi import call
from orbital.rect import Rect

_EVENTS_MOST: Final = 256  # bytes read at once, eight events: room for more costs each read
_VBLANK: Final = ctypes.sizeof(uapi.drm_event_vblank)
_HEAD: Final = ctypes.sizeof(uapi.drm_event)
_EVENT: Final = struct.Struct("=IIQ").unpack_from  # drm_event_vblank: quicker than ctypes
_FLIPPED: Final = uapi.EVENT_FLIP_COMPLETE
_NAME_MOST: Final = 64


class Card:
    """An open card, by a descriptor that stays its owner's; all errors are `OSError`.

    `atomic` False leaves atomic commits alone where the driver has them.
    """

    def __init__(self, fd: int, name: str, atomic: bool = True) -> None:
        self.fd: Final = fd
        self.name: Final = name  # as `card0`
        self.driver: Final = self._read_driver()
        # In this order: a driver that has none of it refuses, and is driven the old way.
        self.universal: Final = self._offer(uapi.CLIENT_CAP_UNIVERSAL_PLANES)
        self.atomic: Final = atomic and self._offer(uapi.CLIENT_CAP_ATOMIC)
        # Later Linux (6.8) hides the cursor plane of virtual cards from who knows no hot spots.
        self._offer(uapi.CLIENT_CAP_CURSOR_PLANE_HOTSPOT)
        self.cursor_limits: Final = (
            self.capability(uapi.CAP_CURSOR_WIDTH) or 64,
            self.capability(uapi.CAP_CURSOR_HEIGHT) or 64,
        )
        self.exports: Final = bool(self.capability(uapi.CAP_PRIME) & uapi.PRIME_CAP_EXPORT)
        self._clips: Final = Clips()
        self._move: Final = uapi.drm_mode_cursor2(flags=uapi.MODE_CURSOR_MOVE)

    def _read_driver(self) -> str:
        name = (ctypes.c_char * _NAME_MOST)()
        asked = uapi.drm_version(name=ctypes.addressof(name), name_len=_NAME_MOST - 1)
        call(self.fd, uapi.IOCTL_VERSION, asked, to=f"ask {self.name} for its driver")
        return name.value.decode("ascii", "replace")

    def _offer(self, capability: int) -> bool:
        try:
            said = uapi.drm_set_client_cap(capability=capability, value=1)
            call(self.fd, uapi.IOCTL_SET_CLIENT_CAP, said, to="say what we understand")
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            return False
        return True

    def capability(self, number: int) -> int:
        """Ask for CAP_…; 0 for one that the card does not know."""
        asked = uapi.drm_get_cap(capability=number)
        try:
            call(self.fd, uapi.IOCTL_GET_CAP, asked, to="ask what the card can")
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            return 0
        return asked.value

    # -- its parts ---------------------------------------------------------------------------------

    def resources(self) -> Resources:
        """List its parts."""
        return resources.read_resources(self.fd)

    def connector(self, number: int) -> Connector:
        """Look at a connector and what is plugged in."""
        return resources.read_connector(self.fd, number)

    def planes(self) -> list[Plane]:
        """Read its planes."""
        return resources.read_planes(self.fd)

    def properties(self, number: int, kind: int) -> Mapping[str, Property]:
        """Read the properties of an object of `kind` MODE_OBJECT_…."""
        return resources.read_properties(self.fd, number, kind)

    def edid(self, connector: int) -> bytes:
        """Return a monitor's description; empty where there is none."""
        found = self.properties(connector, uapi.MODE_OBJECT_CONNECTOR).get("EDID")
        if found is None or not found.value:
            return b""
        try:
            return resources.read_blob(self.fd, found.value)
        except FileNotFoundError:  # it was unplugged meanwhile
            return b""

    def buffer(self, width: int, height: int) -> DumbBuffer:
        """Allocate memory to draw on."""
        return DumbBuffer(self.fd, width, height)

    def blob(self, data: bytes) -> int:
        """Make bytes a property can have as its value; `free_blob` takes it back."""
        raw = ctypes.create_string_buffer(data, len(data))
        made = uapi.drm_mode_create_blob(data=ctypes.addressof(raw), length=len(data))
        call(self.fd, uapi.IOCTL_MODE_CREATEPROPBLOB, made, to="make a blob")
        return made.blob_id

    def free_blob(self, number: int) -> None:
        """Forget a blob; a property that has it keeps it."""
        with suppress(OSError):
            gone = uapi.drm_mode_destroy_blob(blob_id=number)
            call(self.fd, uapi.IOCTL_MODE_DESTROYPROPBLOB, gone, to="forget a blob")

    def commit(self, commit: Commit, flags: int = 0, user_data: int = 0) -> None:
        """Commit with MODE_ATOMIC_… and MODE_PAGE_FLIP_EVENT; EBUSY while a flip is pending."""
        commit.commit(self.fd, flags, user_data)

    # -- the old orders ----------------------------------------------------------------------------

    def set_crtc(self, crtc: int, frame_buffer: int, connectors: Sequence[int], mode: Mode) -> None:
        """Light connectors with a frame buffer as large as the mode."""
        ids = (c_uint32 * len(connectors))(*connectors)
        order = uapi.drm_mode_crtc(
            crtc_id=crtc, fb_id=frame_buffer, mode_valid=1, mode=mode.info,
            set_connectors_ptr=ctypes.addressof(ids), count_connectors=len(ids),
        )  # fmt: skip
        call(self.fd, uapi.IOCTL_MODE_SETCRTC, order, to=f"set {mode.width} by {mode.height}")

    def switch_off(self, crtc: int) -> None:
        """Let a CRTC be dark."""
        order = uapi.drm_mode_crtc(crtc_id=crtc)
        call(self.fd, uapi.IOCTL_MODE_SETCRTC, order, to="switch a screen off")

    def flipper(self, crtc: int) -> Callable[[int], None]:
        """Return what shows another frame buffer of the same size, on one CRTC.

        `read_flips` says when, by the CRTC's id; until then it is EBUSY.  The order is made once: a
        flip changes one word of it.
        """
        fd, ioctl, request = self.fd, fcntl.ioctl, uapi.IOCTL_MODE_PAGE_FLIP
        order = uapi.drm_mode_crtc_page_flip(
            crtc_id=crtc, flags=uapi.MODE_PAGE_FLIP_EVENT, user_data=crtc
        )

        def flip(frame_buffer: int) -> None:
            order.fb_id = frame_buffer
            try:
                ioctl(fd, request, order)
            except OSError:  # a signal came, or it says so again
                call(fd, request, order, to="flip")

        return flip

    def dirty(self, frame_buffer: int, damage: Sequence[Rect]) -> bool:
        """Say where a frame buffer has changed; False where the driver need not be told."""
        try:
            for first in range(0, len(damage), Clips.MOST):
                self._clips.dirty(self.fd, frame_buffer, damage[first : first + Clips.MOST])
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            return False
        return True

    def set_cursor(self, crtc: int, buffer: DumbBuffer | None) -> None:
        """Take a buffer as large as `cursor_limits` for the cursor's picture; None: no cursor."""
        order = uapi.drm_mode_cursor2(flags=uapi.MODE_CURSOR_BO, crtc_id=crtc)
        if buffer is not None:
            order = uapi.drm_mode_cursor2(
                flags=uapi.MODE_CURSOR_BO, crtc_id=crtc,
                width=buffer.width, height=buffer.height, handle=buffer.handle,
            )  # fmt: skip
        call(self.fd, uapi.IOCTL_MODE_CURSOR2, order, to="set the cursor")

    def move_cursor(self, crtc: int, x: int, y: int) -> None:
        """Put the cursor's picture at a pixel, also beside the screen."""
        order = self._move
        order.crtc_id, order.x, order.y = crtc, x, y
        call(self.fd, uapi.IOCTL_MODE_CURSOR2, order, to="move the cursor")

    # -- what it tells -----------------------------------------------------------------------------

    def read_flips(self) -> list[int]:
        """Read what has happened; the descriptor is readable when there is something.

        Return the `user_data` of flips whose pictures are on the screen now; of more than eight
        events the rest is there still.
        """
        try:
            data = os.read(self.fd, _EVENTS_MOST)
        except BlockingIOError:
            return []
        size = len(data)
        if size == _VBLANK:  # one, as a rule
            kind, _, user_data = _EVENT(data)
            return [user_data] if kind == _FLIPPED else []
        found = []
        place = 0
        while place + _VBLANK <= size:
            kind, length, user_data = _EVENT(data, place)
            if kind == _FLIPPED:
                found.append(user_data)
            place += max(length, _HEAD)
        return found
